//! How long an endpoint takes to its first content.
//!
//! Answers are averaged, peaks are believed at once:
//!
//! ```text
//! sample above the average:  average = sample
//! sample below it:           average = average · w + sample · (1−w),   w = min(e^(−Δt / τ), 0.9)
//! ```
//!
//! (after Finagle's `PeakEwma`). A wait that was given up says that an answer takes at least as long:
//! it is a sample where it is above the average. A failure says nothing about how long answers take, and yet it must
//! make the endpoint less attractive: it counts as `max(elapsed, its timeout)`, beside the average,
//! until an answer comes. Both fade while nothing is learned, the penalty of a failure faster, so
//! that an endpoint that was slow or failed once is asked again.
//!
//! An endpoint that was ejected and returns is unknown again: what was measured before was measured
//! of a failing one. Otherwise the old numbers would keep requests away from it, and without
//! requests it could not show that they are wrong. A passed chat likewise clears the penalty. A rate
//! limit that says for how long brings none: until then nothing is sent, and then it is over.
//!
//! Streamed and whole answers are kept apart: the first content of a whole answer is its end.
//! Pure: takes `now`.

use std::time::Duration;

use berry_core::Tick;

/// The time constant of the average: a few requests at the pace of language models.
const TAU: Duration = Duration::from_secs(30);
/// The half-life of an average that gets no samples.
const FADE: Duration = Duration::from_secs(300);
/// The half-life of a failure's penalty: of five minutes less than a tenth of a second is left after
/// four, which is two recovery intervals.
const FORGIVE: Duration = Duration::from_secs(20);
/// However fast samples come, each counts for at least a tenth.
const HEAVIEST: f64 = 0.9;

/// Whether an answer comes in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As a stream of events.
    Streamed,
    /// All at once.
    Whole,
}

/// The estimates of one endpoint, per mode.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latency {
    streamed: Estimate,
    whole: Estimate,
}

impl Latency {
    /// Takes a wait that ended without an answer and without a failure.
    pub(crate) fn asked_in_vain(&mut self, mode: Mode, waited: Duration, now: Tick) {
        let estimate = self.of(mode);
        estimate.in_vain = Some(now);
        let waited = waited.as_secs_f64();
        if estimate
            .average
            .is_some_and(|(average, _)| waited > average)
        {
            estimate.average = Some((waited, now));
        }
    }

    /// Returns when it was asked last and that taught nothing.
    pub(crate) fn in_vain(&self, mode: Mode) -> Option<Tick> {
        match mode {
            Mode::Streamed => self.streamed.in_vain,
            Mode::Whole => self.whole.in_vain,
        }
    }

    /// Takes the time of an answer.
    pub(crate) fn answered(&mut self, mode: Mode, took: Duration, now: Tick) {
        self.of(mode).answered(took, now);
    }

    /// Takes a failure, at the price of what it may have cost at most.
    pub(crate) fn failed(&mut self, mode: Mode, cost: Duration, now: Tick) {
        self.of(mode).penalty = Some((cost.as_secs_f64(), now));
    }

    /// Forgets that attempts failed.
    pub(crate) fn forgive(&mut self) {
        self.streamed.penalty = None;
        self.whole.penalty = None;
    }

    /// Returns the estimate; none while nothing was learned.
    pub(crate) fn estimate(&self, mode: Mode, now: Tick) -> Option<Duration> {
        match mode {
            Mode::Streamed => self.streamed.at(now),
            Mode::Whole => self.whole.at(now),
        }
    }

    fn of(&mut self, mode: Mode) -> &mut Estimate {
        match mode {
            Mode::Streamed => &mut self.streamed,
            Mode::Whole => &mut self.whole,
        }
    }
}

/// Seconds, and when they were learned.
type Learned = Option<(f64, Tick)>;

#[derive(Debug, Clone, Copy, Default)]
struct Estimate {
    average: Learned,
    penalty: Learned,
    in_vain: Option<Tick>,
}

impl Estimate {
    fn answered(&mut self, took: Duration, now: Tick) {
        let sample = took.as_secs_f64();
        let average = match self.average {
            Some((average, at)) if sample < average => {
                let age = now.saturating_since(at).as_secs_f64();
                let weight = (-age / TAU.as_secs_f64()).exp().min(HEAVIEST);
                average * weight + sample * (1.0 - weight)
            }
            _ => sample,
        };
        *self = Self {
            average: Some((average, now)),
            penalty: None,
            in_vain: None,
        };
    }

    fn at(&self, now: Tick) -> Option<Duration> {
        let average = faded(self.average, FADE, now);
        let penalty = faded(self.penalty, FORGIVE, now);
        let seconds = match (average, penalty) {
            (None, None) => return None,
            (average, penalty) => average.unwrap_or_default() + penalty.unwrap_or_default(),
        };
        Some(Duration::from_secs_f64(seconds))
    }
}

fn faded(learned: Learned, half_life: Duration, now: Tick) -> Option<f64> {
    let (seconds, at) = learned?;
    let halvings = now.saturating_since(at).as_secs_f64() / half_life.as_secs_f64();
    Some(seconds * (-halvings).exp2())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::from(Duration::from_secs(seconds))
    }

    fn answered(samples: &[(u64, u64)]) -> Latency {
        let mut latency = Latency::default();
        for &(second, milliseconds) in samples {
            latency.answered(Mode::Whole, Duration::from_millis(milliseconds), at(second));
        }
        latency
    }

    fn estimate(latency: &Latency, second: u64) -> u128 {
        latency
            .estimate(Mode::Whole, at(second))
            .unwrap()
            .as_millis()
    }

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        assert_eq!(Latency::default().estimate(Mode::Whole, at(0)), None);
    }

    #[test]
    fn a_peak_is_believed_at_once() {
        assert_eq!(estimate(&answered(&[(0, 100), (1, 900)]), 1), 900);
    }

    #[test]
    fn better_answers_bring_it_down_with_time() {
        let soon = estimate(&answered(&[(0, 1000), (1, 100)]), 1);
        let late = estimate(&answered(&[(0, 1000), (90, 100)]), 90);

        assert!((900..1000).contains(&soon), "{soon}");
        assert!((100..200).contains(&late), "{late}");
    }

    #[test]
    fn without_answers_the_estimate_fades() {
        assert_eq!(estimate(&answered(&[(0, 1000)]), 300), 500);
    }

    #[test]
    fn a_failure_counts_until_an_answer_or_time_clears_it() {
        let mut latency = answered(&[(0, 100)]);
        latency.failed(Mode::Whole, Duration::from_secs(30), at(0));

        assert_eq!(estimate(&latency, 0), 30_100);
        assert!(estimate(&latency, 240) < 300, "{}", estimate(&latency, 240));
        latency.answered(Mode::Whole, Duration::from_millis(100), at(1));
        assert!(estimate(&latency, 1) <= 100);
    }

    #[test]
    fn what_is_forgiven_leaves_the_average() {
        let mut latency = answered(&[(0, 100)]);
        latency.failed(Mode::Whole, Duration::from_secs(30), at(0));
        latency.failed(Mode::Streamed, Duration::from_secs(30), at(0));

        latency.forgive();

        assert_eq!(estimate(&latency, 0), 100);
        assert_eq!(latency.estimate(Mode::Streamed, at(0)), None);
    }

    #[test]
    fn streamed_and_whole_answers_are_apart() {
        assert_eq!(answered(&[(0, 100)]).estimate(Mode::Streamed, at(0)), None);
    }

    #[test]
    fn a_wait_that_was_given_up_counts_where_it_was_longer_than_usual() {
        for (waited, expected) in [(20, 100), (1000, 1000)] {
            let mut latency = answered(&[(0, 100)]);

            latency.asked_in_vain(Mode::Whole, Duration::from_millis(waited), at(0));

            let expected = Some(Duration::from_millis(expected));
            assert_eq!(latency.estimate(Mode::Whole, at(0)), expected);
            assert_eq!(latency.estimate(Mode::Streamed, at(0)), None);
        }
    }
}
