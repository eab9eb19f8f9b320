//! The one place where this crate asks what time it is.

use std::time::Duration;

use berry_core::Tick;
use tokio::time::Instant;

/// Turns the runtime's clock into [`Tick`]s since the process began.
///
/// It is tokio's clock, so that tests can pause it. A copy is sixteen bytes; every part of a
/// process must copy the same one, or their ticks do not compare.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts counting now.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Returns the time since the start.
    pub fn now(&self) -> Tick {
        Tick::from(self.start.elapsed())
    }

    /// Returns how long ago the clock was started.
    pub fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}
