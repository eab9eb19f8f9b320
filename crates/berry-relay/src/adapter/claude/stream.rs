//! Streams: Anthropic's events as `chat.completion.chunk` events.
//!
//! | event | becomes |
//! |---|---|
//! | `message_start` | the chunk with the role; a second one only counts its usage |
//! | `content_block_start` of `tool_use` | a tool call with its id and its name, numbered in order |
//! | `text_delta` | `content` |
//! | `thinking_delta` | `reasoning_content` |
//! | `input_json_delta` | `arguments`; a tool without any gets `{}`, once it is known that no limit cut it |
//! | the end of a thinking block | one item of `thinking_blocks`: the whole block with its signature |
//! | `message_delta` with a `stop_reason` | the chunk with the finish reason |
//! | `message_stop` | the chunk with the usage, where asked for, and `[DONE]` |
//! | `error` | OpenAI's error event, and nothing after it |
//! | `ping`, `citations_delta`, unknown events, deltas and blocks | nothing |
//!
//! The role comes first whatever the first event is. A stream that ends after its finish reason is
//! ended as if `message_stop` had come, and so is one with OpenAI's `[DONE]` there; one that ends
//! before is cut, and shows it. A `message_stop` before anything else ends
//! nothing.
//!
//! Where the answer's text is a tool's input ([`Reading::text_from_tool`]), text beside it is held
//! back: it is dropped when the tool is used, and is the answer of a server that ignored the demand.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::translate::{Decoder, Garbled, Heading, Reading};
use super::answer::{self, Block};
use super::error;
use super::text::{self, Text};
use super::usage::Usage;

/// The most of an answer that is kept until it can be used: longer thinking is not offered for a
/// round trip, longer text is not waited with.
const MOST_HELD: usize = 1024 * 1024;

/// The most blocks that may be open at once; Anthropic opens one after the other.
const MOST_OPEN: usize = 64;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow, default)]
    signature: Option<&'a RawValue>,
    #[serde(borrow, default)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    stop_details: Option<&'a RawValue>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Stream {
    heading: Heading,
    reading: Reading,
    /// What all chunks begin with; empty until the first one.
    head: Vec<u8>,
    open: Vec<Open>,
    calls: usize,
    /// Text that is the answer only if the tool is not used.
    held: Text,
    /// A block of a tool that has ended without input: it has none, or was cut.
    bare: Option<Kind>,
    usage: Usage,
    progress: Progress,
}

/// How far the answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It goes on. Whether the tool whose input is the answer has been used.
    Going { answered: bool },
    /// It has its finish reason.
    Finished,
    /// Nothing may follow.
    Over,
}

/// A block whose end has not come.
#[derive(Debug)]
struct Open {
    index: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Thinking {
        text: Text,
        signature: Text,
    },
    Redacted(Text),
    Tool {
        number: usize,
        has_input: bool,
    },
    /// The tool whose input is the answer; the first use counts.
    Answer {
        has_input: bool,
    },
}

impl Stream {
    pub(super) fn new(heading: Heading, reading: Reading) -> Self {
        Self {
            heading,
            reading,
            head: Vec::new(),
            open: Vec::new(),
            calls: 0,
            held: Text::default(),
            bare: None,
            usage: Usage::default(),
            progress: Progress::Going { answered: false },
        }
    }

    fn begin(&mut self, start: Option<&RawValue>, out: &mut Vec<u8>) {
        let start = start.and_then(|start| serde_json::from_str::<Start<'_>>(start.get()).ok());
        if let Some(report) = start.as_ref().and_then(|start| start.usage) {
            self.usage.observe(report);
        }
        if !self.head.is_empty() {
            return;
        }
        let (id, model) = start.map_or((None, None), |start| (start.id, start.model));
        let head = &mut self.head;
        head.extend_from_slice(br#"data: {"id":"#);
        text::write(id.as_deref().unwrap_or(&self.heading.id), head);
        head.extend_from_slice(br#","object":"chat.completion.chunk","created":"#);
        head.extend_from_slice(self.heading.created.to_string().as_bytes());
        head.extend_from_slice(br#","model":"#);
        text::write(model.as_deref().unwrap_or(&self.heading.model), head);
        head.extend_from_slice(br#","choices":["#);
        self.delta(out, |out| {
            out.extend_from_slice(br#""role":"assistant","content":"""#);
        });
    }

    /// Writes a chunk whose delta has the members that `write` writes.
    fn delta(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self.head.is_empty() {
            self.begin(None, out);
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#"{"index":0,"delta":{"#);
        write(out);
        out.extend_from_slice(b"},\"finish_reason\":null}]}\n\n");
    }

    /// Writes a chunk with a piece of a string, as it is written; an empty one says nothing.
    fn piece(&mut self, member: &str, piece: &str, out: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        self.delta(out, |out| {
            out.push(b'"');
            out.extend_from_slice(member.as_bytes());
            out.extend_from_slice(br#"":""#);
            out.extend_from_slice(piece.as_bytes());
            out.push(b'"');
        });
    }

    fn text(&mut self, value: Option<&RawValue>, out: &mut Vec<u8>) {
        if !self.reading.text_from_tool {
            self.piece("content", text::inside(value), out);
            return;
        }
        self.held.push(value);
        if self.held.len() > MOST_HELD {
            // No preamble is so long: this is the answer.
            self.reading.text_from_tool = false;
            self.release(out);
        }
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.delta(out, |out| {
                out.extend_from_slice(br#""content":"#);
                held.write(out);
            });
        }
    }

    fn arguments(&mut self, number: usize, piece: &str, out: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        self.delta(out, |out| {
            let head = format!(r#""tool_calls":[{{"index":{number},"function":{{"arguments":""#);
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(piece.as_bytes());
            out.extend_from_slice(br#""}}]"#);
        });
    }

    fn start_block(&mut self, index: u64, block: &RawValue, out: &mut Vec<u8>) {
        let Ok(block) = serde_json::from_str::<Block<'_>>(block.get()) else {
            return;
        };
        // A server may leave out the end of the block before.
        self.stop_block(index, out);
        self.complete_bare(out);
        let kind = match block.kind.as_ref() {
            "text" => return self.text(block.text, out),
            "thinking" => {
                let (mut text, mut signature) = (Text::default(), Text::default());
                text.push(block.thinking);
                signature.push(block.signature);
                self.piece("reasoning_content", text::inside(block.thinking), out);
                Kind::Thinking { text, signature }
            }
            "redacted_thinking" => {
                let mut data = Text::default();
                data.push(block.data);
                Kind::Redacted(data)
            }
            "tool_use" if block.is_answer(self.reading) => {
                let Progress::Going { answered: false } = self.progress else {
                    return;
                };
                self.progress = Progress::Going { answered: true };
                self.held = Text::default();
                Kind::Answer { has_input: false }
            }
            "tool_use" => {
                let number = self.calls;
                self.calls += 1;
                self.delta(out, |out| {
                    let head = format!(r#""tool_calls":[{{"index":{number},"#);
                    out.extend_from_slice(head.as_bytes());
                    answer::write_call(&block, out);
                    out.extend_from_slice(br#"""}}]"#);
                });
                Kind::Tool {
                    number,
                    has_input: false,
                }
            }
            _ => return,
        };
        if self.open.len() == MOST_OPEN {
            self.open.remove(0);
        }
        self.open.push(Open { index, kind });
        // Anthropic sends an empty object and the input in pieces; others send it whole.
        if let Some(whole) = block
            .input
            .map(RawValue::get)
            .filter(|input| !answer::is_empty_object(input))
        {
            self.input(index, &text::quoted(whole), out);
        }
    }

    /// Takes a piece of a tool's input, as it is written within quotes.
    fn input(&mut self, index: u64, piece: &str, out: &mut Vec<u8>) {
        let open = self.open.iter_mut().find(|open| open.index == index);
        match open.map(|open| &mut open.kind) {
            Some(Kind::Tool { number, has_input }) => {
                *has_input = *has_input || !piece.is_empty();
                let number = *number;
                self.arguments(number, piece, out);
            }
            Some(Kind::Answer { has_input }) => {
                *has_input = *has_input || !piece.is_empty();
                self.piece("content", piece, out);
            }
            _ => {}
        }
    }

    fn change_block(&mut self, index: u64, delta: &RawValue, out: &mut Vec<u8>) {
        let Ok(delta) = serde_json::from_str::<Delta<'_>>(delta.get()) else {
            return;
        };
        match delta.kind.as_deref() {
            Some("text_delta") => self.text(delta.text, out),
            Some("input_json_delta") => self.input(index, text::inside(delta.partial_json), out),
            Some("thinking_delta") => {
                let open = self.open.iter_mut().find(|open| open.index == index);
                if let Some(Kind::Thinking { text, .. }) = open.map(|open| &mut open.kind)
                    && text.len() <= MOST_HELD
                {
                    text.push(delta.thinking);
                }
                self.piece("reasoning_content", text::inside(delta.thinking), out);
            }
            Some("signature_delta") => {
                let open = self.open.iter_mut().find(|open| open.index == index);
                if let Some(Kind::Thinking { signature, .. }) = open.map(|open| &mut open.kind)
                    && signature.len() <= MOST_HELD
                {
                    signature.push(delta.signature);
                }
            }
            _ => {}
        }
    }

    fn stop_block(&mut self, index: u64, out: &mut Vec<u8>) {
        let Some(position) = self.open.iter().position(|open| open.index == index) else {
            return;
        };
        let (thinking, proof) = match self.open.remove(position).kind {
            Kind::Thinking { text, signature } => (Some(text), signature),
            Kind::Redacted(data) => (None, data),
            bare @ (Kind::Tool {
                has_input: false, ..
            }
            | Kind::Answer { has_input: false }) => {
                self.complete_bare(out);
                self.bare = Some(bare);
                return;
            }
            Kind::Tool { .. } | Kind::Answer { .. } => return,
        };
        let is_whole = thinking.as_ref().is_none_or(|text| text.len() <= MOST_HELD);
        if is_whole && !proof.is_empty() && proof.len() <= MOST_HELD {
            self.delta(out, |out| {
                out.extend_from_slice(br#""thinking_blocks":["#);
                answer::write_thinking(index, thinking.as_ref(), &proof, out);
                out.push(b']');
            });
        }
    }

    /// Gives the last tool without input the empty object that it was called with.
    fn complete_bare(&mut self, out: &mut Vec<u8>) {
        match self.bare.take() {
            Some(Kind::Tool { number, .. }) => self.arguments(number, "{}", out),
            Some(Kind::Answer { .. }) => self.piece("content", "{}", out),
            _ => {}
        }
    }

    fn change_message(&mut self, delta: &RawValue, out: &mut Vec<u8>) {
        if let Ok(delta) = serde_json::from_str::<Delta<'_>>(delta.get())
            && let Some(reason) = delta.stop_reason
        {
            self.finish(Some(&reason), delta.stop_details, out);
        }
    }

    fn finish(
        &mut self,
        stop_reason: Option<&str>,
        stop_details: Option<&RawValue>,
        out: &mut Vec<u8>,
    ) {
        let Progress::Going { .. } = self.progress else {
            return;
        };
        while let Some(index) = self.open.first().map(|open| open.index) {
            self.stop_block(index, out);
        }
        if !answer::is_cut(stop_reason) {
            self.complete_bare(out);
        }
        self.release(out);
        if stop_reason == Some("refusal") {
            let explanation = answer::explanation(stop_details);
            if !explanation.is_empty() {
                self.delta(out, |out| {
                    out.extend_from_slice(br#""refusal":"#);
                    explanation.write(out);
                });
            }
        }
        if self.head.is_empty() {
            self.begin(None, out);
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#"{"index":0,"delta":{},"finish_reason":""#);
        let reason = answer::finish_reason(stop_reason, self.calls);
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\"}]}\n\n");
        self.progress = Progress::Finished;
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.heading.include_usage && self.usage.is_known() {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(br#"],"usage":"#);
            self.usage.write(out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        self.progress = Progress::Over;
    }
}

impl Decoder for Stream {
    fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Garbled> {
        if self.progress == Progress::Over {
            return Ok(());
        }
        if data.trim_ascii() == b"[DONE]" {
            // Some servers put OpenAI's last event in the place of Anthropic's.
            self.end(out);
            return Ok(());
        }
        let event: Event<'_> = text::object(data).ok_or(Garbled)?;
        let kind = event.kind.as_deref().unwrap_or_default();
        if kind == "error" || kind.is_empty() && event.error.is_some() {
            let error = error::read(data).ok_or(Garbled)?;
            out.extend_from_slice(&error.to_event());
            self.progress = Progress::Over;
            return Ok(());
        }
        if kind.is_empty() {
            return Err(Garbled);
        }
        if let Some(report) = event.usage {
            self.usage.observe(report);
        }
        match (kind, event.content_block, event.delta) {
            ("message_start", ..) => self.begin(event.message, out),
            ("content_block_start", Some(block), _) => self.start_block(event.index, block, out),
            ("content_block_delta", _, Some(delta)) => self.change_block(event.index, delta, out),
            ("content_block_stop", ..) => self.stop_block(event.index, out),
            ("message_delta", _, Some(delta)) => self.change_message(delta, out),
            ("message_stop", ..) if self.head.is_empty() => {}
            ("message_stop", ..) => {
                self.finish(None, None, out);
                self.close(out);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.progress == Progress::Finished {
            self.close(out);
        }
    }

    fn write_usage(&self, out: &mut Vec<u8>) {
        if self.usage.is_known() {
            self.usage.write(out);
        }
    }
}
