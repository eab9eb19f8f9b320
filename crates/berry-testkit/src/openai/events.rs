//! Writes `chat.completion.chunk` events.
//!
//! All events of a stream begin and end alike, so that part is made once and the rest spliced in;
//! they share one allocation. A thousand streams at once must cost a load test next to nothing.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use super::CREATED;
use super::request::ChatRequest;

/// The event that ends a stream.
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

/// Room for the events of a short answer.
const CAPACITY: usize = 4096;

/// Makes the events of one stream.
#[derive(Debug)]
pub(crate) struct EventWriter {
    buffer: BytesMut,
    /// From `data: ` up to and including the member name `choices`.
    opening: String,
    /// What follows the choices.
    closing: &'static str,
    include_usage: bool,
    call_id: String,
}

impl EventWriter {
    /// Begins the stream of the `number`th request.
    pub(crate) fn new(number: usize, request: &ChatRequest<'_>) -> Self {
        let model = quoted(request.model());
        let opening = format!(
            r#"data: {{"id":"chatcmpl-{number}","object":"chat.completion.chunk","created":{CREATED},"model":{model},"choices":"#
        );
        let include_usage = request.include_usage();
        Self {
            buffer: BytesMut::with_capacity(CAPACITY),
            opening,
            closing: if include_usage {
                ",\"usage\":null}\n\n"
            } else {
                "}\n\n"
            },
            include_usage,
            call_id: format!("call_{number}"),
        }
    }

    /// Writes an event with this delta, given as JSON.
    pub(crate) fn delta(&mut self, delta: &str) -> Bytes {
        self.choice(delta, "null")
    }

    /// Writes a piece of text.
    pub(crate) fn text(&mut self, text: &str) -> Bytes {
        self.delta(&format!(r#"{{"content":{}}}"#, quoted(text)))
    }

    /// Writes the beginning of a tool call.
    pub(crate) fn tool_name(&mut self, name: &str) -> Bytes {
        let (id, name) = (quoted(&self.call_id), quoted(name));
        self.delta(&format!(
            r#"{{"role":"assistant","content":null,"tool_calls":[{{"index":0,"id":{id},"type":"function","function":{{"name":{name},"arguments":""}}}}]}}"#
        ))
    }

    /// Writes a piece of a tool call's arguments.
    pub(crate) fn tool_arguments(&mut self, fragment: &str) -> Bytes {
        let fragment = quoted(fragment);
        self.delta(&format!(
            r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":{fragment}}}}}]}}"#
        ))
    }

    /// Writes the event that says why the answer ended.
    pub(crate) fn finish(&mut self, reason: &str) -> Bytes {
        self.choice("{}", &quoted(reason))
    }

    /// Writes the usage event, if the request asked for one.
    pub(crate) fn usage(&mut self, usage: &Value) -> Option<Bytes> {
        let event = || format!("{}[],\"usage\":{usage}}}\n\n", self.opening).into();
        self.include_usage.then(event)
    }

    fn choice(&mut self, delta: &str, finish_reason: &str) -> Bytes {
        self.buffer.put_slice(self.opening.as_bytes());
        write!(
            self.buffer,
            r#"[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish_reason}}}]{}"#,
            self.closing
        )
        .expect("writing to memory succeeds");
        self.buffer.split().freeze()
    }
}

/// Returns `text` as a JSON string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
