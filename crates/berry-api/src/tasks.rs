//! The process's background tasks: spawned, told to stop, and waited for here and nowhere else.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks that were cut off have for their last words, which are log lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Owns the tasks of one process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
    cut: CancellationToken,
}

impl Tasks {
    /// Runs a task beside the others. It must end soon after [`Tasks::stopping`] says so, or it is
    /// cut off: dropped where it waits.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tracker.spawn(async move {
            cut.run_until_cancelled(task).await;
        });
    }

    /// Returns what tells tasks to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Returns what tells that tasks are cut off.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    /// Tells the tasks to stop and waits for them, but no longer than `patience`.
    pub(crate) async fn end(&self, patience: Duration) {
        self.tracker.close();
        self.stopping.cancel();
        // What has not ended by then ends with the process.
        let _ = timeout(patience, self.tracker.wait()).await;
        self.cut.cancel();
    }

    /// Cuts off the tasks that have not ended; returns how many.
    pub(crate) async fn cut_off(&self) -> usize {
        self.tracker.close();
        let left = self.tracker.len();
        self.cut.cancel();
        // What does not wait cannot be dropped; the end of the process ends it.
        let _ = timeout(LAST_WORDS, self.tracker.wait()).await;
        left
    }
}
