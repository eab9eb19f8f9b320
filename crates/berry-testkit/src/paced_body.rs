//! A response body that sends prepared chunks at a steady pace.
//!
//! The pace is anchored to the start of the stream: chunk *n* is due at *n* intervals after it, and
//! a late chunk does not delay those after it. Every chunk of a stream is a write of its own, also
//! when there is no interval, because readers must cope with exactly the boundaries a test chose.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::exchange::Exchange;
use crate::reply::Payload;

/// The body of a simulated answer.
#[derive(Debug)]
pub(crate) struct PacedBody {
    chunks: vec::IntoIter<Bytes>,
    /// The bytes left, where the length is announced.
    announced: Option<u64>,
    /// How many more chunks go out before silence.
    until_stall: Option<usize>,
    pace: Pace,
    exchange: Exchange,
}

/// What the next chunk waits for.
#[derive(Debug)]
enum Pace {
    /// Nothing: it is the first, and goes out with the head.
    Start { interval: Duration },
    /// One trip through the scheduler, in which hyper flushes the chunk before.
    Flush { due: bool },
    /// The next tick.
    Ticks(Interval),
}

impl PacedBody {
    /// Starts the clock; `exchange` ends with the last chunk.
    pub(crate) fn new(payload: Payload, stall_after: Option<usize>, exchange: Exchange) -> Self {
        let (chunks, announced, interval) = match payload {
            Payload::Whole(bytes) => {
                let length = bytes.len() as u64;
                let chunks = if bytes.is_empty() {
                    vec![]
                } else {
                    vec![bytes]
                };
                (chunks, Some(length), Duration::ZERO)
            }
            Payload::Stream { chunks, interval } => (chunks, None, interval),
        };
        let mut body = Self {
            chunks: chunks.into_iter(),
            announced,
            until_stall: stall_after,
            pace: Pace::Start { interval },
            exchange,
        };
        body.note_end();
        body
    }

    /// Whether every chunk has gone out and no silence is to follow.
    fn is_over(&self) -> bool {
        self.chunks.len() == 0 && self.until_stall != Some(0)
    }

    /// Finishes the exchange with the last chunk, since hyper need not ask for more.
    fn note_end(&mut self) {
        if self.is_over() {
            self.exchange.finish();
        }
    }
}

impl Pace {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Start { interval } => {
                *self = Self::after_start(*interval);
                Poll::Ready(())
            }
            Self::Ticks(ticks) => ticks.poll_tick(cx).map(|_| ()),
            Self::Flush { due } => {
                *due = !*due;
                if *due {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn after_start(interval: Duration) -> Self {
        if interval.is_zero() {
            return Self::Flush { due: true };
        }
        let mut ticks = interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self::Ticks(ticks)
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.until_stall == Some(0) {
            // Nothing will wake this: hyper itself notices when the client leaves.
            return Poll::Pending;
        }
        if self.is_over() {
            return Poll::Ready(None);
        }
        ready!(self.pace.poll_ready(cx));
        let Some(chunk) = self.chunks.next() else {
            return Poll::Ready(None);
        };
        self.announced = self.announced.map(|left| left - chunk.len() as u64);
        self.until_stall = self.until_stall.map(|left| left - 1);
        self.note_end();
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.announced
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use tokio::time::{advance, sleep};

    use super::*;
    use crate::journal::{Journal, Recording};
    use crate::wire::Wire;

    const INTERVAL: Duration = Duration::from_millis(20);

    fn stream(chunks: usize, stall_after: Option<usize>) -> (PacedBody, Arc<Journal>) {
        let journal = Arc::new(Journal::new(Recording::Count));
        let exchange = Exchange::new(Arc::clone(&journal), Arc::new(Wire::default()));
        let payload = Payload::Stream {
            chunks: vec![Bytes::from_static(b"x"); chunks],
            interval: INTERVAL,
        };
        (PacedBody::new(payload, stall_after, exchange), journal)
    }

    async fn next(body: &mut PacedBody) -> bool {
        poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx))
            .await
            .is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_chunk_does_not_delay_those_after_it() {
        let (mut body, _) = stream(64, None);
        let start = Instant::now();
        next(&mut body).await;
        advance(INTERVAL * 10).await;

        while next(&mut body).await {}

        assert_eq!(start.elapsed(), INTERVAL * 63);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_does_not_shift_the_pace() {
        let (mut body, _) = stream(4, None);
        let start = Instant::now();

        while next(&mut body).await {
            sleep(INTERVAL / 2).await;
        }

        assert_eq!(start.elapsed(), INTERVAL * 3 + INTERVAL / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_dropped_after_its_last_chunk_was_not_abandoned() {
        let (mut whole, kept) = stream(1, None);
        let (mut stalled, abandoned) = stream(1, Some(1));
        next(&mut whole).await;
        next(&mut stalled).await;

        drop((whole, stalled));

        assert_eq!(kept.tally().cancellations, 0);
        assert_eq!(abandoned.tally().cancellations, 1);
    }
}
