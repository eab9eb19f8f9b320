//! The request as it was received, and where the members we act on are.
//!
//! `model`, `stream`, `backend` and `prompt_cache_key` are located in the bytes; everything else is
//! the client's business and goes on untouched. [`Envelope::rewrite`] replaces the value of `model`
//! and cuts `backend` out. A form's parts are found and rewritten in the same way, its files
//! untouched.
//!
//! A governed member that occurs twice, or whose key is written with an escape or in another case,
//! is refused: parsers differ in which of two they believe, some take `Model` for `model`, and we
//! would authorise one model and forward another.
//! `prompt_cache_key` governs nothing: it is a hint, and is taken where it is plain.

mod estimate;
mod form;

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use memchr::memchr;
use smallvec::SmallVec;

use crate::json::{self, Malformed, Member};

/// Bodies up to this size are sent as one piece: copying so little costs less than a further write.
const COPIED: usize = 16 * 1024;

/// The pieces of a rewritten body, in order.
pub(crate) type Pieces = SmallVec<[Bytes; 4]>;

/// Why a body is not a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not UTF-8; the first byte that is not.
    #[error("the request body is not valid UTF-8 (byte {0})")]
    NotUtf8(usize),
    /// Not JSON; the byte where that shows.
    #[error("the request body is not valid JSON (byte {0})")]
    NotJson(usize),
    /// Not a form, although it is said to be one; what shows that.
    #[error("the request body is not a valid form: {0}")]
    NotAForm(Box<str>),
    /// JSON of another type.
    #[error("the request body must be a JSON object")]
    NotAnObject,
    /// Too many levels.
    #[error("the request body is nested deeper than {} levels", json::MAX_DEPTH)]
    TooDeep,
    /// A member that must be there is not.
    #[error("the member `{0}` is missing")]
    Missing(&'static str),
    /// A governed member occurs more than once.
    #[error("the member `{0}` occurs more than once")]
    Duplicate(&'static str),
    /// A governed member's key is written with an escape.
    #[error("the key of the member `{0}` must be written without escapes")]
    EscapedKey(&'static str),
    /// A governed member's key is written in another case.
    #[error("the key of the member `{0}` must be written in lower case")]
    Uppercase(&'static str),
    /// The name of a governed part has something around it that some readers take away.
    #[error("the name of the part `{0}` must be written without white space and brackets")]
    Decorated(&'static str),
    /// A governed member's value has another type.
    #[error("the member `{member}` must be {expected}")]
    WrongType {
        /// Which member.
        member: &'static str,
        /// What it must be, with its article.
        expected: &'static str,
    },
}

impl EnvelopeError {
    /// Returns the member that the error is about, where it is about one.
    pub fn member(&self) -> Option<&'static str> {
        match self {
            Self::Missing(member)
            | Self::Duplicate(member)
            | Self::EscapedKey(member)
            | Self::Uppercase(member)
            | Self::Decorated(member)
            | Self::WrongType { member, .. } => Some(member),
            Self::NotUtf8(_)
            | Self::NotJson(_)
            | Self::NotAForm(_)
            | Self::NotAnObject
            | Self::TooDeep => None,
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Envelope {
    body: Bytes,
    model: Box<str>,
    model_value: Range<usize>,
    stream: bool,
    backend: Option<Box<str>>,
    backend_member: Option<Range<usize>>,
    cache_key: Option<Range<usize>>,
    previous_response: Option<Box<str>>,
    /// The tokens that the answer may have, as far as that is said.
    most_output: u32,
    form: Form,
}

/// How the body is written.
#[derive(Debug, Clone)]
enum Form {
    /// A JSON object.
    Json {
        /// The value of `stream_options`.
        stream_options: Option<Range<usize>>,
    },
    /// `multipart/form-data`; its content type names what separates the parts.
    Parts(HeaderValue),
}

/// One change of a body: what takes the place of which bytes.
type Edit = (Range<usize>, Bytes);

/// The places of the governed members found so far.
#[derive(Default)]
struct Found {
    model: Option<Range<usize>>,
    stream: Option<Range<usize>>,
    backend: Option<Range<usize>>,
    /// From the comma or brace before `backend`'s key up to what follows its value.
    backend_member: Option<Range<usize>>,
    /// Members that are read where they are clear, and otherwise the client's business.
    cache_key: Option<Range<usize>>,
    stream_options: Option<Range<usize>>,
    previous_response: Option<Range<usize>>,
    /// Of all members that bound the answer's length the most.
    most_output: u32,
}

impl Envelope {
    /// Locates the governed members and checks the whole body.
    ///
    /// # Errors
    /// The body is not a JSON object in UTF-8, or a governed member is missing, ambiguous or of
    /// another type.
    pub fn parse(body: Bytes) -> Result<Self, EnvelopeError> {
        let text = simdutf8::compat::from_utf8(&body)
            .map_err(|error| EnvelopeError::NotUtf8(error.valid_up_to()))?;
        let found = Found::scan(text)?;
        let model_value = found.model.ok_or(EnvelopeError::Missing("model"))?;
        let model = string(text, &model_value)
            .filter(|model| !model.is_empty())
            .ok_or(EnvelopeError::WrongType {
                member: "model",
                expected: "a non-empty string",
            })?;
        let stream = match found.stream.map(|span| &text[span]) {
            None | Some("null" | "false") => false,
            Some("true") => true,
            Some(_) => {
                return Err(EnvelopeError::WrongType {
                    member: "stream",
                    expected: "a boolean",
                });
            }
        };
        let backend = match found.backend {
            Some(span) if &text[span.clone()] != "null" => {
                Some(string(text, &span).ok_or(EnvelopeError::WrongType {
                    member: "backend",
                    expected: "a string: a provider's id",
                })?)
            }
            _ => None,
        };
        let previous = found.previous_response;
        let previous = previous.and_then(|span| string(text, &span));
        let (model, backend) = (model.into(), backend.map(Into::into));
        let previous_response = previous.map(Into::into);
        let form = Form::Json {
            stream_options: found.stream_options,
        };
        let backend_member = found.backend_member;
        Ok(Self {
            body,
            model,
            model_value,
            stream,
            backend,
            backend_member,
            cache_key: found.cache_key,
            previous_response,
            most_output: found.most_output,
            form,
        })
    }

    /// Returns the body as the client sent it.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the content type that goes on with the body, where it is not JSON.
    pub(crate) fn content_type(&self) -> Option<&HeaderValue> {
        match &self.form {
            Form::Json { .. } => None,
            Form::Parts(content_type) => Some(content_type),
        }
    }

    /// Returns the response that the request continues.
    pub fn previous_response(&self) -> Option<&str> {
        self.previous_response.as_deref()
    }

    /// Returns the model that the client asks for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns whether the client asks for a stream.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// Returns the provider that the client asks for by name.
    pub fn backend(&self) -> Option<&str> {
        self.backend.as_deref()
    }

    /// Returns what the client calls the prompts that begin alike; none where it is no text.
    pub fn prompt_cache_key(&self) -> Option<Cow<'_, str>> {
        let value = self.body.get(self.cache_key.clone()?)?;
        let text = std::str::from_utf8(value).ok()?;
        string(text, &(0..text.len())).filter(|key| !key.is_empty())
    }

    /// Returns the body for an upstream that calls the model `upstream_model`: every byte as the
    /// client sent it, but for the value of `model`, the member `backend`, and where the edit of
    /// [`Self::ask_usage`] is given, that.
    pub(crate) fn rewrite(&self, upstream_model: &str, usage: Option<Edit>) -> Pieces {
        let model = match &self.form {
            Form::Json { .. } => json::quoted(upstream_model),
            Form::Parts(_) => upstream_model.to_owned(),
        };
        let mut edits: SmallVec<[Edit; 3]> = SmallVec::new();
        edits.extend(usage);
        edits.push((self.model_value.clone(), model.into()));
        if let Some(span) = self.backend_member.clone() {
            edits.push((span, Bytes::new()));
        }
        edits.sort_by_key(|(span, _)| span.start);

        let mut pieces = Pieces::new();
        let mut at = 0;
        for (span, replacement) in edits {
            pieces.push(self.body.slice(at..span.start));
            pieces.push(replacement);
            at = span.end;
        }
        pieces.push(self.body.slice(at..));
        pieces.retain(|piece| !piece.is_empty());
        if self.body.len() <= COPIED {
            joined(&pieces)
        } else {
            pieces
        }
    }

    /// Returns whether the client asks for a stream to end with its usage.
    pub(crate) fn asks_usage(&self) -> bool {
        let Form::Json {
            stream_options: Some(span),
        } = &self.form
        else {
            return false;
        };
        let options = &self.body[span.clone()];
        let mut asks = false;
        let _ = json::members(options, |member| {
            asks |= &options[member.key] == b"include_usage" && &options[member.value] == b"true";
        });
        asks
    }

    /// Returns the change that makes a stream end with its usage; none where the client asks for
    /// that itself, or in a way we do not understand.
    pub(crate) fn ask_usage(&self) -> Option<Edit> {
        const ASK: &str = r#""include_usage":true"#;
        let Form::Json { stream_options } = &self.form else {
            return None;
        };
        let Some(span) = stream_options else {
            let start = memchr(b'{', &self.body)? + 1;
            let member = format!(r#""stream_options":{{{ASK}}},"#);
            return Some((start..start, member.into()));
        };
        let options = &self.body[span.clone()];
        if options == b"null" {
            return Some((span.clone(), format!("{{{ASK}}}").into()));
        }
        let (mut asked, mut others) = (None, false);
        json::members(options, |member| {
            others = true;
            if &options[member.key] == b"include_usage" {
                asked = Some(member.value);
            }
        })
        .ok()?;
        let Some(value) = asked else {
            let comma = if others { "," } else { "" };
            let start = span.start + 1;
            return Some((start..start, format!("{ASK}{comma}").into()));
        };
        let is_off = matches!(&options[value.clone()], b"false" | b"null");
        let value = span.start + value.start..span.start + value.end;
        is_off.then(|| (value, Bytes::from_static(b"true")))
    }
}

impl Found {
    fn scan(text: &str) -> Result<Self, EnvelopeError> {
        let mut found = Self::default();
        let mut error = None;
        let mut previous_end: Option<usize> = None;
        let mut backend_was_first = false;
        let scanned = json::members(text.as_bytes(), |member| {
            if backend_was_first {
                // Without a comma before it, `backend` takes the one after it along.
                backend_was_first = false;
                if let Some(span) = &mut found.backend_member {
                    span.end = member.key.start - 1;
                }
            }
            match found.note(text, &member) {
                Ok(Some("backend")) => {
                    let start = previous_end.unwrap_or(member.key.start - 1);
                    found.backend_member = Some(start..member.value.end);
                    backend_was_first = previous_end.is_none();
                }
                Ok(_) => {}
                Err(found) => error = error.take().or(Some(found)),
            }
            previous_end = Some(member.value.end);
        });
        match (scanned, error) {
            (Err(Malformed::Syntax(at)), _) => Err(EnvelopeError::NotJson(at)),
            (Err(Malformed::NotAnObject), _) => Err(EnvelopeError::NotAnObject),
            (Err(Malformed::TooDeep), _) => Err(EnvelopeError::TooDeep),
            (Ok(_), Some(error)) => Err(error),
            (Ok(_), None) => Ok(found),
        }
    }

    /// Remembers the member if it is a governed one, and returns which.
    fn note(&mut self, text: &str, member: &Member) -> Result<Option<&'static str>, EnvelopeError> {
        let quoted = member.key.start - 1..member.key.end + 1;
        let key = if member.escaped {
            string(text, &quoted).unwrap_or_default()
        } else {
            Cow::Borrowed(&text[member.key.clone()])
        };
        let (name, place) = match key.as_ref() {
            "model" => ("model", &mut self.model),
            "stream" => ("stream", &mut self.stream),
            "backend" => ("backend", &mut self.backend),
            "previous_response_id" => ("previous_response_id", &mut self.previous_response),
            "prompt_cache_key" => {
                self.cache_key = Some(member.value.clone());
                return Ok(None);
            }
            "stream_options" => {
                self.stream_options = Some(member.value.clone());
                return Ok(None);
            }
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
                let most = text[member.value.clone()].parse().unwrap_or(0);
                self.most_output = self.most_output.max(most);
                return Ok(None);
            }
            other => {
                return governed(other)
                    .map_or(Ok(None), |name| Err(EnvelopeError::Uppercase(name)));
            }
        };
        if member.escaped {
            return Err(EnvelopeError::EscapedKey(name));
        }
        if place.replace(member.value.clone()).is_some() {
            return Err(EnvelopeError::Duplicate(name));
        }
        Ok(Some(name))
    }
}

/// Returns which governed member a name would be to a reader that makes nothing of its case, as Go's
/// does, which also takes two letters beyond ASCII for `s` and `k`.
fn governed(name: &str) -> Option<&'static str> {
    const LONGEST: usize = "previous_response_id".len() * "\u{17f}".len();
    if name.len() > LONGEST {
        return None;
    }
    let is = |letter: char, other: char| match letter {
        '\u{17f}' => other == 's',
        '\u{212a}' => other == 'k',
        _ => letter.eq_ignore_ascii_case(&other),
    };
    let mut members = ["model", "stream", "backend", "previous_response_id"].into_iter();
    members.find(|member| {
        let mut letters = member.chars();
        name.chars()
            .all(|letter| letters.next().is_some_and(|other| is(letter, other)))
            && letters.next().is_none()
    })
}

/// Reads a JSON string, unescaped; none where the value is of another type.
fn string<'a>(text: &'a str, span: &Range<usize>) -> Option<Cow<'a, str>> {
    let value = &text[span.clone()];
    if !value.starts_with('"') {
        return None;
    }
    if !value.contains('\\') {
        return Some(Cow::Borrowed(&value[1..value.len() - 1]));
    }
    serde_json::from_str::<String>(value).ok().map(Cow::Owned)
}

fn joined(pieces: &Pieces) -> Pieces {
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(piece);
    }
    Pieces::from_iter([whole.freeze()])
}

#[cfg(test)]
mod tests;
