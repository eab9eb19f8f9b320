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

impl Stopwatch {
    /// Makes one that does not run yet; `epoch` is not after the first start.
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            spent: AtomicU64::new(0),
            since: AtomicU64::new(STOPPED),
        }
    }

    /// Runs from now on.
    pub(crate) fn start(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// Runs no longer.
    pub(crate) fn stop(&self) {
        self.spent.store(self.spent(), Ordering::Relaxed);
        self.since.store(STOPPED, Ordering::Relaxed);
    }

    /// Returns what it has measured so far.
    pub(crate) fn read(&self) -> Duration {
        Duration::from_nanos(self.spent())
    }

    fn spent(&self) -> u64 {
        let since = self.since.load(Ordering::Relaxed);
        let running = if since == STOPPED {
            0
        } else {
            self.now().saturating_sub(since)
        };
        self.spent.load(Ordering::Relaxed) + running
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
            let read = stopwatch.read();
            stopwatch.stop();
            read
        };

        let first = work();
        advance(Duration::from_secs(1)).await;
        let second = work();

        assert_eq!(first, Duration::from_millis(3));
        assert_eq!(second, Duration::from_millis(6));
        assert_eq!(stopwatch.read(), Duration::from_millis(6));
    }
}
