use std::time::Duration;

use berry_core::config::Prices;
use proptest::prelude::*;

use super::*;
use crate::breaker::Admission;
use crate::economy::Tokens;
use crate::latency::Mode;
use crate::pool::fixtures::{SMART_AI, endpoint, tags};

pub(super) fn candidates(endpoints: &[Endpoint]) -> Vec<Candidate<'_>> {
    let now = Tick::ZERO;
    endpoints
        .iter()
        .enumerate()
        .map(|(index, endpoint)| Candidate {
            index,
            endpoint,
            signals: endpoint.state.signals(Mode::Whole, now, &SMART_AI),
        })
        .collect()
}

pub(super) fn weighted(weights: &[f64]) -> Vec<Endpoint> {
    weights
        .iter()
        .map(|&weight| Endpoint {
            weight,
            ..endpoint("a")
        })
        .collect()
}

/// How often each candidate is chosen in `draws` first attempts.
pub(super) fn counts(name: &str, candidates: &[Candidate<'_>], draws: usize) -> Vec<usize> {
    counts_at(Tick::ZERO, name, candidates, draws)
}

fn counts_at(now: Tick, name: &str, candidates: &[Candidate<'_>], draws: usize) -> Vec<usize> {
    let (strategy, turns) = (build(name).unwrap(), Turns::default());
    let mut rng = fastrand::Rng::with_seed(42);
    let economy = Economy::default();
    let mut counts = vec![0; candidates.len()];
    for _ in 0..draws {
        let mut draw = Draw {
            now,
            rng: &mut rng,
            turns: &turns,
            affinity: None,
            first: true,
            smart_ai: &SMART_AI,
            economy: &economy,
        };
        counts[strategy.choose(candidates, &mut draw).unwrap()] += 1;
    }
    counts
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
            affinity: None,
            first: true,
            smart_ai: &SMART_AI,
            economy: &Economy::default(),
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
            affinity: None,
            first,
            smart_ai: &SMART_AI,
            economy: &Economy::default(),
        };
        strategy.choose(&candidates, &mut draw).unwrap()
    };

    assert_eq!(
        [choose(true), choose(false), choose(false), choose(true)],
        [0, 1, 1, 1]
    );
}

#[test]
fn every_documented_name_is_a_strategy() {
    let names = vocabulary();

    assert_eq!(names.len(), 8);
    assert!(
        names
            .iter()
            .all(|term| term.available && build(term.name).is_some())
    );
}

#[test]
fn least_latency_takes_the_fastest_and_counts_what_is_in_flight() {
    let endpoints = weighted(&[1.0; 3]);
    let mut candidates = candidates(&endpoints);
    for (candidate, milliseconds) in candidates.iter_mut().zip([300, 200, 500]) {
        candidate.signals.latency = Some(Duration::from_millis(milliseconds));
    }

    assert_eq!(counts("least_latency", &candidates, 10), [0, 10, 0]);
    candidates[1].signals.in_flight = 1;
    assert_eq!(counts("least_latency", &candidates, 10), [10, 0, 0]);
}

#[test]
fn least_latency_tries_the_unknown_first_and_by_one_request_at_a_time() {
    let endpoints = weighted(&[1.0; 2]);
    let mut candidates = candidates(&endpoints);
    candidates[0].signals.latency = Some(Duration::from_millis(1));

    assert_eq!(counts("least_latency", &candidates, 10), [0, 10]);
    candidates[1].signals.in_flight = 1;
    assert_eq!(counts("least_latency", &candidates, 10), [10, 0]);
}

#[test]
fn least_latency_waits_before_it_tries_again_what_taught_it_nothing() {
    let endpoints = weighted(&[1.0; 2]);
    let mut candidates = candidates(&endpoints);
    candidates[0].signals.latency = Some(Duration::from_millis(1));

    for (asked, expected) in [(60, [0, 10]), (61, [10, 0]), (120, [10, 0])] {
        candidates[1].signals.in_vain = Some(Tick::from(Duration::from_secs(asked)));
        let now = Tick::from(Duration::from_secs(120));
        assert_eq!(
            counts_at(now, "least_latency", &candidates, 10),
            expected,
            "{asked}"
        );
    }
}

/// Priced endpoints: cost of a request, and whether it is premium.
fn priced(prices: &[(Option<f64>, bool)]) -> Vec<Endpoint> {
    let price = |&(request, premium): &(Option<f64>, bool)| Endpoint {
        prices: Prices {
            request,
            ..Prices::default()
        },
        tags: tags(if premium { &["premium"] } else { &[] }).into(),
        ..endpoint("a")
    };
    prices.iter().map(price).collect()
}

#[test]
fn smart_ai_exploits_the_cheapest_trusted_endpoint() {
    let endpoints = priced(&[
        (Some(0.03), false),
        (Some(0.01), false),
        (Some(0.001), true),
    ]);

    let counts = counts("smart_ai", &candidates(&endpoints), 10_000);

    // The first is costly for its price, the third for its tag: without spending none is explored.
    assert_eq!(counts, [0, 10_000, 0]);
}

#[test]
fn smart_ai_explores_equals_with_its_ratio() {
    let endpoints = priced(&[(Some(0.01), false), (Some(0.011), false), (None, false)]);

    let counts = counts("smart_ai", &candidates(&endpoints), 10_000);

    assert!((7_800..8_200).contains(&counts[0]), "{counts:?}");
    assert!(counts[1] > 500 && counts[2] > 500, "{counts:?}");
}

#[test]
fn smart_ai_takes_what_is_free_and_minds_the_prices_of_the_others() {
    let endpoints = priced(&[
        (Some(0.09), false),
        (Some(0.001), false),
        (Some(0.0), false),
    ]);
    let mut candidates = candidates(&endpoints);

    assert_eq!(counts("smart_ai", &candidates, 1_000), [0, 0, 1_000]);
    candidates[2].signals.confidence = 0.4;
    assert!(counts("smart_ai", &candidates, 1_000)[1] > 750);
    assert_eq!(counts("smart_ai", &candidates[..2], 1_000), [0, 1_000]);
}

#[test]
fn smart_ai_leaves_what_it_does_not_trust() {
    let endpoints = priced(&[(Some(0.01), false), (Some(0.02), false), (Some(0.5), true)]);
    let mut candidates = candidates(&endpoints);
    candidates[0].signals.confidence = 0.4;

    let only_second_is_trusted = counts("smart_ai", &candidates, 1_000);
    candidates[1].signals.confidence = 0.4;
    let only_premium_is_trusted = counts("smart_ai", &candidates, 1_000);

    assert!(
        only_second_is_trusted[1] > 750,
        "{only_second_is_trusted:?}"
    );
    assert!(
        only_premium_is_trusted[2] > 750,
        "{only_premium_is_trusted:?}"
    );
}

#[test]
fn smart_ai_explores_a_costly_endpoint_once_in_an_interval_while_it_can_afford_it() {
    let endpoints = priced(&[(Some(0.01), false), (Some(0.02), true)]);
    let candidates = candidates(&endpoints);
    let (strategy, turns, economy) = (
        build("smart_ai").unwrap(),
        Turns::default(),
        Economy::default(),
    );
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..1_000 {
        let tokens = Tokens::default();
        economy.record(tokens, tokens.cost(&endpoints[0].prices));
    }
    let mut choose = |second| {
        let now = Tick::from(Duration::from_secs(second));
        let mut draw = Draw {
            now,
            rng: &mut rng,
            turns: &turns,
            affinity: None,
            first: true,
            smart_ai: &SMART_AI,
            economy: &economy,
        };
        strategy.choose(&candidates, &mut draw).unwrap()
    };

    let explored: Vec<u64> = (0..3_600).filter(|&second| choose(second) == 1).collect();

    assert!((4..=6).contains(&explored.len()), "{explored:?}");
    assert!(
        explored.windows(2).all(|pair| pair[1] - pair[0] >= 600),
        "{explored:?}"
    );
}

proptest! {
    #[test]
    fn a_strategy_chooses_a_candidate_and_is_a_function_of_its_draw(
        weights in proptest::collection::vec(0.001..100.0_f64, 0..9),
        failures in proptest::collection::vec(0..2000_u32, 9),
        seed in any::<u64>(),
        key in proptest::option::of("[a-z]{0,8}"),
    ) {
        let affinity = key.as_deref().map(AffinityKey::of);
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
                let mut draw = Draw { now, rng: &mut rng, turns: &turns, affinity, first: true, smart_ai: &SMART_AI, economy: &Economy::default() };
                (entry.build)().choose(&candidates, &mut draw)
            };
            let chosen = choose();
            prop_assert_eq!(chosen, choose());
            prop_assert_eq!(chosen.is_some(), !candidates.is_empty());
            prop_assert!(chosen.is_none_or(|place| place < candidates.len()));
        }
    }
}
