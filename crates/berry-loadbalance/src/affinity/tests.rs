use std::sync::Arc;
use std::time::Duration;

use berry_core::Tick;
use berry_core::config::{Prices, SmartAi};
use proptest::prelude::*;
use tokio::time::advance;

use super::*;
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::outcome::{FailureKind, Fault, Outcome};
use crate::pool::fixtures::{
    LIMITS, SMART_AI, endpoint, everybody, fail, first_pick, key, name, pool_with,
};
use crate::pool::{Filter, Pool};
use crate::strategy::STRATEGIES;
use crate::{Limits, ProbeDepth, ProbeOutcome};

/// So many keys are enough to see a share that is a point off.
const KEYS: usize = 100_000;

fn lane(number: usize) -> Lane {
    Lane::of(&key(&format!("p{number}")))
}

fn winner(key: usize, weights: &[f64]) -> usize {
    let runners = weights.iter().enumerate();
    let runners = runners.map(|(number, &weight)| (lane(number), weight));
    let key = AffinityKey::of(&format!("user-{key}"));
    key.race(runners).unwrap()
}

fn assert_shares(weights: &[f64]) {
    let mut counts = vec![0; weights.len()];
    let lanes: Vec<Lane> = (0..weights.len()).map(lane).collect();
    for key in 0..KEYS {
        let runners = lanes.iter().copied().zip(weights.iter().copied());
        let key = AffinityKey::of(&format!("user-{key}"));
        counts[key.race(runners).unwrap()] += 1;
    }

    let total: f64 = weights.iter().sum();
    for (count, weight) in counts.iter().zip(weights) {
        let share = f64::from(*count) / KEYS as f64;
        assert!(
            (share - weight / total).abs() < 0.01,
            "{weights:?}: {counts:?}"
        );
    }
}

#[test]
fn keys_are_shared_in_proportion_to_weight() {
    for weights in [
        &[1.0][..],
        &[1.0, 1.0],
        &[3.0, 1.0],
        &[0.1, 0.2, 0.7],
        &[100.0, 1.0, 1.0, 1.0],
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
    ] {
        assert_shares(weights);
    }
}

#[test]
fn none_wins_a_race_of_none() {
    assert_eq!(AffinityKey::of("a").race(std::iter::empty()), None);
}

#[test]
fn a_key_goes_where_it_went_before_a_restart() {
    // What is written here is what another release sends to the same provider, too.
    let winners: Vec<usize> = (0..8).map(|key| winner(key, &[1.0; 4])).collect();

    assert_eq!(winners, [1, 1, 3, 3, 1, 1, 0, 1]);
}

/// Picks for so many keys, each of which is answered at once.
#[derive(Debug)]
struct Picks {
    pool: Arc<Pool>,
    clock: Clock,
    rng: fastrand::Rng,
}

impl Picks {
    fn new(strategy: &str, endpoints: Vec<Endpoint>) -> Self {
        // What explores is not what is tested here.
        let limits = Limits {
            smart_ai: SmartAi {
                exploration_ratio: 0.0,
                ..SMART_AI
            },
            ..LIMITS
        };
        Self {
            pool: pool_with(strategy, endpoints, limits),
            clock: Clock::start(),
            rng: fastrand::Rng::with_seed(1),
        }
    }

    fn pick(&mut self, key: usize) -> String {
        let filter = Filter {
            affinity: Some(AffinityKey::of(&key.to_string())),
            ..everybody()
        };
        let lease = first_pick(&self.pool, &filter, self.clock, &mut self.rng).unwrap();
        let name = name(&lease);
        lease.finish(Outcome::Success);
        name
    }

    fn of_keys(&mut self, keys: usize) -> Vec<String> {
        (0..keys).map(|key| self.pick(key)).collect()
    }

    fn eject(&self, index: usize) {
        let state = &self.pool.endpoint(index).state;
        state.fail(5, self.clock.now(), &LIMITS);
    }

    fn readmit(&self, index: usize) {
        let (state, now) = (&self.pool.endpoint(index).state, self.clock.now());
        state.probed(ProbeDepth::Chat, &ProbeOutcome::Passed, now, now);
    }
}

fn count(names: &[String], name: &str) -> usize {
    names.iter().filter(|found| *found == name).count()
}

fn three() -> Vec<Endpoint> {
    ["a", "b", "c"].map(endpoint).into()
}

#[tokio::test(start_paused = true)]
async fn a_key_keeps_its_endpoint_under_every_strategy() {
    for strategy in STRATEGIES {
        let mut picks = Picks::new(strategy.name, three());
        // What nobody has asked yet is tried first under `least_latency`.
        picks.of_keys(3);
        let homes = picks.of_keys(60);

        for _ in 0..5 {
            assert_eq!(picks.of_keys(60), homes, "{}", strategy.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_spread_over_endpoints_that_are_equal() {
    for strategy in STRATEGIES.iter().filter(|entry| entry.name != "failover") {
        let mut picks = Picks::new(strategy.name, three());

        let homes = picks.of_keys(3_000);

        for name in ["a", "b", "c"] {
            let share = count(&homes, name);
            assert!((850..1_150).contains(&share), "{}: {share}", strategy.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_ejected_endpoint_loses_its_keys_no_other_does_and_it_gets_them_back() {
    for strategy in STRATEGIES {
        let mut picks = Picks::new(strategy.name, three());
        picks.of_keys(3);
        let before = picks.of_keys(300);

        picks.eject(0);
        let without = picks.of_keys(300);
        picks.readmit(0);
        advance(Duration::from_secs(90)).await;
        // By `least_latency`, one request measures it anew.
        picks.of_keys(1);
        let after = picks.of_keys(300);

        assert_eq!(count(&without, "a"), 0, "{}", strategy.name);
        for (before, without) in before.iter().zip(&without) {
            assert!(before == "a" || before == without, "{}", strategy.name);
        }
        // `smart_ai` has less confidence in it than before.
        if strategy.name != "smart_ai" {
            assert_eq!(after, before, "{}", strategy.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspect_loses_a_part_of_its_keys() {
    let mut picks = Picks::new("weighted_failover", vec![endpoint("a"), endpoint("b")]);
    let homes = picks.of_keys(2_000);
    picks.pool.endpoint(0).state.fail(2, Tick::ZERO, &LIMITS);

    let filter = |key: usize| Filter {
        affinity: Some(AffinityKey::of(&key.to_string())),
        ..everybody()
    };
    // None is answered, so that it stays suspect.
    let suspected: Vec<String> = (0..2_000)
        .map(|key| {
            let lease = first_pick(&picks.pool, &filter(key), picks.clock, &mut picks.rng);
            name(&lease.unwrap())
        })
        .collect();

    let share = count(&suspected, "a");
    assert!((340..460).contains(&share), "{share} of 2000");
    for (home, suspected) in homes.iter().zip(&suspected) {
        assert!(home == "a" || suspected == "b");
    }
}

#[tokio::test(start_paused = true)]
async fn priorities_go_before_affinity() {
    let standby = Endpoint {
        priority: 1,
        ..endpoint("standby")
    };
    let mut picks = Picks::new("failover", vec![standby, endpoint("a"), endpoint("b")]);

    assert_eq!(count(&picks.of_keys(100), "a"), 100);
}

#[tokio::test(start_paused = true)]
async fn a_lower_price_goes_before_affinity() {
    let priced = |name, price| Endpoint {
        prices: Prices {
            request: Some(price),
            ..Prices::default()
        },
        ..endpoint(name)
    };
    let endpoints = vec![priced("a", 0.011), priced("b", 0.01), priced("c", 0.01)];
    let mut picks = Picks::new("smart_ai", endpoints);

    let homes = picks.of_keys(200);

    assert_eq!(count(&homes, "a"), 0);
    assert!((60..140).contains(&count(&homes, "b")), "{homes:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_more_than_twice_as_slow_loses_its_keys() {
    let mut picks = Picks::new("least_latency", vec![endpoint("a"), endpoint("b")]);
    for milliseconds in [100, 190] {
        let lease = first_pick(&picks.pool, &everybody(), picks.clock, &mut picks.rng).unwrap();
        advance(Duration::from_millis(milliseconds)).await;
        lease.finish(Outcome::Success);
    }
    let mut homes = |keys: usize| {
        let filter = |key: usize| Filter {
            affinity: Some(AffinityKey::of(&key.to_string())),
            ..everybody()
        };
        let picked = (0..keys).map(|key| {
            let lease = first_pick(&picks.pool, &filter(key), picks.clock, &mut picks.rng);
            name(&lease.unwrap())
        });
        picked.collect::<Vec<_>>()
    };

    assert!((60..140).contains(&count(&homes(200), "b")));
    // One in flight there makes it nearly four times as costly.
    let busy = picks
        .pool
        .endpoint(1)
        .state
        .enter_regardless(picks.clock.now());
    assert!(!busy.is_trial());
    assert_eq!(count(&homes(200), "b"), 0);
}

#[tokio::test(start_paused = true)]
async fn affinity_takes_no_trial_from_an_endpoint_that_returns() {
    let mut picks = Picks::new("weighted_failover", vec![endpoint("a"), endpoint("b")]);
    let home = picks.pick(0);
    let other = usize::from(home == "a");
    picks.eject(other);
    advance(LIMITS.breaker.timeout).await;

    let homes: Vec<String> = (0..19).map(|_| picks.pick(0)).collect();

    assert_eq!(count(&homes, &home), 18);
}

#[tokio::test(start_paused = true)]
async fn the_last_resort_looks_everywhere() {
    let mut picks = Picks::new("weighted_failover", three());
    let filter = Filter {
        affinity: Some(AffinityKey::of("ada")),
        ..everybody()
    };
    let mut asked = Vec::new();
    for _ in 0..30 {
        for index in 0..3 {
            picks.eject(index);
        }
        let lease = first_pick(&picks.pool, &filter, picks.clock, &mut picks.rng).unwrap();
        asked.push(name(&lease));
        fail(lease, Fault::new(FailureKind::Server));
        advance(Duration::from_secs(1)).await;
    }

    assert!(
        ["a", "b", "c"].iter().all(|name| count(&asked, name) > 0),
        "{asked:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn shares_hold_for_any_weights(weights in proptest::collection::vec(0.1..100.0_f64, 1..9)) {
        assert_shares(&weights);
    }
}

proptest! {
    #[test]
    fn of_an_endpoint_that_goes_only_its_own_keys_move(
        weights in proptest::collection::vec(0.1..100.0_f64, 2..9),
        gone in any::<prop::sample::Index>(),
    ) {
        let gone = gone.index(weights.len());
        for key in 0..200 {
            let before = winner(key, &weights);
            let name = AffinityKey::of(&format!("user-{key}"));
            let rest: Vec<usize> = (0..weights.len()).filter(|number| *number != gone).collect();
            let runners = rest.iter().map(|&number| (lane(number), weights[number]));
            let after = rest[name.race(runners).unwrap()];
            prop_assert!(before == gone || before == after);
        }
    }

    #[test]
    fn a_heavier_endpoint_loses_no_key(
        weights in proptest::collection::vec(0.1..100.0_f64, 2..9),
        chosen in any::<prop::sample::Index>(),
    ) {
        let chosen = chosen.index(weights.len());
        let mut heavier = weights.clone();
        heavier[chosen] *= 2.0;
        for key in 0..200 {
            let (before, after) = (winner(key, &weights), winner(key, &heavier));
            prop_assert!(after == before || after == chosen);
        }
    }
}
