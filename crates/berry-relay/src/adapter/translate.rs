//! Between OpenAI's chat completions, which clients speak, and a provider's own protocol.
//!
//! A translator is pure: bytes in, bytes out. Everything after it (holding until content, failover,
//! taps, limits, accounting) sees OpenAI's protocol only, whoever answers.

use serde_json::Value;

/// What an answer's objects carry that the provider does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heading {
    /// The answer's id, where the provider gives none.
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// The model, where the provider names none.
    pub(crate) model: String,
    /// Whether the stream ends with a chunk of usage.
    pub(crate) include_usage: bool,
}

/// A request in the provider's protocol.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Translated {
    /// The body.
    pub(crate) body: Value,
    /// How its answer is to be read: what was asked for in a way the provider's answer does not
    /// show, for example a JSON schema that became a forced tool.
    pub(crate) reading: Reading,
}

/// See [`Translated::reading`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    /// The answer's text is the input of a forced tool.
    pub(crate) text_from_tool: bool,
}

/// Why a request cannot be said in the provider's protocol: a 400 that names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Untranslatable {
    /// The field, as OpenAI's errors name it: `messages[2].content[0].image_url.url`; empty where it
    /// is the body itself.
    pub(crate) param: String,
    /// What is wrong with it and what to do.
    pub(crate) message: String,
}

impl Untranslatable {
    /// Says why a body is no tree. The envelope has been checked, so what is left is what JSON allows
    /// and no program can hold: half of a surrogate pair, or hundreds of levels.
    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        let message = if error.to_string().starts_with("recursion limit") {
            "the request body is nested too deep for this model's provider".to_owned()
        } else {
            format!("the request body cannot be translated for this model's provider: {error}")
        };
        let param = String::new();
        Self { param, message }
    }
}

/// Returns what follows the scheme of a URL, if it is this one, in letters of either case.
pub(crate) fn after_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let (begin, rest) = url.split_at_checked(scheme.len())?;
    begin.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// An answer that is not one in the provider's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not in the provider's protocol")]
pub(crate) struct Garbled;

/// Chat completions in another protocol. One value per protocol, without state.
pub(crate) trait Chat: std::fmt::Debug + Send + Sync {
    /// Translates a request; `body` is a JSON object as the client sent it, `model` the provider's.
    fn request(&self, body: &[u8], model: &str) -> Result<Translated, Untranslatable>;

    /// Translates a whole answer (status 200) into a `chat.completion` object.
    fn answer(&self, body: &[u8], heading: &Heading, reading: Reading) -> Result<Vec<u8>, Garbled>;

    /// Begins to translate a stream.
    fn decoder(&self, heading: Heading, reading: Reading) -> Box<dyn Decoder>;
}

/// Translates the events of one stream into `chat.completion.chunk` events.
pub(crate) trait Decoder: std::fmt::Debug + Send {
    /// Takes one event's data (the value of all its `data:` lines, joined) and appends what it
    /// becomes, complete `data: …\n\n` frames, to `out`. An error event becomes OpenAI's
    /// `data: {"error":{…}}`; unknown events become nothing. The end of the answer appends the finish
    /// reason, the usage chunk if asked for, and `data: [DONE]`.
    fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Garbled>;

    /// The stream is over. A protocol whose last event is not marked (Gemini) ends its answer here,
    /// if a finish reason had come; otherwise nothing is appended and the cut shows by itself.
    fn end(&mut self, out: &mut Vec<u8>);

    /// Appends the object `usage` as far as it has been counted, if it has: of a stream that is left, or
    /// breaks, no chunk says it.
    fn write_usage(&self, out: &mut Vec<u8>);
}
