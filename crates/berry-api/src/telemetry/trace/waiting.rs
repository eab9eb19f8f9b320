//! Spans that wait to be sent: encoded, and no more of them than fit.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::telemetry::loss::Loss;

/// Some thousand spans: seconds of a busy gateway.
const CAPACITY: usize = 4 << 20;
/// So many are not kept waiting for more.
const MANY: usize = CAPACITY / 4;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Waiting {
    batch: Mutex<Batch>,
    /// There is something, or much.
    filled: Notify,
    /// Spans that are neither sent nor lost.
    unsent: AtomicU64,
    pub(super) loss: Loss,
}

/// Spans one after the other, each as a field of its scope.
#[derive(Debug, Default)]
pub(super) struct Batch<T = Vec<u8>> {
    pub(super) spans: T,
    pub(super) count: u64,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            batch: Mutex::default(),
            filled: Notify::new(),
            unsent: AtomicU64::new(0),
            loss: Loss::of("traces"),
        }
    }
}

impl Waiting {
    /// Adds the spans of one request, or counts them as lost.
    pub(super) fn put(&self, spans: &[u8], count: u64) {
        let mut batch = self.batch.lock();
        let before = batch.spans.len();
        let after = before + spans.len();
        if after > CAPACITY {
            drop(batch);
            self.loss.lose(count, "the collector is too slow");
            return;
        }
        batch.spans.extend_from_slice(spans);
        batch.count += count;
        drop(batch);
        self.unsent.fetch_add(count, Ordering::Relaxed);
        if before == 0 || (before < MANY && after >= MANY) {
            self.filled.notify_one();
        }
    }

    /// Waits until there is something.
    pub(super) async fn something(&self) {
        self.more_than(0).await;
    }

    /// Waits until there is much.
    pub(super) async fn much(&self) {
        self.more_than(MANY - 1).await;
    }

    async fn more_than(&self, bytes: usize) {
        while self.batch.lock().spans.len() <= bytes {
            self.filled.notified().await;
        }
    }

    /// Takes what there is.
    pub(super) fn take(&self) -> Batch<Bytes> {
        let Batch { spans, count } = std::mem::take(&mut *self.batch.lock());
        Batch {
            spans: spans.into(),
            count,
        }
    }

    /// Notes that so many need not be sent any more.
    pub(super) fn done(&self, count: u64) {
        self.unsent.fetch_sub(count, Ordering::Relaxed);
    }

    /// Returns how many have not been sent.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll};

    use futures_util::task::noop_waker;

    use super::*;

    #[test]
    fn what_does_not_fit_is_lost_and_counted_and_nobody_waits() {
        let waiting = Waiting::default();
        let spans = vec![7; CAPACITY / 4];

        for _ in 0..5 {
            waiting.put(&spans, 3);
        }
        let taken = waiting.take();
        waiting.put(&spans, 3);

        assert_eq!((taken.spans.len(), taken.count), (CAPACITY, 12));
        assert_eq!(waiting.loss.count(), 3);
        assert_eq!(waiting.take().count, 3);
        assert_eq!(waiting.unsent(), 15);
    }

    #[test]
    fn whoever_sends_is_told_of_something_and_of_much() {
        let waiting = Waiting::default();
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut poll = |much: bool| {
            if much {
                pin!(waiting.much()).poll(&mut cx)
            } else {
                pin!(waiting.something()).poll(&mut cx)
            }
        };

        assert_eq!(poll(false), Poll::Pending);
        waiting.put(b"x", 1);
        assert_eq!(poll(false), Poll::Ready(()));
        assert_eq!(poll(true), Poll::Pending);
        waiting.put(&vec![0; MANY], 1);
        assert_eq!(poll(true), Poll::Ready(()));
    }
}
