//! How long Berry itself has worked on a request: the waits are on others.
//!
//! A request is a future and then a body; it costs time while one of them is being polled, and
//! nothing while it waits for the client, an upstream or a backoff. So the time of the polls is
//! summed up. It does not see what the HTTP library does around them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Says that it is not running.
const STOPPED: u64 = u64::MAX;

/// See the module's documentation.
///
/// A request is polled by one thread at a time; the atomics only carry it from one to the next.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    epoch: Instant,
    spent: AtomicU64,
    /// Since when it runs, in nanoseconds after `epoch`.
    since: AtomicU64,
}

/// What two clocks say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// How long ago the request began.
    pub(crate) latency: Duration,
    /// How long Berry itself has worked on it.
    pub(crate) overhead: Duration,
}

impl Stopwatch {
    /// Makes one that runs, and has since `epoch`.
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            spent: AtomicU64::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// Runs from now on, unless it does already.
    pub(crate) fn start(&self) {
        if self.since.load(Ordering::Relaxed) == STOPPED {
            self.since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Runs no longer.
    pub(crate) fn stop(&self) {
        if self.since.load(Ordering::Relaxed) != STOPPED {
            self.finish();
        }
    }

    /// Runs no longer; returns what [`Self::read`] would.
    pub(crate) fn finish(&self) -> Times {
        let now = self.now();
        self.spent.store(self.spent_at(now), Ordering::Relaxed);
        self.since.store(STOPPED, Ordering::Relaxed);
        self.times_at(now)
    }

    /// Returns what it has measured so far, and the time that has passed.
    pub(crate) fn read(&self) -> Times {
        self.times_at(self.now())
    }

    fn times_at(&self, now: u64) -> Times {
        Times {
            latency: Duration::from_nanos(now),
            overhead: Duration::from_nanos(self.spent_at(now)),
        }
    }

    fn spent_at(&self, now: u64) -> u64 {
        let since = self.since.load(Ordering::Relaxed);
        // A clock that is stopped began later than any time.
        self.spent.load(Ordering::Relaxed) + now.saturating_sub(since)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(STOPPED - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use futures_util::task::noop_waker;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_can_be_read_while_it_runs_and_goes_on_where_it_stopped() {
        let stopwatch = Stopwatch::new(Instant::now());
        let work = || {
            stopwatch.start();
            // Time passes within one poll.
            let mut passing = Box::pin(advance(Duration::from_millis(3)));
            let waker = noop_waker();
            let _ = passing.as_mut().poll(&mut Context::from_waker(&waker));
            let read = stopwatch.read().overhead;
            stopwatch.stop();
            read
        };

        let first = work();
        advance(Duration::from_secs(1)).await;
        let second = work();

        assert_eq!(first, Duration::from_millis(3));
        assert_eq!(second, Duration::from_millis(6));
        let passed = Duration::from_millis(1_006);
        let (latency, overhead) = (passed, Duration::from_millis(6));
        assert_eq!(stopwatch.read(), Times { latency, overhead });
    }
}
