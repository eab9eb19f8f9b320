//! Watches an answer pass, and says what it was.
//!
//! The tap always runs, on untouched bytes too: it decides when content has come (from then on no
//! other endpoint can answer), whether the answer reports an error, whether it ended as an answer
//! ends, and what it cost. It changes nothing.

use std::borrow::Cow;
use std::ops::ControlFlow;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{self, Malformed};

/// Tokens as the upstream counted them, in OpenAI's terms: input includes what was cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Usage {
    /// Tokens read.
    #[serde(default, rename = "prompt_tokens")]
    pub input: u64,
    /// Tokens written, reasoning included.
    #[serde(default, rename = "completion_tokens")]
    pub output: u64,
}

/// What has been seen of an answer so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tap {
    /// Text, reasoning, a tool call, a refusal, audio or a finish reason has come.
    content: bool,
    /// The last event that a complete stream sends has come: a finish reason or `[DONE]`.
    finished: bool,
    failure: Option<StreamFailure>,
    usage: Option<Usage>,
}

/// Why an answer is none, as its own events say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamFailure {
    /// An error object.
    Error,
    /// Something that is not an event of this protocol.
    Garbage,
}

impl Tap {
    /// Takes the data of one event; breaks where the stream must not go on.
    pub(crate) fn observe(&mut self, data: &[u8]) -> ControlFlow<()> {
        if data.trim_ascii() == b"[DONE]" {
            self.finished = true;
            return ControlFlow::Continue(());
        }
        let mut parts = Parts::default();
        if parts.scan(data).is_err() {
            return self.fail(StreamFailure::Garbage);
        }
        if parts.error.is_some() {
            return self.fail(StreamFailure::Error);
        }
        if let Some(usage) = parts.usage {
            // Some upstreams send a running total with every chunk: the last one counts.
            self.usage = serde_json::from_slice(usage).ok().or(self.usage);
        }
        if let Some(choices) = parts.choices {
            self.content = self.content || has_content(choices);
            self.finished = self.finished || has_finish_reason(choices);
        }
        ControlFlow::Continue(())
    }

    /// Takes a whole answer.
    pub(crate) fn observe_whole(&mut self, body: &[u8]) {
        let mut parts = Parts::default();
        let scanned = std::str::from_utf8(body).is_ok() && parts.scan(body).is_ok();
        if !scanned {
            self.failure = Some(StreamFailure::Garbage);
        } else if parts.error.is_some() {
            self.failure = Some(StreamFailure::Error);
        } else {
            self.content = true;
            self.finished = true;
            self.usage = parts
                .usage
                .and_then(|usage| serde_json::from_slice(usage).ok());
        }
    }

    /// Returns whether something for the client's user has come.
    pub(crate) fn content(&self) -> bool {
        self.content
    }

    /// Returns whether the answer may end here.
    pub(crate) fn finished(&self) -> bool {
        self.finished
    }

    /// Returns how the answer failed by its own events.
    pub(crate) fn failure(&self) -> Option<StreamFailure> {
        self.failure
    }

    /// Returns the tokens the upstream reported last.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn fail(&mut self, failure: StreamFailure) -> ControlFlow<()> {
        self.failure = Some(failure);
        ControlFlow::Break(())
    }
}

/// The members of an answer that the tap looks at; null counts as absent.
#[derive(Default)]
struct Parts<'a> {
    choices: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    usage: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn scan(&mut self, text: &'a [u8]) -> Result<(), Malformed> {
        json::members(text, |member| {
            let place = match &text[member.key] {
                b"choices" => &mut self.choices,
                b"error" => &mut self.error,
                b"usage" => &mut self.usage,
                _ => return,
            };
            let value = &text[member.value];
            *place = (value != b"null").then_some(value);
        })
    }
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
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
}

/// Returns whether a choice carries something; a role alone, or an empty text, does not.
fn has_content(choices: &[u8]) -> bool {
    let Ok(choices) = serde_json::from_slice::<Vec<Choice<'_>>>(choices) else {
        // Choices of a shape we do not know are the client's to judge.
        return true;
    };
    choices.iter().any(|choice| {
        let delta = choice.delta.as_ref();
        let parts = delta.map(|delta| {
            [
                delta.content,
                delta.reasoning_content,
                delta.reasoning,
                delta.tool_calls,
                delta.function_call,
                delta.refusal,
                delta.audio,
            ]
        });
        choice.finish_reason.is_some() || parts.into_iter().flatten().flatten().any(carries)
    })
}

fn carries(value: &RawValue) -> bool {
    let text: Cow<'_, str> = value.get().into();
    !matches!(text.as_ref(), "\"\"" | "[]" | "{}")
}

/// Returns whether a choice has a finish reason. A quoted `finish_reason` before a colon can only be
/// a key: inside a JSON string its quotes would be escaped.
fn has_finish_reason(choices: &[u8]) -> bool {
    const KEY: &[u8] = b"\"finish_reason\"";
    memmem::find_iter(choices, KEY).any(|at| {
        let after = choices[at + KEY.len()..].trim_ascii_start();
        let value = after.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        value.is_some_and(|value| !value.starts_with(b"null"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(events: &[&str]) -> Tap {
        let mut tap = Tap::default();
        for event in events {
            if tap.observe(event.as_bytes()).is_break() {
                break;
            }
        }
        tap
    }

    fn delta(delta: &str) -> String {
        format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
    }

    #[test]
    fn a_role_a_ping_and_empty_texts_are_no_content() {
        for event in [
            delta(r#"{"role":"assistant"}"#),
            delta(r#"{"role":"assistant","content":""}"#),
            delta(r#"{"role":"assistant","content":null,"refusal":null,"tool_calls":[]}"#),
            delta("{}"),
            r#"{"choices":[],"prompt_filter_results":[{}]}"#.to_owned(),
            r#"{"choices":[],"usage":{"prompt_tokens":1}}"#.to_owned(),
            "{}".to_owned(),
        ] {
            assert!(!tap(&[&event]).content(), "{event}");
        }
    }

    #[test]
    fn text_reasoning_tools_refusals_audio_and_a_finish_reason_are_content() {
        for event in [
            delta(r#"{"content":"a"}"#),
            delta(r#"{"content":"","reasoning_content":"hm"}"#),
            delta(r#"{"reasoning":"hm"}"#),
            delta(r#"{"tool_calls":[{"index":0}]}"#),
            delta(r#"{"function_call":{"name":"f"}}"#),
            delta(r#"{"refusal":"no"}"#),
            delta(r#"{"audio":{"id":"x"}}"#),
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
            r#"{"choices":[{"text":"legacy","finish_reason":"length"}]}"#.to_owned(),
        ] {
            assert!(tap(&[&event]).content(), "{event}");
        }
    }

    #[test]
    fn a_stream_is_finished_by_a_finish_reason_or_done() {
        let text = delta(r#"{"content":"the \"finish_reason\": is"}"#);

        assert!(!tap(&[&text]).finished());
        assert!(tap(&[&text, r#"{"choices":[{"finish_reason" : "stop"}]}"#]).finished());
        assert!(tap(&[&text, "[DONE]"]).finished());
        assert!(tap(&[&text, " [DONE] "]).finished());
    }

    #[test]
    fn an_error_object_is_a_failure_and_a_null_one_is_not() {
        assert_eq!(
            tap(&[r#"{"error":{"message":"x"}}"#]).failure(),
            Some(StreamFailure::Error)
        );
        assert_eq!(
            tap(&[r#"{"error":"x"}"#]).failure(),
            Some(StreamFailure::Error)
        );
        assert_eq!(tap(&[r#"{"error":null,"choices":[]}"#]).failure(), None);
    }

    #[test]
    fn what_is_not_a_json_object_is_garbage() {
        for event in ["<html>", "{\"choices\":[", "[]", "hello"] {
            assert_eq!(
                tap(&[event]).failure(),
                Some(StreamFailure::Garbage),
                "{event}"
            );
        }
    }

    #[test]
    fn the_last_usage_counts() {
        let usage = |n: u64| {
            format!(r#"{{"choices":[],"usage":{{"prompt_tokens":{n},"completion_tokens":2}}}}"#)
        };

        let tap = tap(&[&usage(1), r#"{"choices":[],"usage":null}"#, &usage(7)]);

        assert_eq!(
            tap.usage(),
            Some(Usage {
                input: 7,
                output: 2
            })
        );
    }

    #[test]
    fn a_whole_answer_must_be_an_object_without_an_error() {
        let whole = |body: &[u8]| {
            let mut tap = Tap::default();
            tap.observe_whole(body);
            (tap.content(), tap.failure())
        };

        assert_eq!(whole(br#"{"choices":[]}"#), (true, None));
        assert_eq!(
            whole(br#"{"error":{"message":"x"}}"#),
            (false, Some(StreamFailure::Error))
        );
        assert_eq!(whole(b"<html>"), (false, Some(StreamFailure::Garbage)));
        assert_eq!(
            whole(b"{\"a\":\"\xff\"}"),
            (false, Some(StreamFailure::Garbage))
        );
    }
}
