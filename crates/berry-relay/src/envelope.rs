//! The request as it was received, and where the members we act on are.
//!
//! `model`, `stream`, `backend` and `prompt_cache_key` are located in the bytes; everything else is
//! the client's business and goes on untouched. [`Envelope::rewrite`] replaces the value of `model`
//! and cuts `backend` out.
//!
//! A governed member that occurs twice, or whose key is written with an escape, is refused: parsers
//! differ in which of two they believe, and we would authorise one model and forward another.
//! `prompt_cache_key` governs nothing: it is a hint, and is taken where it is plain.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
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
            | Self::WrongType { member, .. } => Some(member),
            Self::NotUtf8(_) | Self::NotJson(_) | Self::NotAnObject | Self::TooDeep => None,
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
}

/// The places of the governed members found so far.
#[derive(Default)]
struct Found {
    model: Option<Range<usize>>,
    stream: Option<Range<usize>>,
    backend: Option<Range<usize>>,
    /// From the comma or brace before `backend`'s key up to what follows its value.
    backend_member: Option<Range<usize>>,
    cache_key: Option<Range<usize>>,
}

impl Envelope {
    /// Locates the governed members and checks the whole body.
    ///
    /// # Errors
    /// The body is not a JSON object in UTF-8, or a governed member is missing, ambiguous or of
    /// another type.
    pub fn parse(body: Bytes) -> Result<Self, EnvelopeError> {
        let text = std::str::from_utf8(&body)
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
        let (model, backend) = (model.into(), backend.map(Into::into));
        let backend_member = found.backend_member;
        Ok(Self {
            body,
            model,
            model_value,
            stream,
            backend,
            backend_member,
            cache_key: found.cache_key,
        })
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
    /// client sent it, but for the value of `model` and the member `backend`.
    pub(crate) fn rewrite(&self, upstream_model: &str) -> Pieces {
        let model = Bytes::from(serde_json::Value::from(upstream_model).to_string());
        let mut edits: SmallVec<[(Range<usize>, Bytes); 2]> = SmallVec::new();
        edits.push((self.model_value.clone(), model));
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
            (Ok(()), Some(error)) => Err(error),
            (Ok(()), None) => Ok(found),
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
            "prompt_cache_key" => {
                self.cache_key = Some(member.value.clone());
                return Ok(None);
            }
            _ => return Ok(None),
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewritten(body: &str) -> String {
        let envelope = Envelope::parse(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let pieces = envelope.rewrite("up");
        String::from_utf8(pieces.concat()).unwrap()
    }

    fn refused(body: impl Into<Bytes>) -> EnvelopeError {
        Envelope::parse(body.into()).unwrap_err()
    }

    #[test]
    fn only_the_model_changes_and_the_backend_member_goes() {
        for (body, expected) in [
            (r#"{"model":"m"}"#, r#"{"model":"up"}"#),
            (
                r#"{ "model" : "m" , "x": 1.0 }"#,
                r#"{ "model" : "up" , "x": 1.0 }"#,
            ),
            (r#"{"model":"m","backend":"b"}"#, r#"{"model":"up"}"#),
            (r#"{"backend":"b","model":"m"}"#, r#"{"model":"up"}"#),
            (
                r#"{ "backend" : "b" , "model":"m" }"#,
                r#"{ "model":"up" }"#,
            ),
            (
                r#"{"a":1, "backend" :"b", "model":"m"}"#,
                r#"{"a":1, "model":"up"}"#,
            ),
            (
                r#"{"model":"m","backend":null,"z":[]}"#,
                r#"{"model":"up","z":[]}"#,
            ),
            (
                r#"{"m":{"model":"x","backend":1},"model":"m"}"#,
                r#"{"m":{"model":"x","backend":1},"model":"up"}"#,
            ),
            (
                r#"{"model":"a\u0041","messages":"\u00e9é"}"#,
                r#"{"model":"up","messages":"\u00e9é"}"#,
            ),
        ] {
            assert_eq!(rewritten(body), expected);
        }
    }

    #[test]
    fn a_large_body_is_not_copied() {
        let body = Bytes::from(format!(
            r#"{{"model":"m","messages":"{}"}}"#,
            "x".repeat(COPIED)
        ));
        let envelope = Envelope::parse(body.clone()).unwrap();

        let pieces = envelope.rewrite("up");

        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[0].as_ptr(), body.as_ptr());
    }

    #[test]
    fn an_upstream_model_is_escaped() {
        let envelope = Envelope::parse(Bytes::from_static(br#"{"model":"m"}"#)).unwrap();

        assert_eq!(envelope.rewrite("a\"b").concat(), br#"{"model":"a\"b"}"#);
    }

    #[test]
    fn null_is_absent_for_stream_and_backend() {
        let body = Bytes::from_static(br#"{"model":"m","stream":null,"backend":null}"#);

        let envelope = Envelope::parse(body).unwrap();

        assert!(!envelope.stream());
        assert_eq!(envelope.backend(), None);
    }

    #[test]
    fn a_prompt_cache_key_is_a_text_and_never_an_error() {
        let found = |member: &str| {
            let body = format!(r#"{{"a":{{"prompt_cache_key":"inner"}},{member}"model":"m"}}"#);
            let envelope = Envelope::parse(body.clone().into()).unwrap();
            assert_eq!(rewritten(&body), body.replace("\"m\"", "\"up\""));
            envelope.prompt_cache_key().map(Cow::into_owned)
        };
        for (member, expected) in [
            (r#""prompt_cache_key":"x","#, Some("x")),
            (r#""prompt_cache_key" : "x\u0041" ,"#, Some("xA")),
            (
                r#""prompt_cache_key":"x","prompt_cache_key":"y","#,
                Some("y"),
            ),
            (r#""prompt_cache_k\u0065y":"x","#, Some("x")),
            (r#""prompt_cache_key":"","#, None),
            (r#""prompt_cache_key":null,"#, None),
            (r#""prompt_cache_key":7,"#, None),
            (r#""prompt_cache_key":{"x":"y"},"#, None),
            ("", None),
        ] {
            assert_eq!(found(member).as_deref(), expected, "{member}");
        }
    }

    #[test]
    fn a_governed_member_must_be_unambiguous_and_of_its_type() {
        let wrong = |member, expected| EnvelopeError::WrongType { member, expected };
        for (body, error) in [
            ("{}", EnvelopeError::Missing("model")),
            (r#"{"model":1}"#, wrong("model", "a non-empty string")),
            (r#"{"model":null}"#, wrong("model", "a non-empty string")),
            (r#"{"model":""}"#, wrong("model", "a non-empty string")),
            (
                r#"{"model":"a","model":"b"}"#,
                EnvelopeError::Duplicate("model"),
            ),
            (
                r#"{"model":"a","mod\u0065l":"b"}"#,
                EnvelopeError::EscapedKey("model"),
            ),
            (r#"{"mod\u0065l":"b"}"#, EnvelopeError::EscapedKey("model")),
            (
                r#"{"model":"a","b\u0061ckend":"b"}"#,
                EnvelopeError::EscapedKey("backend"),
            ),
            (
                r#"{"model":"a","stream":"true"}"#,
                wrong("stream", "a boolean"),
            ),
            (r#"{"model":"a","stream":1}"#, wrong("stream", "a boolean")),
            (
                r#"{"model":"a","backend":7}"#,
                wrong("backend", "a string: a provider's id"),
            ),
            (
                r#"{"model":"a","backend":{}}"#,
                wrong("backend", "a string: a provider's id"),
            ),
        ] {
            assert_eq!(refused(body), error, "{body}");
        }
    }

    #[test]
    fn a_body_must_be_an_object_in_utf8() {
        assert_eq!(refused("[]"), EnvelopeError::NotAnObject);
        assert_eq!(refused(""), EnvelopeError::NotJson(0));
        assert_eq!(refused("model=m"), EnvelopeError::NotJson(0));
        assert_eq!(
            refused(&b"{\"model\":\"\xff\"}"[..]),
            EnvelopeError::NotUtf8(10)
        );
        assert_eq!(
            refused(format!(r#"{{"a":{}"#, "[".repeat(300))),
            EnvelopeError::TooDeep
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Envelope::parse(Bytes::from(body));
        }

        #[test]
        fn a_rewritten_body_is_the_same_object_with_two_changes(
            before in proptest::collection::btree_map("[a-f]{1,3}", "[a-z\\\\\"é]{0,5}", 0..4),
            after in proptest::collection::btree_map("[g-k]{1,3}", any::<i32>(), 0..4),
            backend_at in 0..3_usize,
        ) {
            let mut members: Vec<String> = before
                .iter()
                .map(|(key, value)| format!("\"{key}\": {}", serde_json::Value::from(value.as_str())))
                .collect();
            members.push("\"model\":\"m\"".to_owned());
            members.extend(after.iter().map(|(key, value)| format!("\"{key}\" :{value}")));
            let mut expected: serde_json::Value =
                serde_json::from_str(&format!("{{{}}}", members.join(","))).unwrap();
            expected["model"] = "up".into();
            members.insert(backend_at.min(members.len()), "\"backend\":\"b\"".to_owned());

            let rewritten = rewritten(&format!("{{{}}}", members.join(" , ")));

            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&rewritten).unwrap(), expected);
        }
    }
}
