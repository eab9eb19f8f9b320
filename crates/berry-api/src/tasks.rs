//! The process's background tasks: spawned, told to stop, and waited for here and nowhere else.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Owns the tasks of one process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Tasks {
    /// Runs a task beside the others. It must end soon after [`Tasks::stopping`] says so.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Returns what tells tasks to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Tells all tasks to stop and waits for them, but not longer than `grace`. Returns how many
    /// had not ended by then.
    pub(crate) async fn stop(&self, grace: Duration) -> usize {
        self.stopping.cancel();
        self.tracker.close();
        match timeout(grace, self.tracker.wait()).await {
            Ok(()) => 0,
            Err(_) => self.tracker.len(),
        }
    }
}
