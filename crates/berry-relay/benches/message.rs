//! Instructions of a request's body, read and spliced, and of a stream's events, split and watched.
//! `scripts/count-instructions.sh` compares them with those of an earlier commit.

#![expect(
    missing_docs,
    unused_qualifications,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "gungraun's macros write such code"
)]

use std::hint::black_box;

use berry_relay::bench::{Stream, splice};
use bytes::Bytes;
use gungraun::prelude::*;

const EVENT: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"upstream-model","choices":[{"index":0,"delta":{"content":" evening"},"logprobs":null,"finish_reason":null}]}"#;

/// A chat of about so many bytes.
fn chat(length: usize) -> Bytes {
    let turn =
        r#"{"role":"user","content":"Why is the sky \"blue\", and why red in the evening?\n"},"#;
    let turns = turn.repeat(length / turn.len());
    let turns = turns.trim_end_matches(',');
    format!(r#"{{"temperature":0.7,"messages":[{turns}],"model":"test-model","stream":true}}"#)
        .into()
}

/// The same in one message.
fn picture(length: usize) -> Bytes {
    let content = "QmVycnkgQVBJ".repeat(length / 12);
    format!(r#"{{"model":"test-model","messages":[{{"role":"user","content":"{content}"}}]}}"#)
        .into()
}

/// A stream that has begun, and a frame of so many events.
fn stream(events: usize) -> (Stream, Bytes) {
    let frame = Bytes::from(format!("{EVENT}\n\n").repeat(events));
    let mut stream = Stream::begin();
    stream.pass(&frame);
    (stream, frame)
}

#[library_benchmark]
#[bench::small(chat(600))]
#[bench::usual(chat(36 * 1024))]
#[bench::large(chat(1024 * 1024))]
#[bench::picture(picture(1024 * 1024))]
fn request(body: Bytes) -> Option<usize> {
    splice(black_box(body))
}

#[library_benchmark]
#[bench::one(stream(1))]
#[bench::hundred(stream(100))]
fn events((mut stream, frame): (Stream, Bytes)) -> (Bytes, Stream) {
    (stream.pass(black_box(&frame)), stream)
}

library_benchmark_group!(name = messages, benchmarks = [request, events]);
main!(library_benchmark_groups = messages);
