//! What an answer cost, in OpenAI's terms.
//!
//! Anthropic counts what was read from and written to its cache beside the input, OpenAI counts it
//! in: `prompt_tokens` is the sum of the three. `output_tokens` includes thinking in both.

use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapter::count;

/// Tokens as far as they have been reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) struct Usage {
    #[serde(default, deserialize_with = "count::read")]
    input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count::read")]
    cache_read_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count::read")]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation: Option<CacheCreation>,
    #[serde(default, deserialize_with = "count::read")]
    output_tokens: Option<u64>,
    #[serde(default)]
    output_tokens_details: Option<OutputDetails>,
    /// A report made no sense: what others said is not all.
    #[serde(skip)]
    is_garbled: bool,
}

/// What was put into the cache by how long it is kept there, as that has its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct CacheCreation {
    #[serde(default, deserialize_with = "count::read_share")]
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct OutputDetails {
    #[serde(default, deserialize_with = "count::read_share")]
    thinking_tokens: Option<u64>,
}

impl Usage {
    /// Takes a report: totals so far, of which members may be missing.
    pub(super) fn observe(&mut self, report: &RawValue) {
        let report = match serde_json::from_str::<Option<Self>>(report.get()) {
            Ok(Some(report)) => report,
            Ok(None) => return,
            Err(_) => {
                self.is_garbled = true;
                return;
            }
        };
        // The input is known at the start; some servers repeat it as nought at the end.
        let last = |new: Option<u64>, old| new.filter(|tokens| *tokens > 0).or(old).or(new);
        *self = Self {
            input_tokens: last(report.input_tokens, self.input_tokens),
            cache_read_input_tokens: last(
                report.cache_read_input_tokens,
                self.cache_read_input_tokens,
            ),
            cache_creation_input_tokens: last(
                report.cache_creation_input_tokens,
                self.cache_creation_input_tokens,
            ),
            cache_creation: report.cache_creation.or(self.cache_creation),
            output_tokens: report.output_tokens.or(self.output_tokens),
            output_tokens_details: report.output_tokens_details.or(self.output_tokens_details),
            is_garbled: self.is_garbled,
        };
    }

    /// Returns whether it has been reported how many tokens were read and how many written: one of the two
    /// alone would say that the other is nought.
    pub(super) fn is_known(&self) -> bool {
        !self.is_garbled && self.input_tokens.is_some() && self.output_tokens.is_some()
    }

    /// Writes the object `usage`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let read = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        let input = self.input_tokens.unwrap_or(0);
        let input = input.saturating_add(read).saturating_add(written);
        let output = self.output_tokens.unwrap_or(0);
        let total = input.saturating_add(output);
        // Writing into memory has no way to fail.
        let _ = write!(
            out,
            r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{read}"#
        );
        if written > 0 {
            let _ = write!(out, r#","cache_write_tokens":{written}"#);
        }
        let kept = self
            .cache_creation
            .and_then(|by| by.ephemeral_1h_input_tokens);
        if let Some(kept) = kept.filter(|tokens| *tokens > 0) {
            let _ = write!(out, r#","cache_write_1h_tokens":{kept}"#);
        }
        out.push(b'}');
        let details = self.output_tokens_details;
        if let Some(thinking) = details.and_then(|details| details.thinking_tokens) {
            let _ = write!(
                out,
                r#","completion_tokens_details":{{"reasoning_tokens":{thinking}}}"#
            );
        }
        out.push(b'}');
    }
}
