//! The process's background tasks: spawned, told to stop, and waited for here and nowhere else.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::signal::{Awaited, Signal};

/// How long tasks have for their last words when the grace is over: an error for the client, a line
/// for the log.
const LAST_WORDS: Duration = Duration::from_secs(1);

pin_project! {
    /// Work that is woken when the grace is over. There is one for each connection and each stream:
    /// an `async` block would keep the work twice.
    #[derive(Debug)]
    pub(crate) struct Heeding<W> {
        #[pin]
        work: W,
        #[pin]
        over: Option<Awaited>,
    }
}

impl<W: Future> Future for Heeding<W> {
    type Output = W::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        let mut this = self.project();
        if let Some(over) = this.over.as_mut().as_pin_mut()
            && over.poll(cx).is_ready()
        {
            this.over.set(None);
        }
        this.work.poll(cx)
    }
}

pin_project! {
    /// A task that ends where it waits when it is cut off.
    #[derive(Debug)]
    struct Cuttable<T> {
        #[pin]
        task: T,
        #[pin]
        cut: Awaited,
    }
}

impl<T: Future<Output = ()>> Future for Cuttable<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.cut.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        this.task.poll(cx)
    }
}

/// Owns the tasks of one process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
    grace: Grace,
    cut: Signal,
}

/// Tells whether there is time left to finish what was begun.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grace(Signal);

impl Grace {
    /// Returns whether the time is over. Who serves a client is woken by then, and everything that
    /// is part of it polled.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_given()
    }

    /// Waits for the work while there is time. Must be part of what is woken at the end.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if self.is_over() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Makes work of what is to be polled once more at the end, for its last words.
    pub(crate) fn heed<W: Future>(&self, work: W) -> Heeding<W> {
        Heeding {
            work,
            over: Some(self.0.awaited()),
        }
    }

    fn end(&self) {
        self.0.give();
    }
}

impl Tasks {
    /// Runs a task beside the others. It must end soon after [`Tasks::stopping`] says so, or it is
    /// cut off: dropped where it waits.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.awaited();
        self.tracker.spawn(Cuttable { task, cut });
    }

    /// Returns what tells tasks to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Returns what tells that the time to finish is over.
    pub(crate) fn grace(&self) -> &Grace {
        &self.grace
    }

    /// Tells the tasks to stop and waits for them; those that take longer than `patience` are cut off.
    pub(crate) async fn end(&self, patience: Duration) {
        self.tracker.close();
        self.stopping.cancel();
        if timeout(patience, self.tracker.wait()).await.is_err() {
            self.cut.give();
        }
    }

    /// Lets the tasks that have not ended say a last word, and cuts off those that still have not;
    /// returns how many there were.
    pub(crate) async fn cut_off(&self) -> usize {
        self.tracker.close();
        let left = self.tracker.len();
        self.grace.end();
        if timeout(LAST_WORDS, self.tracker.wait()).await.is_err() {
            self.cut.give();
            // What does not wait cannot be dropped; the end of the process ends it.
            let _ = timeout(LAST_WORDS, self.tracker.wait()).await;
        }
        left
    }
}
