use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::breaker::Admission;
use crate::pool::fixtures::endpoint;

fn candidates(endpoints: &[Endpoint]) -> Vec<Candidate<'_>> {
    let now = Tick::ZERO;
    endpoints
        .iter()
        .enumerate()
        .map(|(index, endpoint)| Candidate {
            index,
            endpoint,
            signals: endpoint.state.signals(now),
        })
        .collect()
}

fn weighted(weights: &[f64]) -> Vec<Endpoint> {
    weights
        .iter()
        .map(|&weight| Endpoint {
            weight,
            ..endpoint("a")
        })
        .collect()
}

/// How often each candidate is chosen in `draws` first attempts.
fn counts(name: &str, candidates: &[Candidate<'_>], draws: usize) -> Vec<usize> {
    let (strategy, turns) = (build(name).unwrap(), Turns::default());
    let mut rng = fastrand::Rng::with_seed(42);
    let mut counts = vec![0; candidates.len()];
    for _ in 0..draws {
        let mut draw = Draw {
            now: Tick::ZERO,
            rng: &mut rng,
            turns: &turns,
            first: true,
        };
        counts[strategy.choose(candidates, &mut draw).unwrap()] += 1;
    }
    counts
}

#[test]
fn weighted_failover_shares_in_proportion_to_weight() {
    for weights in [
        &[1.0, 1.0][..],
        &[3.0, 1.0],
        &[0.1, 0.2, 0.7],
        &[100.0, 1.0, 1.0, 1.0],
    ] {
        let endpoints = weighted(weights);
        let draws = 100_000;

        let counts = counts("weighted_failover", &candidates(&endpoints), draws);

        let total: f64 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(weights) {
            let share = *count as f64 / draws as f64;
            assert!(
                (share - weight / total).abs() < 0.01,
                "{weights:?}: {counts:?}"
            );
        }
    }
}

#[test]
fn weighted_failover_halves_the_share_of_a_suspect_for_each_failure() {
    let endpoints = weighted(&[1.0, 1.0]);
    let mut candidates = candidates(&endpoints);
    candidates[0].signals.consecutive_failures = 2;

    let counts = counts("weighted_failover", &candidates, 100_000);

    let share = counts[0] as f64 / 100_000.0;
    assert!((share - 0.2).abs() < 0.01, "{share}");
}

#[test]
fn failover_takes_the_lowest_priority_number_and_the_first_of_equals() {
    let priority = |priority| Endpoint {
        priority,
        ..endpoint("a")
    };
    let endpoints = [priority(2), priority(1), priority(1)];

    assert_eq!(counts("failover", &candidates(&endpoints), 10), [0, 10, 0]);
}

#[test]
fn round_robin_is_exactly_even() {
    let endpoints = weighted(&[1.0, 9.0, 3.0]);

    assert_eq!(
        counts("round_robin", &candidates(&endpoints), 3_000),
        [1_000; 3]
    );
}

#[test]
fn round_robin_is_even_for_each_set_of_candidates_where_sets_alternate() {
    let endpoints = weighted(&[1.0; 3]);
    let all = candidates(&endpoints);
    let (strategy, turns) = (build("round_robin").unwrap(), Turns::default());
    let mut rng = fastrand::Rng::with_seed(1);
    let mut counts = [[0; 3]; 2];

    for turn in 0..400 {
        let set = if turn % 2 == 0 { &all[..2] } else { &all[1..] };
        let mut draw = Draw {
            now: Tick::ZERO,
            rng: &mut rng,
            turns: &turns,
            first: true,
        };
        let chosen = set[strategy.choose(set, &mut draw).unwrap()].index;
        counts[turn % 2][chosen] += 1;
    }

    assert_eq!(counts, [[100, 100, 0], [0, 100, 100]]);
}

#[test]
fn a_retry_does_not_take_a_turn() {
    let endpoints = weighted(&[1.0; 2]);
    let candidates = candidates(&endpoints);
    let (strategy, turns) = (build("round_robin").unwrap(), Turns::default());
    let mut rng = fastrand::Rng::with_seed(1);
    let mut choose = |first| {
        let mut draw = Draw {
            now: Tick::ZERO,
            rng: &mut rng,
            turns: &turns,
            first,
        };
        strategy.choose(&candidates, &mut draw).unwrap()
    };

    assert_eq!(
        [choose(true), choose(false), choose(false), choose(true)],
        [0, 1, 1, 1]
    );
}

#[test]
fn every_documented_name_is_known_and_only_built_ones_are_available() {
    let vocabulary = vocabulary();

    assert_eq!(vocabulary.len(), 8);
    for term in vocabulary {
        assert_eq!(term.available, build(term.name).is_some(), "{}", term.name);
    }
}

proptest! {
    #[test]
    fn a_strategy_chooses_a_candidate_and_is_a_function_of_its_draw(
        weights in proptest::collection::vec(0.001..100.0_f64, 0..9),
        failures in proptest::collection::vec(0..2000_u32, 9),
        seed in any::<u64>(),
    ) {
        let endpoints = weighted(&weights);
        let mut candidates = candidates(&endpoints);
        for (candidate, failures) in candidates.iter_mut().zip(failures) {
            candidate.signals.consecutive_failures = failures;
            candidate.signals.admission = Admission::Closed;
        }
        for entry in STRATEGIES {
            let choose = || {
                let (turns, mut rng) = (Turns::default(), fastrand::Rng::with_seed(seed));
                let now = Tick::from(Duration::from_secs(1));
                let mut draw = Draw { now, rng: &mut rng, turns: &turns, first: true };
                (entry.build)().choose(&candidates, &mut draw)
            };
            let chosen = choose();
            prop_assert_eq!(chosen, choose());
            prop_assert_eq!(chosen.is_some(), !candidates.is_empty());
            prop_assert!(chosen.is_none_or(|place| place < candidates.len()));
        }
    }
}
