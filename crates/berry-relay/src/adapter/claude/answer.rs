//! Whole answers: Anthropic's message as a `chat.completion`.
//!
//! | in the message | becomes |
//! |---|---|
//! | `text` blocks | `content`, joined |
//! | `thinking` blocks | `reasoning_content`, joined; and themselves in `thinking_blocks` |
//! | `redacted_thinking` blocks | themselves in `thinking_blocks` |
//! | `tool_use` blocks | `tool_calls`; or `content`, where the tool was made from `response_format` |
//! | citations; blocks of tools that run at Anthropic; unknown blocks | left out |
//! | `stop_reason` | `finish_reason`, see [`finish_reason`] |
//! | `stop_details.explanation` of a refusal | `refusal` |
//! | an error inside a success | OpenAI's error object |
//!
//! A block of `thinking_blocks` is Anthropic's own, byte for byte, with its `index` in the content:
//! what a client sends back in its next request stands there again with its signature.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::translate::{Garbled, Heading, Reading};
use super::JSON_TOOL;
use super::error;
use super::text::{self, Text};
use super::usage::Usage;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    stop_details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

/// A block, or the beginning of one: the members of all kinds of blocks.
#[derive(Debug, Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) signature: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
}

impl Block<'_> {
    /// Returns whether it is a call of the tool that `response_format` was made into.
    pub(super) fn is_answer(&self, reading: Reading) -> bool {
        reading.text_from_tool && text::inside(self.name) == JSON_TOOL
    }
}

/// What a refusal says.
#[derive(Deserialize)]
struct StopDetails<'a> {
    #[serde(borrow, default)]
    explanation: Option<&'a RawValue>,
}

/// Returns the explanation of a refusal, as it is written.
pub(super) fn explanation(stop_details: Option<&RawValue>) -> Text {
    let mut explanation = Text::default();
    if let Some(details) = stop_details
        && let Ok(details) = serde_json::from_str::<StopDetails<'_>>(details.get())
    {
        explanation.push(details.explanation);
    }
    explanation
}

/// Returns why an answer ended, in OpenAI's words.
///
/// | `stop_reason` | `finish_reason` |
/// |---|---|
/// | `end_turn`, `stop_sequence`, `pause_turn`, unknown ones | `stop` |
/// | `max_tokens`, `model_context_window_exceeded` | `length` |
/// | `tool_use` | `tool_calls`, or `stop` where no tool of the client's was called |
/// | `refusal` | `content_filter` |
/// | none, at the end of a stream that said something | as with `tool_use` |
pub(super) fn finish_reason(stop_reason: Option<&str>, calls: usize) -> &'static str {
    match stop_reason {
        _ if is_cut(stop_reason) => "length",
        Some("tool_use") | None if calls > 0 => "tool_calls",
        Some("refusal") => "content_filter",
        _ => "stop",
    }
}

/// Returns whether a limit ended the answer, perhaps within a tool's input.
pub(super) fn is_cut(stop_reason: Option<&str>) -> bool {
    matches!(
        stop_reason,
        Some("max_tokens" | "model_context_window_exceeded")
    )
}

/// Returns whether a tool's input has nothing in it.
pub(super) fn is_empty_object(input: &str) -> bool {
    let inside = input
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    inside.is_some_and(|text| text.trim().is_empty())
}

/// Writes a thinking block with its signature, or a redacted one with its data.
pub(super) fn write_thinking(index: u64, thinking: Option<&Text>, proof: &Text, out: &mut Vec<u8>) {
    out.extend_from_slice(format!(r#"{{"index":{index},"#).as_bytes());
    match thinking {
        Some(thinking) => {
            out.extend_from_slice(br#""type":"thinking","thinking":"#);
            thinking.write(out);
            out.extend_from_slice(br#","signature":"#);
        }
        None => out.extend_from_slice(br#""type":"redacted_thinking","data":"#),
    }
    proof.write(out);
    out.push(b'}');
}

/// Translates an answer.
pub(super) fn translate(
    body: &[u8],
    heading: &Heading,
    reading: Reading,
) -> Result<Vec<u8>, Garbled> {
    let Some(message) = text::object::<Message<'_>>(body) else {
        return error::openai(body).ok_or(Garbled);
    };
    // Nothing says that an answer without a reason has come to its end.
    let reason = message.stop_reason.as_deref().ok_or(Garbled)?;
    let mut parts = Parts::default();
    for (index, block) in (0..).zip(&message.content) {
        parts.add(index, block, reading);
    }
    if parts.answer.is_some() {
        parts.content = Text::default();
    }
    if is_cut(Some(reason)) {
        // The input had not begun.
        parts.answer = parts.answer.filter(|input| !is_empty_object(input));
    }
    if reason == "refusal" {
        parts.refusal = explanation(message.stop_details);
    }
    let mut usage = Usage::default();
    if let Some(report) = message.usage {
        usage.observe(report);
    }

    let mut out = Vec::with_capacity(body.len() + 512);
    out.extend_from_slice(br#"{"id":"#);
    text::write(message.id.as_deref().unwrap_or(&heading.id), &mut out);
    out.extend_from_slice(br#","object":"chat.completion","created":"#);
    out.extend_from_slice(heading.created.to_string().as_bytes());
    out.extend_from_slice(br#","model":"#);
    text::write(message.model.as_deref().unwrap_or(&heading.model), &mut out);
    out.extend_from_slice(br#","choices":[{"index":0,"message":"#);
    parts.write(&mut out);
    out.extend_from_slice(br#","logprobs":null,"finish_reason":""#);
    let reason = finish_reason(Some(reason), parts.calls);
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(br#""}],"usage":"#);
    if usage.is_known() {
        usage.write(&mut out);
    } else {
        out.extend_from_slice(b"null");
    }
    out.push(b'}');
    Ok(out)
}

/// The parts of a message as OpenAI sorts them.
#[derive(Default)]
struct Parts<'a> {
    content: Text,
    reasoning: Text,
    /// Items of `thinking_blocks`.
    thinking: Vec<u8>,
    /// Items of `tool_calls`.
    tools: Vec<u8>,
    calls: usize,
    /// The input of the tool that the answer is the input of.
    answer: Option<&'a str>,
    refusal: Text,
}

impl<'a> Parts<'a> {
    fn add(&mut self, index: u64, block: &Block<'a>, reading: Reading) {
        let input = block.input.map_or("{}", RawValue::get);
        match block.kind.as_ref() {
            "text" => self.content.push(block.text),
            "thinking" => {
                self.reasoning.push(block.thinking);
                let mut text = Text::default();
                text.push(block.thinking);
                self.add_thinking(index, Some(&text), block.signature);
            }
            "redacted_thinking" => self.add_thinking(index, None, block.data),
            "tool_use" if block.is_answer(reading) => self.answer = self.answer.or(Some(input)),
            "tool_use" => {
                separate(&mut self.tools);
                self.tools.push(b'{');
                write_call(block, &mut self.tools);
                text::write(input, &mut self.tools);
                self.tools.extend_from_slice(b"}}");
                self.calls += 1;
            }
            _ => {}
        }
    }

    fn add_thinking(&mut self, index: u64, thinking: Option<&Text>, proof: Option<&RawValue>) {
        let mut proved = Text::default();
        proved.push(proof);
        if !proved.is_empty() {
            separate(&mut self.thinking);
            write_thinking(index, thinking, &proved, &mut self.thinking);
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"role":"assistant","content":"#);
        match self.answer {
            Some(answer) => text::write(answer, out),
            None if self.content.is_empty() && (self.calls > 0 || !self.refusal.is_empty()) => {
                out.extend_from_slice(b"null");
            }
            None => self.content.write(out),
        }
        out.extend_from_slice(br#","refusal":"#);
        if self.refusal.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            self.refusal.write(out);
        }
        if !self.reasoning.is_empty() {
            out.extend_from_slice(br#","reasoning_content":"#);
            self.reasoning.write(out);
        }
        for (member, items) in [
            (br#","thinking_blocks":["#.as_slice(), &self.thinking),
            (br#","tool_calls":["#.as_slice(), &self.tools),
        ] {
            if !items.is_empty() {
                out.extend_from_slice(member);
                out.extend_from_slice(items);
                out.push(b']');
            }
        }
        out.push(b'}');
    }
}

/// Writes the members of a tool call up to its arguments.
pub(super) fn write_call(block: &Block<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""id":""#);
    out.extend_from_slice(text::inside(block.id).as_bytes());
    out.extend_from_slice(br#"","type":"function","function":{"name":""#);
    out.extend_from_slice(text::inside(block.name).as_bytes());
    out.extend_from_slice(br#"","arguments":"#);
}

fn separate(items: &mut Vec<u8>) {
    if !items.is_empty() {
        items.push(b',');
    }
}
