//! How long Berry itself has worked on a request: the waits are on others.
//!
//! A request is a future and then a body; it costs time while one of them is being polled, and
//! nothing while it waits for the client, an upstream or a backoff. So the time of the polls is
//! summed up. It does not see what the HTTP library does around them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

/// Says that it is not running.
const STOPPED: u64 = u64::MAX;

/// See the module's documentation. Clones are the same stopwatch.
///
/// A request is polled by one thread at a time; the atomics only carry it from one to the next.
#[derive(Debug, Clone)]
pub(crate) struct Stopwatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Instant,
    spent: AtomicU64,
    /// Since when it runs, in nanoseconds after `epoch`.
    since: AtomicU64,
    over: AtomicBool,
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self(Arc::new(Inner {
            epoch: Instant::now(),
            spent: AtomicU64::new(0),
            since: AtomicU64::new(STOPPED),
            over: AtomicBool::new(false),
        }))
    }
}

impl Stopwatch {
    /// Runs from now on.
    pub(crate) fn start(&self) {
        self.0.since.store(self.0.now(), Ordering::Relaxed);
    }

    /// Runs no longer.
    pub(crate) fn stop(&self) {
        self.0.spent.store(self.spent(), Ordering::Relaxed);
        self.0.since.store(STOPPED, Ordering::Relaxed);
    }

    /// Runs while the future is polled.
    pub(crate) fn around<F: Future>(&self, future: F) -> Timed<F> {
        Timed {
            future,
            stopwatch: self.clone(),
        }
    }

    /// Notes that what it measures is over.
    pub(crate) fn end(&self) {
        self.0.over.store(true, Ordering::Relaxed);
    }

    /// Returns whether what it measures is over.
    pub(crate) fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }

    /// Returns what it has measured so far.
    pub(crate) fn read(&self) -> Duration {
        Duration::from_nanos(self.spent())
    }

    fn spent(&self) -> u64 {
        let since = self.0.since.load(Ordering::Relaxed);
        let running = if since == STOPPED {
            0
        } else {
            self.0.now().saturating_sub(since)
        };
        self.0.spent.load(Ordering::Relaxed) + running
    }
}

impl Inner {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(STOPPED - 1)
    }
}

pin_project_lite::pin_project! {
    /// A future whose polls are timed.
    #[derive(Debug)]
    pub(crate) struct Timed<F> {
        #[pin]
        future: F,
        stopwatch: Stopwatch,
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.stopwatch.start();
        let polled = this.future.poll(cx);
        this.stopwatch.stop();
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_is_not_counted() {
        let stopwatch = Stopwatch::default();

        stopwatch.around(sleep(Duration::from_secs(5))).await;

        assert_eq!(stopwatch.read(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_read_while_it_runs_and_goes_on_where_it_stopped() {
        let stopwatch = Stopwatch::default();
        let work = || {
            stopwatch.start();
            // Time passes within one poll.
            let mut passing = Box::pin(advance(Duration::from_millis(3)));
            let waker = futures_util::task::noop_waker();
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
