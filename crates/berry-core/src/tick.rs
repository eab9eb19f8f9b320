//! The time that pure code is told: a point on the process's own clock.
//!
//! A [`Tick`] has no way to ask what time it is. Whoever owns a clock makes one and passes it
//! down, so that breakers, ramps and limits can be driven through hours in a test that takes
//! microseconds, and run under tools that do not know an async runtime.
//!
//! It is no wall-clock time: ticks of two processes cannot be compared, and nothing a user sees
//! is made from one.

use std::ops::Add;
use std::time::Duration;

/// A point in time: nanoseconds since the process started.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The moment the process started.
    pub const ZERO: Self = Self(0);

    /// Returns the point `nanos` nanoseconds after the start of the process.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the start of the process.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns how long after `earlier` this is; zero when it is not after it.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Moves a tick forward. The end of time, five centuries after the start, is not passed.
impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(Self::from(by).0))
    }
}

/// The point that lies `since_start` after the start of the process.
impl From<Duration> for Tick {
    fn from(since_start: Duration) -> Self {
        Self(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_tick_knows_how_much_later_it_is() {
        let earlier = Tick::from(Duration::from_secs(3));

        let later = earlier + Duration::from_millis(20);

        assert_eq!(later.saturating_since(earlier), Duration::from_millis(20));
        assert_eq!(earlier.saturating_since(later), Duration::ZERO);
    }

    #[test]
    fn a_tick_stops_at_the_end_of_time() {
        let last = Tick::from(Duration::MAX);

        assert_eq!(last + Duration::from_secs(1), last);
        assert_eq!(last.as_nanos(), u64::MAX);
    }
}
