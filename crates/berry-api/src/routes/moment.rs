//! The instant a page speaks of, so that all numbers on it are of the same one.

use berry_core::Tick;
use berry_loadbalance::Clock;
use jiff::{Timestamp, Unit};

/// One instant, on the process's clock and on the wall's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Tick,
    wall: Timestamp,
}

impl Moment {
    pub(crate) fn of(clock: Clock) -> Self {
        Self {
            now: clock.now(),
            wall: Timestamp::now(),
        }
    }

    /// Returns the time of day, in RFC 3339.
    pub(crate) fn timestamp(self) -> String {
        show(self.wall)
    }

    /// Returns what the time of day was at a tick that is past.
    pub(crate) fn when(self, tick: Tick) -> String {
        let ago = self.now.saturating_since(tick);
        show(self.wall.checked_sub(ago).unwrap_or(self.wall))
    }
}

fn show(time: Timestamp) -> String {
    time.round(Unit::Millisecond).unwrap_or(time).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_tick_is_shown_as_the_time_of_day_it_was() {
        let moment = Moment {
            now: Tick::from(Duration::from_secs(90)),
            wall: "2026-01-01T00:00:30Z".parse().unwrap(),
        };

        assert_eq!(moment.timestamp(), "2026-01-01T00:00:30Z");
        let earlier = Tick::from(Duration::from_millis(500));
        assert_eq!(moment.when(earlier), "2025-12-31T23:59:00.5Z");
    }
}
