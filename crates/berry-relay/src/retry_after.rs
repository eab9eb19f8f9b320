//! How long a provider asks us to wait. Each says it in a way of its own; the first row that is there
//! and can be read counts.
//!
//! | where | what | learned from |
//! |---|---|---|
//! | `retry-after-ms` | milliseconds | OpenAI's SDKs, which read it first |
//! | `retry-after` | seconds, or a date | RFC 9110 10.2.3; fractions of seconds as OpenAI's SDKs read them |
//! | `error.details[].retryDelay` | `38s` | Gemini, which sends `google.rpc.RetryInfo` and no header |
//! | `x-ratelimit-reset-*` | `6m0s`, `17ms`, or seconds | OpenAI's guide to rate limits; Groq and Azure likewise |
//! | `anthropic-ratelimit-*-reset` | RFC 3339 | Anthropic's page on rate limits |
//!
//! The last two come with every answer, so they speak only where a rate limit was hit. They say when
//! a limit is whole again, one header for each limit: those count of which nothing remains, and of
//! these the last. Where each has something left, the limit that was hit is not known, and the
//! last of the `x-ratelimit-reset-*` counts.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use jiff::fmt::friendly::SpanParser;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::Value;

/// The longest wait that is taken from a provider, and told to a client. A longer one is a mistake or
/// a matter of the account.
const LONGEST: Duration = Duration::from_secs(3600);
/// From here on a bare number is a point in time, of a unit that nobody has agreed on.
const NO_LENGTH: f64 = 1e9;

/// Returns how long this answer asks for, in so many words. `details` are those of its error.
pub(crate) fn stated(headers: &HeaderMap, details: &[Value], now: Timestamp) -> Option<Duration> {
    milliseconds(headers)
        .or_else(|| seconds_or_date(headers, now))
        .or_else(|| details.iter().find_map(retry_delay))
        .map(|wait| wait.min(LONGEST))
}

/// Returns when the limit that was hit is whole again.
pub(crate) fn reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let mut spent = None;
    let mut any = None;
    for (name, value) in headers {
        let Some(limit) = Limit::of(name.as_str()) else {
            continue;
        };
        let Some(wait) = value.to_str().ok().and_then(|value| length(value, now)) else {
            continue;
        };
        let remaining = text(headers, &limit.remaining()).and_then(number);
        if remaining.is_some_and(|remaining| remaining <= 0.0) {
            spent = spent.max(Some(wait));
        }
        if matches!(limit, Limit::Usual(_)) {
            any = any.max(Some(wait));
        }
    }
    spent.or(any).map(|wait| wait.min(LONGEST))
}

/// A limit that a header says the reset of, by what it limits.
enum Limit<'a> {
    Usual(&'a str),
    Anthropic(&'a str),
}

impl<'a> Limit<'a> {
    fn of(header: &'a str) -> Option<Self> {
        if let Some(what) = header.strip_prefix("x-ratelimit-reset-") {
            return Some(Self::Usual(what));
        }
        let what = header.strip_prefix("anthropic-ratelimit-")?;
        what.strip_suffix("-reset").map(Self::Anthropic)
    }

    /// Returns the header that says what is left.
    fn remaining(&self) -> String {
        match self {
            Self::Usual(what) => format!("x-ratelimit-remaining-{what}"),
            Self::Anthropic(what) => format!("anthropic-ratelimit-{what}-remaining"),
        }
    }
}

fn milliseconds(headers: &HeaderMap) -> Option<Duration> {
    seconds(number(text(headers, "retry-after-ms")?)? / 1000.0)
}

fn seconds_or_date(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = text(headers, "retry-after")?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More of them than a clock can count say that it is long.
        return seconds(number(text)?.min(NO_LENGTH));
    }
    if let Some(number) = number(text) {
        return seconds(number);
    }
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(until(date, now))
}

fn retry_delay(detail: &Value) -> Option<Duration> {
    let text = detail["retryDelay"].as_str()?;
    SpanParser::new().parse_unsigned_duration(text).ok()
}

/// Reads a length in any of the forms of the resets.
fn length(text: &str, now: Timestamp) -> Option<Duration> {
    if let Some(number) = number(text) {
        return seconds(number).filter(|_| number < NO_LENGTH);
    }
    let length = SpanParser::new().parse_unsigned_duration(text);
    length.ok().or_else(|| Some(until(text.parse().ok()?, now)))
}

fn until(date: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?;
    value.to_str().ok().map(str::trim)
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Returns no length where the number is negative or none that a clock can count.
fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T08:00:00Z".parse().unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn what_is_stated_is_read_in_all_its_forms() {
        for (pairs, expected) in [
            (&[("retry-after", "7")][..], Some(7_000)),
            (&[("retry-after", "18446744073709551616")], Some(3_600_000)),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "0.5")], Some(500)),
            (
                &[("retry-after-ms", "250"), ("retry-after", "7")],
                Some(250),
            ),
            (
                &[("retry-after-ms", "soon"), ("retry-after", "7")],
                Some(7_000),
            ),
            (
                &[("retry-after", "Sat, 21 Nov 2026 08:00:30 GMT")],
                Some(30_000),
            ),
            (&[("retry-after", "Sat, 21 Nov 2026 07:00:00 GMT")], Some(0)),
            (&[("retry-after", "86400")], Some(3_600_000)),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "1e300")], None),
            (&[("retry-after", "NaN")], None),
            (&[], None),
        ] {
            let found = stated(&headers(pairs), &[], now());
            assert_eq!(found, expected.map(Duration::from_millis), "{pairs:?}");
        }
    }

    #[test]
    fn the_delay_of_a_gemini_error_is_read_where_no_header_says_more() {
        let delay = |text: &str| {
            [
                json!({ "@type": "type.googleapis.com/google.rpc.Help", "links": [] }),
                json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": text }),
            ]
        };
        for (text, expected) in [
            ("38s", Some(38_000)),
            ("36.429s", Some(36_429)),
            ("0s", Some(0)),
            ("7200s", Some(3_600_000)),
            ("-1s", None),
            ("", None),
        ] {
            let found = stated(&HeaderMap::new(), &delay(text), now());
            assert_eq!(found, expected.map(Duration::from_millis), "{text}");
        }
        let header = headers(&[("retry-after", "2")]);
        let found = stated(&header, &delay("38s"), now());
        assert_eq!(found, Some(Duration::from_secs(2)));
    }

    #[test]
    fn the_limit_of_which_nothing_remains_says_how_long() {
        const REQUESTS: &str = "x-ratelimit-reset-requests";
        const TOKENS: &str = "x-ratelimit-reset-tokens";
        const REQUESTS_LEFT: &str = "x-ratelimit-remaining-requests";
        const TOKENS_LEFT: &str = "x-ratelimit-remaining-tokens";
        const INPUT: &str = "anthropic-ratelimit-input-tokens-reset";
        const INPUT_LEFT: &str = "anthropic-ratelimit-input-tokens-remaining";
        const OUTPUT: &str = "anthropic-ratelimit-output-tokens-reset";
        let minute = ("anthropic-ratelimit-requests-reset", "2026-11-21T08:01:00Z");
        for (pairs, expected) in [
            (&[(REQUESTS, "1s")][..], Some(1_000)),
            (&[(REQUESTS, "17ms")], Some(17)),
            (&[(REQUESTS, "6m0s")], Some(360_000)),
            (&[(REQUESTS, "2m59.56s")], Some(179_560)),
            (&[(REQUESTS, "1h2m3.5s")], Some(3_600_000)),
            (&[(REQUESTS, "0h2m3.5s")], Some(123_500)),
            (&[(REQUESTS, "12")], Some(12_000)),
            (&[(REQUESTS, "0.25")], Some(250)),
            (&[(REQUESTS, "2026-11-21T08:00:05Z")], Some(5_000)),
            (&[(REQUESTS, "1763712000")], None),
            (&[(REQUESTS, "1763712000000")], None),
            (&[(REQUESTS, "soon")], None),
            (&[(REQUESTS, "-1s")], None),
            (&[(REQUESTS, "1s"), (TOKENS, "3s")], Some(3_000)),
            (
                &[
                    (REQUESTS, "1s"),
                    (TOKENS, "3s"),
                    (REQUESTS_LEFT, "0"),
                    (TOKENS_LEFT, "90"),
                ],
                Some(1_000),
            ),
            (
                &[
                    (REQUESTS, "1s"),
                    (TOKENS, "3s"),
                    (REQUESTS_LEFT, "0"),
                    (TOKENS_LEFT, "0"),
                ],
                Some(3_000),
            ),
            (
                &[("x-ratelimit-reset-images", "4s"), (TOKENS, "3s")],
                Some(4_000),
            ),
            (
                &[(INPUT, "2026-11-21T08:00:20Z"), (INPUT_LEFT, "0"), minute],
                Some(20_000),
            ),
            (
                &[(INPUT, "2026-11-21T07:00:00Z"), (INPUT_LEFT, "0")],
                Some(0),
            ),
            (&[(OUTPUT, "2026-11-21T08:00:20Z"), minute], None),
            (&[("x-ratelimit-reset", "4s")], None),
            (&[], None),
        ] {
            let found = reset(&headers(pairs), now());
            assert_eq!(found, expected.map(Duration::from_millis), "{pairs:?}");
        }
    }
}
