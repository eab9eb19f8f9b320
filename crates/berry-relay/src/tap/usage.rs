//! What an answer cost, in one form whoever counted it.

use berry_loadbalance::Tokens;
use serde::Deserialize;
use serde_json::{Map, Value};

/// No answer has that many tokens read or written. What counts more has counted something else, or
/// wrong: one such number would spoil every sum that it is part of.
const MOST: u64 = 100_000_000;

/// The members that say how many tokens were read and how many written.
const SUMS: [&str; 4] = [
    "prompt_tokens",
    "input_tokens",
    "completion_tokens",
    "output_tokens",
];

/// The tokens of one request, each counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Read, and neither taken from a cache nor put into one.
    pub uncached: u64,
    /// Read from the provider's cache.
    pub cache_read: u64,
    /// Read and put into the provider's cache.
    pub cache_write: u64,
    /// Those of them that are kept there for an hour.
    pub cache_write_1h: u64,
    /// Written, apart from reasoning.
    pub visible: u64,
    /// Written while reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// Returns all tokens read.
    pub fn input(&self) -> u64 {
        self.uncached + self.cache_read + self.cache_write
    }

    /// Returns all tokens written.
    pub fn output(&self) -> u64 {
        self.visible + self.reasoning
    }

    /// Returns this and another's.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            uncached: self.uncached.saturating_add(other.uncached),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            visible: self.visible.saturating_add(other.visible),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }

    /// Returns the same with at least so many tokens written.
    #[must_use]
    pub fn at_least(self, written: u64) -> Self {
        Self {
            visible: self.visible.max(written.saturating_sub(self.reasoning)),
            ..self
        }
    }

    /// Reads the member `usage` of an answer; none where it counts nothing, or more than can be.
    ///
    /// OpenAI's counts of tokens read include those from the cache, and its counts of tokens written
    /// include reasoning. Responses, images and transcriptions have other names for the same. xAI counts
    /// reasoning beside what is written, and others leave it out of all but the total.
    pub(crate) fn read(member: &[u8]) -> Option<Self> {
        Self::of(Counted::read(member)?)
    }

    /// Reads the same of what may write no tokens. Where none are counted the total was read: rerankers and
    /// embedders may count nothing else.
    pub(crate) fn read_input(member: &[u8]) -> Option<Self> {
        let mut counted = Counted::read(member)?;
        let written = counted.completion_tokens.or(counted.output_tokens);
        if written.unwrap_or_default() == 0 {
            let read = counted.prompt_tokens.or(counted.input_tokens);
            counted.prompt_tokens = read.max(counted.total_tokens);
        }
        Self::of(counted)
    }

    fn of(counted: Counted) -> Option<Self> {
        let input = counted.prompt_tokens.or(counted.input_tokens);
        let output = counted.completion_tokens.or(counted.output_tokens);
        if input.is_none() && output.is_none() {
            return None;
        }
        let (input, output) = (input.unwrap_or_default(), output.unwrap_or_default());
        let read = counted
            .prompt_tokens_details
            .or(counted.input_tokens_details);
        let read = read.unwrap_or_default();
        let cached = read.cached_tokens.or(counted.cached_tokens);
        let cached = cached.or(counted.prompt_cache_hit_tokens);
        let written = counted
            .completion_tokens_details
            .or(counted.output_tokens_details);
        let reasoning = written.unwrap_or_default().reasoning_tokens;
        let total = counted.total_tokens.unwrap_or_default();
        let missing = total.saturating_sub(input.checked_add(output)?);
        let beside = match reasoning {
            Some(reasoning) if reasoning > output || reasoning == missing => reasoning,
            None if cached != Some(missing) => missing,
            _ => 0,
        };
        let output = output.checked_add(beside)?;
        if input > MOST || output > MOST {
            return None;
        }
        // Shares cannot be more than the whole.
        let cache_read = cached.unwrap_or_default().min(input);
        let cache_write = read.cache_write_tokens.unwrap_or_default();
        let cache_write = cache_write.min(input - cache_read);
        let reasoning = reasoning.unwrap_or(beside).min(output);
        Some(Self {
            uncached: input - cache_read - cache_write,
            cache_read,
            cache_write,
            cache_write_1h: read
                .cache_write_1h_tokens
                .unwrap_or_default()
                .min(cache_write),
            visible: output - reasoning,
            reasoning,
        })
    }
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input() as f64,
            cached: usage.cache_read as f64,
            cache_write: usage.cache_write as f64,
            cache_write_1h: usage.cache_write_1h as f64,
            output: usage.output() as f64,
        }
    }
}

#[derive(Deserialize, Default)]
struct Counted {
    prompt_tokens: Option<u64>,
    input_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    output_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<Read>,
    input_tokens_details: Option<Read>,
    completion_tokens_details: Option<Written>,
    output_tokens_details: Option<Written>,
    /// Other names for what the details have.
    cached_tokens: Option<u64>,
    prompt_cache_hit_tokens: Option<u64>,
}

impl Counted {
    fn read(member: &[u8]) -> Option<Self> {
        serde_json::from_slice(member).map_or_else(|_| Self::roughly(member), Some)
    }

    /// Reads what makes sense of a count in which not all does: whole numbers with a point, a list where an
    /// object is expected, a share of less than nothing. Where one of the two sums makes none, nothing is
    /// counted.
    fn roughly(member: &[u8]) -> Option<Self> {
        let mut members: Map<String, Value> = serde_json::from_slice(member).ok()?;
        for (name, value) in &mut members {
            let was_said = !value.is_null();
            match value {
                Value::Object(details) => details.values_mut().for_each(mend),
                _ => mend(value),
            }
            if was_said && value.is_null() && SUMS.contains(&name.as_str()) {
                return None;
            }
        }
        serde_json::from_value(Value::Object(members)).ok()
    }
}

/// Makes a whole number of a count, or nothing.
fn mend(value: &mut Value) {
    if value.as_u64().is_none() {
        // A number like `1000.0` is written without its point where it is whole.
        let number = value.as_f64().map(|number| number.to_string());
        let whole = number.and_then(|number| number.parse::<u64>().ok());
        *value = whole.map_or(Value::Null, Value::from);
    }
}

#[derive(Deserialize, Default)]
#[expect(
    clippy::struct_field_names,
    reason = "they are named as they are written"
)]
struct Read {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    /// Our own word, for what Anthropic says.
    cache_write_1h_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct Written {
    reasoning_tokens: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it stands beside none")]
    fn usage(
        uncached: u64,
        cache_read: u64,
        cache_write: u64,
        visible: u64,
        reasoning: u64,
    ) -> Option<Usage> {
        Some(Usage {
            uncached,
            cache_read,
            cache_write,
            visible,
            reasoning,
            cache_write_1h: 0,
        })
    }

    #[test]
    fn every_token_is_counted_once() {
        for (member, expected) in [
            (
                r#"{"prompt_tokens":7,"completion_tokens":2}"#,
                usage(7, 0, 0, 2, 0),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":9,"total_tokens":19,
                    "prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3,"audio_tokens":0},
                    "completion_tokens_details":{"reasoning_tokens":5}}"#,
                usage(3, 4, 3, 4, 5),
            ),
            (
                r#"{"input_tokens":10,"output_tokens":9,"input_tokens_details":{"cached_tokens":4},
                    "output_tokens_details":{"reasoning_tokens":5}}"#,
                usage(6, 4, 0, 4, 5),
            ),
            (
                r#"{"prompt_tokens":5,"total_tokens":5}"#,
                usage(5, 0, 0, 0, 0),
            ),
            (
                r#"{"prompt_tokens":5,"input_tokens":5,"completion_tokens":null,"prompt_tokens_details":null}"#,
                usage(5, 0, 0, 0, 0),
            ),
            (
                r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9,"cache_write_tokens":9},
                    "completion_tokens_details":{"reasoning_tokens":9}}"#,
                usage(0, 5, 0, 1, 9),
            ),
            ("{}", None),
            (r#"{"total_tokens":3}"#, None),
            (r#"{"prompt_tokens":-1}"#, None),
            (r#"{"prompt_tokens":5,"completion_tokens":-1}"#, None),
            (r#"{"prompt_tokens":5,"completion_tokens":2.5}"#, None),
            (
                r#"{"input_tokens":18446744073709551616,"output_tokens":2}"#,
                None,
            ),
            (r#"{"input_tokens":1e30,"output_tokens":2}"#, None),
            (
                r#"{"prompt_tokens":5,"completion_tokens":2,"cost":0.25,"total_tokens":-1}"#,
                usage(5, 0, 0, 2, 0),
            ),
            (r#"{"prompt_tokens":0.5,"completion_tokens":"7"}"#, None),
            (
                r#"{"prompt_tokens":5,"completion_tokens":18446744073709551615}"#,
                None,
            ),
            (r#"{"prompt_tokens":100000001,"completion_tokens":1}"#, None),
            (
                r#"{"prompt_tokens":100000000,"completion_tokens":1}"#,
                usage(100_000_000, 0, 0, 1, 0),
            ),
            ("[]", None),
        ] {
            assert_eq!(Usage::read(member.as_bytes()), expected, "{member}");
        }
    }

    #[test]
    fn what_is_kept_for_an_hour_is_a_part_of_what_was_put_there() {
        for (kept, expected) in [(0, 0), (3, 3), (9, 4)] {
            let member = format!(
                r#"{{"prompt_tokens":10,"completion_tokens":2,
                    "prompt_tokens_details":{{"cache_write_tokens":4,"cache_write_1h_tokens":{kept}}}}}"#
            );
            let read = Usage::read(member.as_bytes()).unwrap();
            assert_eq!((read.cache_write, read.cache_write_1h), (4, expected));
        }
    }

    #[test]
    fn what_writes_nothing_has_read_all_tokens() {
        for (member, expected) in [
            (r#"{"total_tokens":7}"#, usage(7, 0, 0, 0, 0)),
            (
                r#"{"total_tokens":7,"prompt_tokens":null}"#,
                usage(7, 0, 0, 0, 0),
            ),
            (
                r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":7}"#,
                usage(7, 0, 0, 0, 0),
            ),
            (
                r#"{"prompt_tokens":7,"total_tokens":7}"#,
                usage(7, 0, 0, 0, 0),
            ),
            (r#"{"prompt_tokens":7}"#, usage(7, 0, 0, 0, 0)),
            (
                r#"{"input_tokens":7,"output_tokens":5,"total_tokens":12}"#,
                usage(7, 0, 0, 5, 0),
            ),
            (r#"{"total_tokens":100000001}"#, None),
            ("{}", None),
        ] {
            assert_eq!(Usage::read_input(member.as_bytes()), expected, "{member}");
        }
    }

    #[test]
    fn counts_of_other_ways_are_understood() {
        for (member, expected) in [
            (
                r#"{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1910,
                    "completion_tokens_details":{"reasoning_tokens":900}}"#,
                usage(1000, 0, 0, 10, 900),
            ),
            (
                r#"{"prompt_tokens":1000,"completion_tokens":950,"total_tokens":2850,
                    "completion_tokens_details":{"reasoning_tokens":900}}"#,
                usage(1000, 0, 0, 950, 900),
            ),
            (
                r#"{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1910}"#,
                usage(1000, 0, 0, 10, 900),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":10,"total_tokens":27,
                    "prompt_tokens_details":{"cached_tokens":7}}"#,
                usage(3, 7, 0, 10, 0),
            ),
            (
                r#"{"prompt_tokens":1000.0,"completion_tokens":2,"prompt_tokens_details":[]}"#,
                usage(1000, 0, 0, 2, 0),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":-1},"x":"y"}"#,
                usage(10, 0, 0, 2, 0),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":2,"cached_tokens":4}"#,
                usage(6, 4, 0, 2, 0),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":2,"prompt_cache_hit_tokens":4}"#,
                usage(6, 4, 0, 2, 0),
            ),
        ] {
            assert_eq!(Usage::read(member.as_bytes()), expected, "{member}");
        }
    }
}
