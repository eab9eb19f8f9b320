//! Instructions of a request's body, read and spliced, and of a stream's events, split and watched.
//! `scripts/count-instructions.sh` compares them with those of an earlier commit.

#![expect(
    missing_docs,
    unused_qualifications,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "gungraun's macros write such code"
)]

mod support;

use std::hint::black_box;

use berry_relay::bench::{Stream, splice};
use bytes::Bytes;
use gungraun::prelude::*;

use support::{chat, picture, stream};

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
