//! A pool as people see it: per endpoint the numbers that selection uses at one instant.
//!
//! Nothing is computed a second way. Which endpoints count as candidates and what each weighs is
//! asked of the code that chooses, so that what an operator reads is why a request went where it did.

use std::sync::atomic::Ordering;
use std::time::Duration;

use berry_core::Tick;

use super::{Candidates, Pool};
use crate::breaker::BreakerState;
use crate::endpoint::Endpoint;
use crate::latency::Mode;
use crate::outcome::FailureKind;
use crate::state::{Signals, Tally};
use crate::strategy::Candidate;

/// One endpoint at one instant.
#[derive(Debug, Clone)]
pub struct EndpointView<'a> {
    /// What is configured.
    pub endpoint: &'a Endpoint,
    /// What a strategy may look at, for whole answers.
    pub signals: Signals,
    /// The state of its breaker.
    pub breaker: BreakerState,
    /// What has been counted.
    pub tally: Tally,
    /// When the last probe ended.
    pub last_probe: Option<Tick>,
    /// When it failed first and last, by requests or probes, since it was well; none where it is.
    pub failures: Option<(Tick, Tick)>,
    /// The expected time to first content: of whole answers, or else of streams; none while unknown.
    pub latency: Option<Duration>,
    /// What it weighs in the choice for a request without tags; zero while it is not a candidate.
    pub effective_weight: f64,
}

impl Pool {
    /// Returns every endpoint as selection sees it now, in the order of the file.
    pub fn describe(&self, now: Tick) -> Vec<EndpointView<'_>> {
        let views = self.endpoints.iter().map(|endpoint| {
            let signals = self.signals(endpoint, now);
            let streamed = || {
                let smart_ai = &self.limits.smart_ai;
                endpoint.state.signals(Mode::Streamed, now, smart_ai)
            };
            EndpointView {
                endpoint,
                signals,
                breaker: endpoint.state.breaker(now),
                tally: endpoint.state.tally(),
                last_probe: endpoint.state.last_probe(),
                failures: endpoint.state.failures(now),
                latency: signals.latency.or_else(|| streamed().latency),
                effective_weight: 0.0,
            }
        });
        let mut views: Vec<_> = views.collect();
        let candidates = self.contenders(&views);
        let (settings, economy) = (&self.limits.smart_ai, &self.state.economy);
        let weights = self.strategy.weights(&candidates, settings, economy);
        for (candidate, weight) in candidates.iter().zip(weights) {
            views[candidate.index].effective_weight = weight;
        }
        views
    }

    /// Returns how many requests were given an endpoint since the model is served.
    pub fn selections(&self) -> u64 {
        self.state.selections.load(Ordering::Relaxed)
    }

    /// Returns how many attempts followed a failure of each kind since the model is served.
    pub fn retries(&self) -> impl Iterator<Item = (FailureKind, u64)> {
        let counts = self.state.retries.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        FailureKind::ALL.into_iter().zip(counts)
    }

    /// Returns the candidates of a first pick that nothing but health restricts.
    fn contenders(&self, views: &[EndpointView<'_>]) -> Candidates<'_> {
        let admitted = (0..views.len()).filter(|&index| views[index].signals.admits());
        let candidates: Candidates<'_> = admitted
            .map(|index| Candidate {
                index,
                endpoint: &self.endpoints[index],
                signals: views[index].signals,
            })
            .collect();
        let healthy = super::healthy(&candidates);
        if healthy.is_empty() {
            candidates
        } else {
            healthy
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixtures::*;
    use super::*;
    use crate::clock::Clock;
    use crate::outcome::Outcome;

    /// Returns the effective weights of three endpoints of weight 1, the first of which failed so
    /// often, after so long.
    fn weights(strategy: &str, failures: u32, after: Duration) -> Vec<f64> {
        let pool = pool(strategy, ["a", "b", "c"].map(endpoint).into());
        pool.endpoint(0).state.fail(failures, Tick::ZERO, &LIMITS);
        let views = pool.describe(Tick::ZERO + after);
        views.iter().map(|view| view.effective_weight).collect()
    }

    #[test]
    fn an_endpoint_weighs_what_its_strategy_gives_it() {
        for (strategy, suspect) in [
            ("weighted_failover", 0.25),
            ("weighted_random", 0.25),
            ("smart_weighted_failover", 0.25),
            ("failover", 1.0),
            ("round_robin", 1.0),
            ("random", 1.0),
            ("least_latency", 1.0),
        ] {
            let shown = weights(strategy, 2, Duration::ZERO);

            assert_eq!(shown, [suspect, 1.0, 1.0], "{strategy}");
        }
    }

    #[test]
    fn an_ejected_endpoint_weighs_nothing_even_when_its_trial_is_due() {
        for after in [Duration::ZERO, Duration::from_secs(60)] {
            let shown = weights("weighted_failover", 5, after);

            assert_eq!(shown, [0.0, 1.0, 1.0], "{after:?}");
        }
    }

    #[test]
    fn smart_ai_weighs_by_confidence() {
        let shown = weights("smart_ai", 2, Duration::ZERO);

        assert!(shown[0] < shown[1] / 2.0, "{shown:?}");
        assert!((shown[1] - SMART_AI.initial_confidence).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_one_selection() {
        let pool = pool("round_robin", ["a", "b"].map(endpoint).into());
        let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));

        for _ in 0..3 {
            let lease = first_pick(&pool, &everybody(), clock, &mut rng).unwrap();
            lease.finish(Outcome::Success);
        }

        assert_eq!(pool.selections(), 3);
    }
}
