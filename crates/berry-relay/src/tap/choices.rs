//! The choices of a chat's or a completion's event.

use std::borrow::Cow;

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"finish_reason\":"));

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    pub(super) index: u32,
    /// A completion has its text here.
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
}

impl Choice<'_> {
    /// Returns whether any of these choices has failed.
    pub(super) fn any_failed(choices: &[u8]) -> bool {
        serde_json::from_slice::<Vec<Choice<'_>>>(choices)
            .is_ok_and(|choices| choices.iter().any(Choice::has_failed))
    }

    /// Returns whether any of these choices carries something; those that cannot be read do.
    pub(super) fn any_says(choices: &[u8]) -> bool {
        serde_json::from_slice::<Vec<Choice<'_>>>(choices)
            .map_or(true, |choices| choices.iter().any(Choice::has_content))
    }

    /// Returns whether it ended because of an error, as routers say that ask other upstreams.
    pub(super) fn has_failed(&self) -> bool {
        self.finish_reason
            .is_some_and(|reason| reason.get() == "\"error\"")
    }

    /// Returns whether it has a finish reason. Some upstreams send an empty one with every chunk.
    pub(super) fn has_ended(&self) -> bool {
        self.finish_reason.is_some_and(carries)
    }

    /// Returns whether it says nothing itself, but something about what was said before.
    pub(super) fn is_report(&self) -> bool {
        self.text.is_none() && self.delta.is_none() && !self.has_ended()
    }

    /// Returns whether it carries something; a role alone, or an empty text, does not.
    pub(super) fn has_content(&self) -> bool {
        let parts = self.delta.as_ref().map(|delta| {
            [
                delta.content,
                delta.reasoning_content,
                delta.reasoning,
                delta.tool_calls,
                delta.function_call,
                delta.refusal,
                delta.audio,
                delta.images,
            ]
        });
        self.has_ended()
            || self.text.is_some_and(carries)
            || parts.into_iter().flatten().flatten().any(carries)
    }
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
    #[serde(borrow, default)]
    images: Option<&'a RawValue>,
}

fn carries(value: &RawValue) -> bool {
    let text: Cow<'_, str> = value.get().into();
    !matches!(text.as_ref(), "\"\"" | "[]" | "{}")
}

/// Recognises, without parsing it, what nearly every chunk is: one choice, the first, not ended. Returns
/// what is between its index and its finish reason.
///
/// A quoted `finish_reason` before a colon can only be a key: inside a JSON string its quotes would
/// be escaped. So a text that begins with the first index and has one such key, and that null, is
/// one choice.
pub(super) fn middle_of_first(choices: &[u8]) -> Option<&[u8]> {
    let rest = choices.strip_prefix(b"[{\"index\":0,")?;
    let mut keys = KEY.find_iter(rest);
    let first = keys.next()?;
    let is_one = keys.next().is_none() && rest[first + KEY.needle().len()..].starts_with(b"null");
    is_one.then(|| &rest[..first])
}
