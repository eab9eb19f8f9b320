//! How many requests a provider works on at once, and who waits to be the next.
//!
//! A provider that hangs would otherwise collect every request that is sent to it, with its memory,
//! its connection and its place among the requests in flight, at the cost of those for others. The
//! queue is short in both ways: a request that cannot soon be served here is better served
//! elsewhere, or told so.
//!
//! Requests are counted whether they are bounded or not, so that a reload that sets a bound begins
//! with the right number. Probes are neither counted nor held up: they tell whether to wait at all.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    counts: Mutex<Counts>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    inside: u32,
    waiting: u32,
}

/// A request that the provider is at work on; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gate>);

/// A request in the queue.
struct Waiting<'a>(&'a Gate);

impl Gate {
    /// Lets a request in at once, where fewer than `most` are inside and none waits.
    pub(crate) fn try_enter(self: &Arc<Self>, most: Option<NonZeroU32>) -> Option<Place> {
        let mut counts = self.counts.lock();
        let full = most.is_some_and(|most| counts.inside >= most.get() || counts.waiting > 0);
        if full {
            return None;
        }
        counts.inside += 1;
        Some(Place(Arc::clone(self)))
    }

    /// Waits for a place, behind those who wait already, but not for longer than `patience`; not at
    /// all where as many wait as may be inside.
    pub(crate) async fn queue(
        self: &Arc<Self>,
        most: Option<NonZeroU32>,
        patience: Duration,
    ) -> Option<Place> {
        let most = most.map_or(u32::MAX, NonZeroU32::get);
        let _waiting = self.wait(most)?;
        let turn = async {
            loop {
                // From here on a place that gets free is not missed.
                let freed = self.freed.notified();
                {
                    let mut counts = self.counts.lock();
                    if counts.inside < most {
                        counts.inside += 1;
                        return Place(Arc::clone(self));
                    }
                }
                freed.await;
            }
        };
        timeout(patience, turn).await.ok()
    }

    fn wait(&self, most: u32) -> Option<Waiting<'_>> {
        let mut counts = self.counts.lock();
        if counts.waiting >= most {
            return None;
        }
        counts.waiting += 1;
        Some(Waiting(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.0.counts.lock();
        counts.inside -= 1;
        if counts.waiting > 0 {
            self.0.freed.notify_one();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.counts.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn most(count: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(count)
    }

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn without_a_bound_everybody_enters_and_is_counted() {
        let gate = Arc::new(Gate::default());

        let places: Vec<_> = (0..100).map(|_| gate.try_enter(None)).collect();

        assert!(places.iter().all(Option::is_some));
        assert!(gate.try_enter(most(100)).is_none());
        assert!(gate.try_enter(most(101)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_come_in_in_their_order_and_nobody_overtakes() {
        let gate = Arc::new(Gate::default());
        let inside = gate.try_enter(most(2)).unwrap();
        let _other = gate.try_enter(most(2)).unwrap();
        let mut first = pin!(gate.queue(most(2), SECOND));
        let mut second = pin!(gate.queue(most(2), SECOND));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());

        drop(inside);

        assert!(gate.try_enter(most(2)).is_none());
        assert!(poll(second.as_mut()).is_pending());
        assert!(matches!(poll(first.as_mut()), Poll::Ready(Some(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_in_time_and_a_full_queue_is_not_joined() {
        let gate = Arc::new(Gate::default());
        let inside = gate.try_enter(most(1)).unwrap();
        let mut waits = Box::pin(gate.queue(most(1), SECOND));
        assert!(poll(waits.as_mut()).is_pending());

        assert!(gate.queue(most(1), SECOND).await.is_none());
        assert!(waits.await.is_none());
        drop(inside);
        assert!(gate.queue(most(1), SECOND).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_passes_from_a_waiter_that_leaves_to_the_next() {
        let gate = Arc::new(Gate::default());
        let inside = gate.try_enter(most(2)).unwrap();
        let _other = gate.try_enter(most(2)).unwrap();
        let mut leaves = Box::pin(gate.queue(most(2), SECOND));
        let mut stays = pin!(gate.queue(most(2), SECOND));
        assert!(poll(leaves.as_mut()).is_pending());
        assert!(poll(stays.as_mut()).is_pending());

        drop(inside);
        drop(leaves);

        assert!(stays.await.is_some());
    }
}
