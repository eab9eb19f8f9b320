//! Which behaviour the next request gets.
//!
//! A queue for the requests to come and a default for those after it. Chances are drawn here, from
//! one seeded generator in order of arrival, so that the same seed and the same order of requests
//! give the same failures.

use std::collections::VecDeque;
use std::sync::Arc;

use fastrand::Rng;

use crate::behaviour::Behaviour;

/// The behaviours to come.
#[derive(Debug)]
pub(crate) struct Script {
    default: Arc<Behaviour>,
    queue: VecDeque<Arc<Behaviour>>,
    rng: Rng,
}

/// What chance decided for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Luck {
    /// It is answered as the behaviour says.
    Spared,
    /// It gets the behaviour's error status.
    Error,
    /// Its connection is reset.
    Reset,
}

impl Script {
    pub(crate) fn new(default: Behaviour, seed: u64) -> Self {
        Self {
            default: Arc::new(default),
            queue: VecDeque::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Answers this way from now on, dropping what was queued.
    pub(crate) fn set(&mut self, behaviour: Behaviour) {
        self.queue.clear();
        self.default = Arc::new(behaviour);
    }

    /// Queues behaviours behind those already queued, one per request.
    pub(crate) fn extend(&mut self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.queue.extend(behaviours.into_iter().map(Arc::new));
    }

    /// Takes the behaviour of the next request and draws its luck.
    pub(crate) fn next(&mut self) -> (Arc<Behaviour>, Luck) {
        let behaviour = self
            .queue
            .pop_front()
            .unwrap_or_else(|| Arc::clone(&self.default));
        let chances = behaviour.chances;
        let luck = if self.strikes(chances.reset_rate) {
            Luck::Reset
        } else if self.strikes(chances.error_rate) {
            Luck::Error
        } else {
            Luck::Spared
        };
        (behaviour, luck)
    }

    fn strikes(&mut self, rate: f64) -> bool {
        // A rate of zero takes no number, so that adding a chance does not shift the others.
        rate > 0.0 && self.rng.f64() < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luck(seed: u64, rate: f64) -> Vec<Luck> {
        let mut script = Script::new(Behaviour::echo().error_rate(rate, 500), seed);
        (0..1000).map(|_| script.next().1).collect()
    }

    #[test]
    fn the_same_seed_strikes_the_same_requests() {
        assert_eq!(luck(7, 0.2), luck(7, 0.2));
        assert_ne!(luck(7, 0.2), luck(8, 0.2));
    }

    #[test]
    fn a_rate_is_the_share_of_requests_that_fail() {
        let errors = luck(1, 0.2)
            .iter()
            .filter(|luck| **luck == Luck::Error)
            .count();

        assert!((150..250).contains(&errors), "{errors} of 1000");
    }

    #[test]
    fn a_rate_of_one_strikes_every_request() {
        assert!(luck(1, 1.0).iter().all(|luck| *luck == Luck::Error));
    }

    #[test]
    fn the_default_returns_after_the_queue() {
        let mut script = Script::new(Behaviour::echo(), 0);
        script.extend([Behaviour::echo().hang()]);

        assert!(script.next().0.silent);
        assert!(!script.next().0.silent);
    }
}
