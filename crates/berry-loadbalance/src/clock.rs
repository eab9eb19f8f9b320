//! The one place where this crate asks what time it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use berry_core::Tick;
use tokio::time::Instant;

/// Turns a source of time into [`Tick`]s since it began.
///
/// A gateway's clock is the runtime's, which tests can pause; a simulation sets its own. A copy is
/// small; every part of a process must copy the same one, or their ticks do not compare.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Source);

#[derive(Debug, Clone, Copy)]
enum Source {
    Runtime(Instant),
    Manual(&'static ManualTime),
}

impl Clock {
    /// Starts counting the runtime's time now.
    pub fn start() -> Self {
        Self(Source::Runtime(Instant::now()))
    }

    /// Shows the time that somebody else sets.
    pub fn manual(time: &'static ManualTime) -> Self {
        Self(Source::Manual(time))
    }

    /// Returns the time since the start.
    pub fn now(&self) -> Tick {
        match self.0 {
            Source::Runtime(start) => Tick::from(start.elapsed()),
            Source::Manual(time) => time.now(),
        }
    }

    /// Returns how long ago the clock was started.
    pub fn uptime(&self) -> Duration {
        self.now().saturating_since(Tick::ZERO)
    }
}

/// Time that stands still until it is set.
#[derive(Debug, Default)]
pub struct ManualTime(AtomicU64);

impl ManualTime {
    /// Begins at the start.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Makes it this time.
    pub fn set(&self, now: Tick) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }

    fn now(&self) -> Tick {
        Tick::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
