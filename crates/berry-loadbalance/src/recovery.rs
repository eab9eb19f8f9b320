//! The ramp of an endpoint that has returned.
//!
//! An endpoint that failed is often still weak when it answers again: caches are cold, a queue is
//! being worked off. So its share of the traffic grows in stages, each reached by successes or by
//! time without a failure, whichever comes first:
//!
//! ```text
//! on trial 10 %  →  30 % (1 success or 30 s)  →  50 % (3 or 60 s)  →  100 % (5 or 90 s)
//! ```
//!
//! A failure starts the ramp again. Pure: takes `now`.

use std::time::Duration;

use berry_core::Tick;

/// The share while the one trial is out.
pub(crate) const ON_TRIAL: f64 = 0.1;

/// Successes, time without failure, and the share they bring; the last ends the ramp.
const STAGES: [(u32, Duration, f64); 3] = [
    (5, Duration::from_secs(90), 1.0),
    (3, Duration::from_secs(60), 0.5),
    (1, Duration::from_secs(30), 0.3),
];

/// Where an endpoint is on its way back; one that never left has its whole share.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Recovery {
    ramp: Option<Ramp>,
}

#[derive(Debug, Clone, Copy)]
struct Ramp {
    since: Tick,
    successes: u32,
}

impl Recovery {
    /// Starts the ramp.
    pub(crate) fn begin(&mut self, now: Tick) {
        self.ramp = Some(Ramp {
            since: now,
            successes: 0,
        });
    }

    /// Records a success.
    pub(crate) fn succeeded(&mut self) {
        if let Some(ramp) = &mut self.ramp {
            ramp.successes = ramp.successes.saturating_add(1);
        }
    }

    /// Records a failure: what is on its way back starts again.
    pub(crate) fn failed(&mut self, now: Tick) {
        if self.ramp.is_some() {
            self.begin(now);
        }
    }

    /// Returns whether the end of a ramp has been reached and not been taken notice of.
    pub(crate) fn is_over(&self, now: Tick) -> bool {
        self.ramp.is_some() && self.share(now) >= 1.0
    }

    /// Takes notice of a ramp's end; returns whether there was one.
    pub(crate) fn settle(&mut self, now: Tick) -> bool {
        let over = self.is_over(now);
        if over {
            self.ramp = None;
        }
        over
    }

    /// Returns the share of its weight that the endpoint may carry, above 0 and at most 1.
    pub(crate) fn share(&self, now: Tick) -> f64 {
        let Some(Ramp { since, successes }) = self.ramp else {
            return 1.0;
        };
        let calm = now.saturating_since(since);
        STAGES
            .iter()
            .find(|(needed, time, _)| successes >= *needed || calm >= *time)
            .map_or(ON_TRIAL, |(.., share)| *share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::from(Duration::from_secs(seconds))
    }

    fn begun() -> Recovery {
        let mut recovery = Recovery::default();
        recovery.begin(at(0));
        recovery
    }

    #[test]
    fn what_never_left_has_its_whole_share() {
        let mut recovery = Recovery::default();
        recovery.failed(at(0));

        assert!((recovery.share(at(0)) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn successes_raise_the_share_in_stages() {
        let mut recovery = begun();
        let mut shares = vec![recovery.share(at(0))];
        for _ in 0..5 {
            recovery.succeeded();
            shares.push(recovery.share(at(0)));
        }

        assert_eq!(shares, [0.1, 0.3, 0.3, 0.5, 0.5, 1.0]);
    }

    #[test]
    fn time_without_failure_raises_it_too() {
        let recovery = begun();

        let shares: Vec<f64> = [0, 29, 30, 60, 90]
            .iter()
            .map(|&second| recovery.share(at(second)))
            .collect();

        assert_eq!(shares, [0.1, 0.1, 0.3, 0.5, 1.0]);
    }

    #[test]
    fn a_failure_starts_the_ramp_again() {
        let mut recovery = begun();
        recovery.succeeded();

        recovery.failed(at(61));

        assert!((recovery.share(at(61)) - ON_TRIAL).abs() < f64::EPSILON);
    }

    #[test]
    fn a_failure_after_the_ramp_does_not_start_it() {
        let mut recovery = begun();
        for _ in 0..5 {
            recovery.succeeded();
        }
        assert!(recovery.settle(at(1)));

        recovery.failed(at(2));

        assert!((recovery.share(at(2)) - 1.0).abs() < f64::EPSILON);
    }
}
