//! The messages that benchmarks read.

use berry_relay::bench::Stream;
use bytes::Bytes;

const EVENT: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"upstream-model","choices":[{"index":0,"delta":{"content":" evening"},"logprobs":null,"finish_reason":null}]}"#;

/// A chat of about so many bytes.
pub(crate) fn chat(length: usize) -> Bytes {
    let turn =
        r#"{"role":"user","content":"Why is the sky \"blue\", and why red in the evening?\n"},"#;
    let turns = turn.repeat(length / turn.len());
    let turns = turns.trim_end_matches(',');
    format!(r#"{{"temperature":0.7,"messages":[{turns}],"model":"test-model","stream":true}}"#)
        .into()
}

/// The same in one message.
pub(crate) fn picture(length: usize) -> Bytes {
    let content = "QmVycnkgQVBJ".repeat(length / 12);
    format!(r#"{{"model":"test-model","messages":[{{"role":"user","content":"{content}"}}]}}"#)
        .into()
}

/// A stream that has begun, and a frame of so many events.
pub(crate) fn stream(events: usize) -> (Stream, Bytes) {
    let frame = Bytes::from(format!("{EVENT}\n\n").repeat(events));
    let mut stream = Stream::begin();
    stream.pass(&frame);
    (stream, frame)
}
