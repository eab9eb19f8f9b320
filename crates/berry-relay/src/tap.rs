//! Watches an answer pass, and says what it was.
//!
//! The tap always runs, on untouched bytes too: it decides when content has come (from then on no
//! other endpoint can answer), whether the answer reports an error, whether it ended as an answer
//! ends, and what it cost. It changes nothing.

use std::borrow::Cow;
use std::ops::ControlFlow;

use berry_loadbalance::Tokens;
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

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input as f64,
            output: usage.output as f64,
        }
    }
}

/// What has been seen of an answer so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tap {
    /// Text, reasoning, a tool call, a refusal, audio or a finish reason has come.
    content: bool,
    /// Which choices have begun, and which of them have their finish reason: a bit each.
    begun: u64,
    ended: u64,
    /// `[DONE]` has come.
    done: bool,
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
            self.done = true;
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
            self.observe_choices(choices);
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
            self.done = true;
            self.usage = parts
                .usage
                .and_then(|usage| serde_json::from_slice(usage).ok());
        }
    }

    /// Returns whether something for the client's user has come.
    pub(crate) fn content(&self) -> bool {
        self.content
    }

    /// Returns whether the answer may end here: every choice has ended, or `[DONE]` has come.
    pub(crate) fn finished(&self) -> bool {
        self.done || (self.begun != 0 && self.begun == self.ended)
    }

    /// Returns whether nothing is to come any more.
    pub(crate) fn done(&self) -> bool {
        self.done
    }

    /// Returns how the answer failed by its own events.
    pub(crate) fn failure(&self) -> Option<StreamFailure> {
        self.failure
    }

    /// Returns the tokens the upstream reported last.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn observe_choices(&mut self, choices: &[u8]) {
        if self.content && is_middle_of_first(choices) {
            self.begun |= 1;
            return;
        }
        let Ok(choices) = serde_json::from_slice::<Vec<Choice<'_>>>(choices) else {
            // Choices of a shape we do not know are the client's to judge.
            self.content = true;
            return;
        };
        for choice in choices {
            let bit = 1_u64.checked_shl(choice.index).unwrap_or(1 << 63);
            self.begun |= bit;
            if choice.has_ended() {
                self.ended |= bit;
            }
            self.content = self.content || choice.has_content();
        }
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
    #[serde(default)]
    index: u32,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
}

impl Choice<'_> {
    /// Returns whether it has a finish reason. Some upstreams send an empty one with every chunk.
    fn has_ended(&self) -> bool {
        self.finish_reason.is_some_and(carries)
    }

    /// Returns whether it carries something; a role alone, or an empty text, does not.
    fn has_content(&self) -> bool {
        let parts = self.delta.as_ref().map(|delta| {
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
        self.has_ended() || parts.into_iter().flatten().flatten().any(carries)
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
}

fn carries(value: &RawValue) -> bool {
    let text: Cow<'_, str> = value.get().into();
    !matches!(text.as_ref(), "\"\"" | "[]" | "{}")
}

/// Recognises, without parsing it, what nearly every chunk is: one choice, the first, not ended.
///
/// A quoted `finish_reason` before a colon can only be a key: inside a JSON string its quotes would
/// be escaped. So a text that begins with the first index and has one such key, and that null, is
/// one choice.
fn is_middle_of_first(choices: &[u8]) -> bool {
    const KEY: &[u8] = b"\"finish_reason\":";
    if !choices.starts_with(b"[{\"index\":0,") {
        return false;
    }
    let mut keys = memmem::find_iter(choices, KEY);
    let Some(first) = keys.next() else {
        return false;
    };
    keys.next().is_none() && choices[first + KEY.len()..].starts_with(b"null")
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
            r#"{"choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":""}]}"#
                .to_owned(),
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
        assert!(
            !tap(&[
                &text,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":""}]}"#
            ])
            .finished()
        );
        assert!(tap(&[&text, r#"{"choices":[{"finish_reason" : "stop"}]}"#]).finished());
        assert!(tap(&[&text, "[DONE]"]).finished());
        assert!(tap(&[&text, " [DONE] "]).finished());
    }

    #[test]
    fn a_stream_of_several_choices_is_finished_when_each_is() {
        let text =
            |index| format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"a"}}}}]}}"#);
        let end = |index| format!(r#"{{"choices":[{{"index":{index},"finish_reason":"stop"}}]}}"#);

        assert!(!tap(&[&text(0), &text(1), &end(0)]).finished());
        assert!(!tap(&[&text(0), &end(0), &text(70)]).finished());
        assert!(tap(&[&text(0), &text(1), &end(0), &end(1)]).finished());
    }

    #[test]
    fn the_usual_chunk_is_recognised_without_parsing() {
        let usual =
            r#"[{"index":0,"delta":{"content":"a \"finish_reason\":"},"finish_reason":null}]"#;
        let others = [
            r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#,
            r#"[{"index":1,"delta":{},"finish_reason":null}]"#,
            r#"[{"index":0,"finish_reason":null},{"index":1,"finish_reason":null}]"#,
            r#"[{"delta":{},"finish_reason":null}]"#,
        ];

        assert!(is_middle_of_first(usual.as_bytes()));
        for other in others {
            assert!(!is_middle_of_first(other.as_bytes()), "{other}");
        }
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
