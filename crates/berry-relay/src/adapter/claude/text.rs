//! Strings that are moved from one JSON text into another as they are written there.
//!
//! What Anthropic escaped stays escaped: no piece of an answer is unescaped, copied and escaped
//! again, and what no Rust string can hold (half a surrogate pair) reaches the client unchanged.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A string, or a concatenation of strings, between the quotes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Text(Vec<u8>);

impl Text {
    /// Appends a string; what is none adds nothing.
    pub(super) fn push(&mut self, value: Option<&RawValue>) {
        self.0.extend_from_slice(inside(value).as_bytes());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the length as it is written.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes the string, in quotes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(&self.0);
        out.push(b'"');
    }
}

/// Reads a JSON object. What is derived would take an array of the members' values too.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let begins = json.trim_ascii_start().starts_with(b"{");
    begins.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// Returns what is between a string's quotes, as it is written; nothing where it is no string.
pub(super) fn inside(value: Option<&RawValue>) -> &str {
    value
        .and_then(|value| value.get().strip_prefix('"')?.strip_suffix('"'))
        .unwrap_or_default()
}

/// Returns a text as it is written within the quotes of a JSON string.
pub(super) fn quoted(text: &str) -> String {
    // Writing a string into memory has no way to fail.
    let mut quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.pop();
    quoted.drain(..quoted.len().min(1));
    quoted
}

/// Writes a text as a JSON string.
pub(super) fn write(text: &str, out: &mut Vec<u8>) {
    // Writing a string into memory has no way to fail.
    let _ = serde_json::to_writer(out, text);
}
