//! Which probes are due.
//!
//! Each provider has a row for its list of models, each endpoint one for its chat. When a chat is
//! due depends on what else is known by then, so no time is stored but that of the last probe:
//!
//! | the endpoint | its next chat is due |
//! |---|---|
//! | was never probed | in the first seconds, each row in a slot of its own |
//! | is healthy | `idle` after its last request or probe |
//! | is unhealthy | `recovery` after its last failed request or probe |
//! | is cooling down | not at all: its provider said for how long |
//!
//! Each wait is stretched or shortened by a tenth at most, so that gateways started together do not
//! ask together. Pure: takes `now`, what is known, and a generator; sends nothing.

use std::time::Duration;

use berry_core::Tick;
use berry_core::config::Settings;
use hashbrown::HashMap;

/// The first round is spread over this time, so that a start is not a burst.
const FIRST_ROUND: Duration = Duration::from_secs(2);
/// How far a wait is stretched or shortened at most.
const JITTER: f64 = 0.1;

/// How often endpoints are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// Between two lists of models; none where nothing is probed at all.
    pub interval: Option<Duration>,
    /// Between two chats of an unhealthy endpoint.
    pub recovery: Duration,
    /// Without any request, before a healthy endpoint is asked for a chat.
    pub idle: Duration,
}

impl From<&Settings> for Cadence {
    fn from(settings: &Settings) -> Self {
        Self {
            interval: settings.health_check_interval,
            recovery: settings.recovery_check_interval,
            idle: settings.smart_ai.lightweight_check_interval,
        }
    }
}

/// One row: whom to ask for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Check {
    /// The list of models of the provider in this place.
    Models(usize),
    /// A chat of the endpoint in this place.
    Chat(usize),
}

/// How an endpoint does, as far as its next chat depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Healthy,
    Unhealthy,
    CoolingDown,
}

/// What is known of an endpoint when the schedule is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vitals {
    pub(crate) standing: Standing,
    /// When its last request ended.
    pub(crate) last_attempt: Option<Tick>,
    /// When its last failed request ended.
    pub(crate) last_failure: Option<Tick>,
}

#[derive(Debug)]
struct Row {
    check: Check,
    progress: Progress,
    /// The factor of the next wait.
    stretch: f64,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    First { due: Tick },
    Running,
    Ended { at: Tick },
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Schedule {
    cadence: Cadence,
    rows: Vec<Row>,
    rng: fastrand::Rng,
}

impl Schedule {
    /// Plans the first round for so many providers and endpoints; nothing where probes are off.
    pub(super) fn new(
        cadence: Cadence,
        (providers, endpoints): (usize, usize),
        now: Tick,
        mut rng: fastrand::Rng,
    ) -> Self {
        let models = (0..providers).map(Check::Models);
        let checks = models.chain((0..endpoints).map(Check::Chat));
        let slot = FIRST_ROUND.div_f64((providers + endpoints).max(1) as f64);
        let rows = checks.enumerate().map(|(place, check)| Row {
            check,
            progress: Progress::First {
                due: now + slot.mul_f64(place as f64 + rng.f64()),
            },
            stretch: stretch(&mut rng),
        });
        let rows = match cadence.interval {
            Some(_) => rows.collect(),
            None => Vec::new(),
        };
        Self { cadence, rows, rng }
    }

    /// Plans for others, or at another cadence. What `earlier` finds of a row goes on where it
    /// stands; a probe that runs is given up, and asked for again.
    pub(super) fn replan(
        &mut self,
        cadence: Cadence,
        rows: (usize, usize),
        now: Tick,
        earlier: impl Fn(Check) -> Option<Check>,
    ) {
        let mut next = Self::new(cadence, rows, now, self.rng.fork());
        let ended = self.rows.iter().filter_map(|row| match row.progress {
            Progress::Ended { .. } => Some((row.check, (row.progress, row.stretch))),
            Progress::First { .. } | Progress::Running => None,
        });
        let ended: HashMap<_, _> = ended.collect();
        for row in &mut next.rows {
            if let Some(known) = earlier(row.check).and_then(|check| ended.get(&check)) {
                (row.progress, row.stretch) = *known;
            }
        }
        *self = next;
    }

    /// Returns how often it asks.
    pub(super) fn cadence(&self) -> Cadence {
        self.cadence
    }

    /// Returns all checks, due or not.
    pub(super) fn checks(&self) -> impl Iterator<Item = Check> {
        self.rows.iter().map(|row| row.check)
    }

    /// Takes the probe that has been due for longest; it is not due again before it has ended.
    pub(super) fn take(&mut self, now: Tick, look: impl Fn(usize) -> Vitals) -> Option<Check> {
        let (due, place) = self.earliest(look)?;
        (due <= now).then(|| {
            let row = &mut self.rows[place];
            row.progress = Progress::Running;
            row.check
        })
    }

    /// Records that a probe has ended.
    pub(super) fn ended(&mut self, check: Check, now: Tick) {
        let stretch = stretch(&mut self.rng);
        if let Some(row) = self.rows.iter_mut().find(|row| row.check == check) {
            row.progress = Progress::Ended { at: now };
            row.stretch = stretch;
        }
    }

    /// Returns when the next probe is due, as far as is known.
    pub(super) fn next(&self, look: impl Fn(usize) -> Vitals) -> Option<Tick> {
        self.earliest(look).map(|(due, _)| due)
    }

    fn earliest(&self, look: impl Fn(usize) -> Vitals) -> Option<(Tick, usize)> {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(place, row)| Some((self.due(row, &look)?, place)))
            .min()
    }

    fn due(&self, row: &Row, look: impl Fn(usize) -> Vitals) -> Option<Tick> {
        let ended = match row.progress {
            Progress::First { due } => return Some(due),
            Progress::Running => return None,
            Progress::Ended { at } => at,
        };
        let (since, wait) = match row.check {
            Check::Models(_) => (None, self.cadence.interval?),
            Check::Chat(endpoint) => {
                let vitals = look(endpoint);
                match vitals.standing {
                    Standing::Healthy => (vitals.last_attempt, self.cadence.idle),
                    Standing::Unhealthy => (vitals.last_failure, self.cadence.recovery),
                    Standing::CoolingDown => return None,
                }
            }
        };
        Some(since.map_or(ended, |since| since.max(ended)) + wait.mul_f64(row.stretch))
    }
}

fn stretch(rng: &mut fastrand::Rng) -> f64 {
    1.0 + JITTER * (2.0 * rng.f64() - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CADENCE: Cadence = Cadence {
        interval: Some(Duration::from_secs(30)),
        recovery: Duration::from_secs(120),
        idle: Duration::from_secs(600),
    };

    const UNUSED: Vitals = Vitals {
        standing: Standing::Healthy,
        last_attempt: None,
        last_failure: None,
    };

    fn at(seconds: u64) -> Tick {
        Tick::from(Duration::from_secs(seconds))
    }

    fn schedule(cadence: Cadence, providers: usize, endpoints: usize) -> Schedule {
        let rng = fastrand::Rng::with_seed(7);
        Schedule::new(cadence, (providers, endpoints), Tick::ZERO, rng)
    }

    /// Takes and ends all that is due.
    fn round(schedule: &mut Schedule, now: Tick, vitals: Vitals) -> Vec<Check> {
        let mut taken = Vec::new();
        while let Some(check) = schedule.take(now, |_| vitals) {
            taken.push(check);
        }
        for check in &taken {
            schedule.ended(*check, now);
        }
        taken
    }

    /// A schedule for one endpoint whose first round ended at the second `at`.
    fn begun(seconds: u64) -> Schedule {
        let mut schedule = schedule(CADENCE, 0, 1);
        round(&mut schedule, at(seconds), UNUSED);
        schedule
    }

    /// Asserts that the next probe is due so long after a moment, give or take the jitter.
    fn assert_due(schedule: &Schedule, vitals: Vitals, since: Tick, wait: Duration) {
        let due = schedule.next(|_| vitals).unwrap();
        let waited = due.saturating_since(since).div_duration_f64(wait);
        assert!((0.9..=1.1).contains(&waited), "{waited} of {wait:?}");
    }

    #[test]
    fn the_first_round_asks_each_once_in_the_first_seconds() {
        let mut schedule = schedule(CADENCE, 1, 3);
        let due: Vec<Tick> = schedule
            .rows
            .iter()
            .filter_map(|row| schedule.due(row, |_| UNUSED))
            .collect();

        assert!(due.is_sorted());
        assert!(due[3].saturating_since(due[0]) > FIRST_ROUND / 2);
        let chats = [0, 1, 2].map(Check::Chat);
        let expected = [&[Check::Models(0)][..], &chats].concat();
        assert_eq!(round(&mut schedule, at(2), UNUSED), expected);
        assert_eq!(round(&mut schedule, at(2), UNUSED), []);
    }

    #[test]
    fn without_an_interval_nothing_is_ever_due() {
        let off = Cadence {
            interval: None,
            ..CADENCE
        };

        let schedule = schedule(off, 2, 2);

        assert_eq!(schedule.checks().count(), 0);
        assert_eq!(schedule.next(|_| UNUSED), None);
    }

    #[test]
    fn lists_of_models_are_due_every_interval() {
        let mut schedule = schedule(CADENCE, 1, 0);
        round(&mut schedule, at(2), UNUSED);

        assert_due(&schedule, UNUSED, at(2), Duration::from_secs(30));
    }

    #[test]
    fn a_probe_that_runs_is_not_due() {
        let mut schedule = schedule(CADENCE, 0, 1);

        assert_eq!(schedule.take(at(2), |_| UNUSED), Some(Check::Chat(0)));
        assert_eq!(schedule.take(at(9000), |_| UNUSED), None);
    }

    #[test]
    fn a_healthy_endpoint_is_asked_when_it_was_idle() {
        let schedule = begun(2);

        assert_due(&schedule, UNUSED, at(2), CADENCE.idle);
        let used = Vitals {
            last_attempt: Some(at(500)),
            ..UNUSED
        };
        assert_due(&schedule, used, at(500), CADENCE.idle);
    }

    #[test]
    fn an_unhealthy_endpoint_is_asked_until_it_recovers() {
        let mut schedule = begun(2);
        let unhealthy = Vitals {
            standing: Standing::Unhealthy,
            last_attempt: Some(at(700)),
            last_failure: Some(at(600)),
        };

        assert_due(&schedule, unhealthy, at(600), CADENCE.recovery);
        round(&mut schedule, at(740), unhealthy);
        assert_due(&schedule, unhealthy, at(740), CADENCE.recovery);
    }

    #[test]
    fn an_endpoint_that_cools_down_is_left_alone() {
        let schedule = begun(2);
        let cooling_down = Vitals {
            standing: Standing::CoolingDown,
            ..UNUSED
        };

        assert_eq!(schedule.next(|_| cooling_down), None);
    }
}
