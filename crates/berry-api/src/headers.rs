//! Which headers cross the gateway: those listed here, and no others.
//!
//! Credentials, cookies, hop-by-hop headers and an upstream's CORS stay where they are. What both
//! an upstream and Berry say, such as the id of a request or what is left of a limit, is passed on
//! under a name of its own: a client must not take the provider's word for ours. Nor may a value
//! quote what only the gateway and the provider know.

use berry_relay::Scrub;
use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;

/// From the client to the upstream.
static TO_UPSTREAM: [HeaderName; 6] = [
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Room for the headers of an answer: the upstream's, the user's limits and our own.
const USUAL: usize = 12;
/// How the names begin by which Anthropic tells its limits, which are nobody else's; and what follows:
/// of what, and what is told of it. A name may quote a secret as well as a value.
const ANTHROPIC_LIMITS: &str = "anthropic-ratelimit-";
const LIMITED: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];
const OF_LIMITS: [&str; 3] = ["limit", "remaining", "reset"];

/// Returns the client's headers that go on.
pub(crate) fn to_upstream(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in client {
        if TO_UPSTREAM.contains(name) && !ends_here(client, name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// Returns the upstream's headers that go on.
pub(crate) fn to_client(upstream: &HeaderMap, scrub: &Scrub) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(USUAL);
    for (name, value) in upstream {
        if let Some(shown) = name_for_client(name)
            && !ends_here(upstream, name)
            && (shown != RETRY_AFTER || is_wait(value))
        {
            headers.append(shown, scrub.clean_header(value));
        }
    }
    headers
}

/// Returns what a header of an upstream's is called for the client; none where it is not for them.
fn name_for_client(name: &HeaderName) -> Option<HeaderName> {
    Some(match name.as_str() {
        "content-type" => CONTENT_TYPE,
        "retry-after" => RETRY_AFTER,
        "openai-processing-ms" | "openai-version" => name.clone(),
        // Anthropic's header has the shorter name.
        "x-request-id" | "request-id" => HeaderName::from_static("x-upstream-request-id"),
        "x-ratelimit-limit-requests" => {
            HeaderName::from_static("x-upstream-ratelimit-limit-requests")
        }
        "x-ratelimit-limit-tokens" => HeaderName::from_static("x-upstream-ratelimit-limit-tokens"),
        "x-ratelimit-remaining-requests" => {
            HeaderName::from_static("x-upstream-ratelimit-remaining-requests")
        }
        "x-ratelimit-remaining-tokens" => {
            HeaderName::from_static("x-upstream-ratelimit-remaining-tokens")
        }
        "x-ratelimit-reset-requests" => {
            HeaderName::from_static("x-upstream-ratelimit-reset-requests")
        }
        "x-ratelimit-reset-tokens" => HeaderName::from_static("x-upstream-ratelimit-reset-tokens"),
        text if is_anthropic_limit(text) => name.clone(),
        _ => return None,
    })
}

/// Returns whether a header is one of Anthropic's limits.
fn is_anthropic_limit(name: &str) -> bool {
    let rest = name.strip_prefix(ANTHROPIC_LIMITS);
    let parts = rest.and_then(|rest| rest.rsplit_once('-'));
    parts.is_some_and(|(of, what)| LIMITED.contains(&of) && OF_LIMITS.contains(&what))
}

/// Returns whether a `Retry-After` has one of its two forms: seconds, or a date.
fn is_wait(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let is_seconds = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_seconds || DateTimeParser::new().parse_timestamp(text).is_ok()
}

/// Returns whether `Connection` says that a header is for the next hop only (RFC 9110, 7.6.1).
fn ends_here(headers: &HeaderMap, name: &HeaderName) -> bool {
    let names = |value: &HeaderValue| {
        let mut options = value.as_bytes().split(|&byte| byte == b',');
        options.any(|option| {
            option
                .trim_ascii()
                .eq_ignore_ascii_case(name.as_str().as_bytes())
        })
    };
    headers.get_all(CONNECTION).iter().any(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines.iter().map(|&(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        lines.collect()
    }

    #[test]
    fn what_an_upstream_says_of_its_limits_is_not_taken_for_ours() {
        let told = headers(&[
            ("x-ratelimit-remaining-requests", "7"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("anthropic-ratelimit-tokens-remaining", "8"),
            ("request-id", "req_1"),
        ]);
        let shown = to_client(&told, &Scrub::default());

        let expected = headers(&[
            ("x-upstream-ratelimit-remaining-requests", "7"),
            ("x-upstream-ratelimit-reset-tokens", "6m0s"),
            ("anthropic-ratelimit-tokens-remaining", "8"),
            ("x-upstream-request-id", "req_1"),
        ]);
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_name_is_known_to_its_end() {
        let told = headers(&[
            ("anthropic-ratelimit-sk-live-0123456789", "1"),
            ("anthropic-ratelimit-tokens-sk-live-0123456789", "1"),
            ("anthropic-ratelimit-sk-live-0123456789-reset", "1"),
            ("x-ratelimit-limit-requests-sk-live-0123456789", "1"),
            ("anthropic-ratelimit-", "1"),
            ("anthropic-ratelimit-output-tokens-reset", "1"),
        ]);

        let shown = to_client(&told, &Scrub::default());

        let expected = headers(&[("anthropic-ratelimit-output-tokens-reset", "1")]);
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_wait_is_a_number_or_a_date() {
        for (value, expected) in [
            ("0", true),
            ("120", true),
            ("Fri, 31 Dec 1999 23:59:59 GMT", true),
            ("", false),
            ("-1", false),
            ("soon", false),
            ("1; key", false),
        ] {
            let shown = to_client(&headers(&[("retry-after", value)]), &Scrub::default());
            assert_eq!(shown.contains_key(RETRY_AFTER), expected, "{value}");
        }
    }

    #[test]
    fn what_connection_names_goes_no_further() {
        let lines = [
            ("connection", "keep-alive, Traceparent"),
            ("traceparent", "00-1-2-01"),
            ("tracestate", "a=b"),
        ];

        assert_eq!(
            to_upstream(&headers(&lines)),
            headers(&[("tracestate", "a=b")])
        );
    }
}
