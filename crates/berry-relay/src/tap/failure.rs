//! What makes an event, or a whole answer, the report of a failure: one rule for all protocols.
//!
//! Upstreams report a failure inside a success in as many ways as there are servers. What is taken for
//! one:
//!
//! | seen | from |
//! |---|---|
//! | an `error` that says something (not null, false, 0, or empty) | OpenAI, and most others |
//! | `"type": "error"`, `"object": "error"` | Responses, Anthropic; vLLM |
//! | the event's own name, `event: error` | servers that name their events |
//! | `"finish_reason": "error"` | routers before other upstreams |
//! | no choices (no `type` of a response), but a `code`, `detail` or `message` | frameworks' own error pages |
//!
//! What is stored may describe an error and be a good answer. A failure is reported before content: then
//! another endpoint is asked; or after it: then the client is told, once, by the upstream's own event where
//! that is in the form its programs look for, else by one of ours.

use super::{Grammar, Parts};
use crate::sse::Name;

/// Why an answer is none, as its own events say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamFailure {
    /// An error in the form that clients of this protocol look for.
    Told,
    /// An error in another form.
    Untold,
    /// Something that is not an event of this protocol.
    Garbage,
}

/// Returns how an event, or a whole answer, reports a failure; none where it does not.
pub(super) fn reported(grammar: Grammar, name: Name, parts: &Parts<'_>) -> Option<StreamFailure> {
    if parts.error.is_some_and(says_something) {
        return Some(StreamFailure::Told);
    }
    let calls_itself = |member: Option<&[u8]>| member == Some(b"\"error\"");
    if calls_itself(parts.kind) && grammar == Grammar::Responses {
        return Some(StreamFailure::Told);
    }
    let is_foreign = match grammar {
        Grammar::Choices => parts.choices.is_none(),
        Grammar::Responses => parts.kind.is_none() && parts.id.is_none(),
        Grammar::Other | Grammar::Stored | Grammar::Bytes => false,
    };
    let is_error = name == Name::Error
        || calls_itself(parts.kind)
        || calls_itself(parts.object)
        || (is_foreign && parts.complains);
    is_error.then_some(StreamFailure::Untold)
}

/// Returns whether the value of an `error` is one: some upstreams say so that there is none.
fn says_something(error: &[u8]) -> bool {
    !matches!(error, b"false" | b"0" | b"\"\"" | b"{}" | b"[]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::Fate;
    use crate::tap::{Tap, Unwanted};

    const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
    const DELTA: &str = r#"{"type":"response.output_text.delta","delta":"a"}"#;

    /// Whether an event is taken for a failure, before content and after it.
    fn fails(grammar: Grammar, name: Name, event: &str) -> Option<StreamFailure> {
        let content = match grammar {
            Grammar::Responses => DELTA,
            _ => TEXT,
        };
        let [first, later] = [&[][..], &[content]].map(|before| {
            let mut tap = Tap::new(grammar, Unwanted::default());
            for event in before {
                assert_eq!(tap.observe(Name::Other, event.as_bytes()), Fate::Pass);
            }
            let fate = tap.observe(name, event.as_bytes());
            assert_eq!(fate == Fate::Stop, tap.failure().is_some(), "{event}");
            tap.failure()
        });
        assert_eq!(first, later, "{event}");
        first
    }

    #[test]
    fn whatever_reports_a_failure_is_one() {
        use Grammar::{Choices, Other, Responses};
        use StreamFailure::{Told, Untold};
        let (other, error) = (Name::Other, Name::Error);
        for (grammar, name, event, expected) in [
            (Choices, other, r#"{"error":{"message":"x"}}"#, Told),
            (Choices, error, r#"{"error":{"message":"x"}}"#, Told),
            (Choices, other, r#"{"error":"x","choices":[]}"#, Told),
            (Choices, other, r#"{"type":"error","message":"x"}"#, Untold),
            (
                Choices,
                other,
                r#"{"object":"error","message":"x"}"#,
                Untold,
            ),
            (Choices, error, r#"{"message":"x"}"#, Untold),
            (Choices, error, TEXT, Untold),
            (Choices, error, "overloaded", Untold),
            (Choices, other, r#"{"code":500,"message":"x"}"#, Untold),
            (Choices, other, r#"{"detail":"x"}"#, Untold),
            (
                Choices,
                other,
                r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"error"}]}"#,
                Untold,
            ),
            (Responses, other, r#"{"type":"error","message":"x"}"#, Told),
            (Responses, other, r#"{"type":"response.failed"}"#, Told),
            (Responses, other, r#"{"code":500,"message":"x"}"#, Untold),
            (Responses, error, r#"{"message":"x"}"#, Untold),
            (Other, other, r#"{"type":"error"}"#, Untold),
            (Other, error, r#"{"x":1}"#, Untold),
        ] {
            assert_eq!(fails(grammar, name, event), Some(expected), "{event}");
        }
    }

    #[test]
    fn what_says_that_there_is_no_error_or_belongs_to_an_answer_is_no_failure() {
        use Grammar::{Choices, Other, Responses};
        for (grammar, event) in [
            (Choices, r#"{"error":null,"choices":[]}"#),
            (Choices, r#"{"error":{},"choices":[]}"#),
            (Choices, r#"{"error":false,"choices":[]}"#),
            (Choices, r#"{"error":"","choices":[]}"#),
            (Choices, r#"{"code":null,"message":null}"#),
            (
                Choices,
                r#"{"code":0,"message":"","choices":[{"index":0,"delta":{"content":"error"}}]}"#,
            ),
            (Choices, r#"{"type":"ping"}"#),
            (
                Responses,
                r#"{"type":"response.content_part.done","message":"x"}"#,
            ),
            (Other, r#"{"code":0,"message":"success","results":[]}"#),
        ] {
            assert_eq!(fails(grammar, Name::Other, event), None, "{event}");
        }
    }

    #[test]
    fn what_is_stored_tells_of_an_error_and_is_none() {
        for (name, event) in [
            (Name::Error, r#"{"type":"error","message":"x"}"#),
            (Name::Other, r#"{"object":"error","message":"x"}"#),
            (Name::Other, r#"{"type":"response.failed"}"#),
        ] {
            let mut tap = Tap::new(Grammar::Stored, Unwanted::default());
            tap.observe(name, event.as_bytes());

            assert_eq!(tap.failure(), None, "{event}");
        }
    }

    #[test]
    fn a_whole_answer_fails_by_the_same_rule() {
        use StreamFailure::{Garbage, Told, Untold};
        for (body, expected) in [
            (r#"{"error":{"message":"x"}}"#, Some(Told)),
            (
                r#"{"object":"error","message":"x","code":500}"#,
                Some(Untold),
            ),
            (r#"{"detail":"x"}"#, Some(Untold)),
            (
                r#"{"choices":[{"message":{},"finish_reason":"error"}]}"#,
                Some(Untold),
            ),
            (
                r#"{"choices":[{"message":{"content":"\"error\""},"finish_reason":"stop"}]}"#,
                None,
            ),
            (
                r#"{"choices":[{"message":{"role":"error"},"finish_reason":"stop"}],"code":0}"#,
                None,
            ),
            ("{}", Some(Garbage)),
        ] {
            let mut tap = Tap::default();
            tap.observe_whole(body.as_bytes());

            assert_eq!(tap.failure(), expected, "{body}");
        }
    }
}
