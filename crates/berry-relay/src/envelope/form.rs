//! Forms: the same members, as parts.

use std::ops::Range;

use bytes::Bytes;
use http::HeaderValue;

use super::{Envelope, EnvelopeError, Form, governed};
use crate::multipart;

impl Envelope {
    /// Locates the governed parts of a form and checks its structure. `content_type` is what the
    /// client says of the body.
    ///
    /// # Errors
    /// The body is no form, or a governed part is missing, ambiguous or of another type.
    pub fn parse_form(body: Bytes, content_type: &HeaderValue) -> Result<Self, EnvelopeError> {
        let not_a_form =
            |error: multipart::Malformed| EnvelopeError::NotAForm(error.to_string().into());
        let boundary = multipart::boundary(content_type).map_err(not_a_form)?;
        let mut governed = GovernedParts::default();
        multipart::parts(&body, boundary, |part| governed.note(part, &body)).map_err(not_a_form)?;
        let GovernedParts {
            model,
            stream,
            backend,
            error,
        } = governed;
        if let Some(error) = error {
            return Err(error);
        }
        let (model, model_value, _) = model.ok_or(EnvelopeError::Missing("model"))?;
        if model.is_empty() {
            return Err(EnvelopeError::WrongType {
                member: "model",
                expected: "a non-empty string",
            });
        }
        let stream = match stream.map(|(text, ..)| text) {
            None | Some("" | "false" | "False" | "0") => false,
            Some("true" | "True" | "1") => true,
            Some(_) => {
                return Err(EnvelopeError::WrongType {
                    member: "stream",
                    expected: "a boolean",
                });
            }
        };
        let (backend, backend_member) = backend
            .map(|(text, _, whole)| (Box::from(text), whole))
            .unzip();
        let model = model.into();
        Ok(Self {
            model,
            model_value,
            stream,
            backend,
            backend_member,
            cache_key: None,
            previous_response: None,
            most_output: 0,
            form: Form::Parts(content_type.clone()),
            body,
        })
    }
}

/// The governed parts of a form found so far: the text, where it is, and where the whole part is.
#[derive(Default)]
struct GovernedParts<'a> {
    model: Option<(&'a str, Range<usize>, Range<usize>)>,
    stream: Option<(&'a str, Range<usize>, Range<usize>)>,
    backend: Option<(&'a str, Range<usize>, Range<usize>)>,
    error: Option<EnvelopeError>,
}

impl<'a> GovernedParts<'a> {
    /// Remembers the part if it is a governed one.
    fn note(&mut self, part: multipart::Part<'a>, body: &'a [u8]) {
        let (member, place) = match part.name {
            "model" => ("model", &mut self.model),
            "stream" => ("stream", &mut self.stream),
            "backend" => ("backend", &mut self.backend),
            other => {
                if let Some(error) = resembling(other) {
                    self.error.get_or_insert(error);
                }
                return;
            }
        };
        let text = std::str::from_utf8(&body[part.value.clone()]).ok();
        let found = match text.filter(|_| part.plain) {
            Some(_) if place.is_some() => Err(EnvelopeError::Duplicate(member)),
            Some(text) => {
                *place = Some((text, part.value, part.whole));
                Ok(())
            }
            None => Err(EnvelopeError::WrongType {
                member,
                expected: "plain text",
            }),
        };
        if let Err(found) = found {
            self.error.get_or_insert(found);
        }
    }
}

/// Returns what is wrong with the name of a part that some reader may take for a governed one: `Model`,
/// ` model`, and `model[]`, which is a list of models to PHP.
fn resembling(name: &str) -> Option<EnvelopeError> {
    let governed = |name| governed(name).filter(|&name| name != "previous_response_id");
    let bare = name.split('[').next().unwrap_or_default().trim();
    let uppercase = governed(name).map(EnvelopeError::Uppercase);
    uppercase.or_else(|| governed(bare).map(EnvelopeError::Decorated))
}
