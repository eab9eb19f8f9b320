//! The time that a request's body takes to be read and spliced, and an event of a stream to be split off and
//! watched: figures to read. `cargo bench -p berry-relay --bench message_time`

mod support;

use std::hint::black_box;

use berry_relay::bench::splice;
use tokio::time::Instant;

use support::{chat, picture, stream};

/// Of each, so many bytes are read.
const BYTES: usize = 1 << 28;

/// Prints what each of so many things takes, which have so many bytes together.
fn measure(name: &str, bytes: usize, things: u32, mut work: impl FnMut()) {
    let times = u32::try_from(BYTES / bytes).unwrap_or(u32::MAX);
    let began = Instant::now();
    for _ in 0..times {
        work();
    }
    let each = began.elapsed() / times / things;
    #[expect(clippy::print_stdout, reason = "the figures are what it is for")]
    {
        println!("{name:24} {each:?}");
    }
}

fn main() {
    for (name, body) in [
        ("request of 600 bytes", chat(600)),
        ("request of 36 KiB", chat(36 * 1024)),
        ("request of 1 MiB", chat(1024 * 1024)),
        ("picture of 1 MiB", picture(1024 * 1024)),
    ] {
        measure(name, body.len(), 1, || {
            black_box(splice(black_box(body.clone())));
        });
    }
    for (name, events) in [("event of one", 1), ("event of a hundred", 100)] {
        let (mut stream, frame) = stream(events);
        let things = u32::try_from(events).unwrap_or(u32::MAX);
        measure(name, frame.len(), things, || {
            black_box(stream.pass(black_box(&frame)));
        });
    }
}
