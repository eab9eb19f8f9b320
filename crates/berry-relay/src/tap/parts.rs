//! What of an answer or an event the tap looks at.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::choices::Choice;
use crate::json::{self, Malformed};

/// The members of an answer that the tap looks at; null counts as absent.
#[derive(Default)]
pub(super) struct Parts<'a> {
    pub(super) choices: Option<&'a [u8]>,
    pub(super) error: Option<&'a [u8]>,
    pub(super) usage: Option<&'a [u8]>,
    pub(super) kind: Option<&'a [u8]>,
    pub(super) object: Option<&'a [u8]>,
    /// It has a member in which servers complain that do not speak the protocol.
    pub(super) complains: bool,
    /// The next piece of what a typed event is about.
    pub(super) delta: Option<&'a [u8]>,
    pub(super) response: Option<&'a [u8]>,
    pub(super) id: Option<&'a [u8]>,
    /// Why a response ends where it does.
    pub(super) incomplete: Option<&'a [u8]>,
    pub(super) status: Option<&'a [u8]>,
    /// The word `error` stands somewhere: without it there is no need to look for what it says.
    pub(super) names_error: bool,
    /// All of it is ASCII.
    pub(super) is_ascii: bool,
}

impl<'a> Parts<'a> {
    /// Finds them in a text, which must be an object.
    pub(super) fn scan(&mut self, text: &'a [u8]) -> Result<(), Malformed> {
        let seen = json::members(text, |member| {
            let value = &text[member.value];
            let place = match &text[member.key] {
                b"choices" => &mut self.choices,
                b"error" => &mut self.error,
                b"usage" => &mut self.usage,
                b"type" => &mut self.kind,
                b"object" => &mut self.object,
                b"delta" => &mut self.delta,
                b"response" => &mut self.response,
                b"id" => &mut self.id,
                b"incomplete_details" => &mut self.incomplete,
                b"status" => &mut self.status,
                b"code" | b"detail" | b"message" => {
                    self.complains |= value != b"null";
                    return;
                }
                _ => return,
            };
            *place = (value != b"null").then_some(value);
        })?;
        (self.names_error, self.is_ascii) = (seen.error, seen.is_ascii);
        Ok(())
    }

    /// Returns whether the text that was scanned tells of an error, however deep in it.
    pub(super) fn tell_of_error(&self, text: &[u8]) -> bool {
        self.names_error && tells_of_error(text)
    }

    /// Returns whether any of a whole answer's choices has failed.
    pub(super) fn any_choice_failed(&self) -> bool {
        self.names_error && self.choices.is_some_and(Choice::any_failed)
    }

    /// Returns whether a response says that it was not brought to its end.
    pub(super) fn has_stopped(&self) -> bool {
        self.incomplete.is_some() || self.status == Some(b"\"failed\"")
    }

    /// Returns whether the event's piece is no text.
    pub(super) fn is_sound(&self) -> bool {
        self.kind
            .is_some_and(|kind| kind.ends_with(b"audio.delta\""))
    }
}

/// Recognises, without parsing, that a member `error` has a value, however deep it is: of a choice, of
/// an item. Inside a JSON string its quotes would be escaped.
pub(crate) fn tells_of_error(text: &[u8]) -> bool {
    static KEY: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("\"error\""));
    KEY.find_iter(text).any(|at| {
        let rest = text.get(at + KEY.needle().len()..).unwrap_or_default();
        let value = rest.trim_ascii_start().strip_prefix(b":");
        value.is_some_and(|value| !value.trim_ascii_start().starts_with(b"null"))
    })
}
