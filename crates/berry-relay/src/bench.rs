//! What a request passes here, for the benchmarks in `benches/`, which count each by itself.

use bytes::Bytes;

use crate::envelope::Envelope;
use crate::sse::Splitter;
use crate::tap::{Grammar, Tap, Unwanted};

/// Reads a request's body and returns the length of what an upstream gets; none where it is refused.
pub fn splice(body: Bytes) -> Option<usize> {
    let envelope = Envelope::parse(body).ok()?;
    let pieces = envelope.rewrite("upstream-model", None);
    Some(pieces.iter().map(Bytes::len).sum())
}

/// A chat's stream, as it is watched.
#[derive(Debug)]
pub struct Stream {
    splitter: Splitter,
    tap: Tap,
}

impl Stream {
    /// Begins without any events.
    pub fn begin() -> Self {
        Self {
            splitter: Splitter::default(),
            tap: Tap::new(Grammar::Choices, Unwanted::default()),
        }
    }

    /// Watches a frame pass; returns what may go on.
    pub fn pass(&mut self, frame: &Bytes) -> Bytes {
        let split = self
            .splitter
            .push(frame, |name, data| self.tap.observe(name, data));
        split.complete
    }
}
