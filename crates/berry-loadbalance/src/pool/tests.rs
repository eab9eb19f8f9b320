use std::time::Duration;

use berry_core::config::BillingMode;
use tokio::time::advance;

use super::fixtures::*;
use super::*;
use crate::health::{ProbeDepth, ProbeFailure, ProbeOutcome};
use crate::outcome::{FailureKind, Fault, Outcome};
use crate::strategy;

fn eject(pool: &Pool, index: usize, clock: Clock) {
    pool.endpoint(index).state.fail(5, clock.now(), &LIMITS);
}

#[tokio::test(start_paused = true)]
async fn an_ejected_endpoint_is_not_picked_while_another_is_healthy() {
    let pool = pool("weighted_failover", vec![endpoint("a"), endpoint("b")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    eject(&pool, 0, clock);

    for _ in 0..1_000 {
        let lease = first_pick(&pool, &everybody(), clock, &mut rng).unwrap();
        assert_eq!(name(&lease), "b");
        lease.finish(Outcome::Success);
    }
}

#[tokio::test(start_paused = true)]
async fn every_twentieth_first_pick_is_the_trial_of_a_recovering_endpoint() {
    let pool = pool("weighted_failover", vec![endpoint("a"), endpoint("b")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    eject(&pool, 0, clock);
    advance(Duration::from_secs(60)).await;

    let picks: Vec<String> = (0..20)
        .map(|_| {
            let lease = first_pick(&pool, &everybody(), clock, &mut rng).unwrap();
            name(&lease)
        })
        .collect();

    assert_eq!(picks.iter().filter(|name| *name == "a").count(), 1);
    assert_eq!(picks[19], "a");
}

#[tokio::test(start_paused = true)]
async fn a_recovering_standby_is_not_tried_in_place_of_its_primary() {
    let standby = Endpoint {
        priority: 1,
        ..endpoint("standby")
    };
    let pool = pool("failover", vec![endpoint("primary"), standby]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    eject(&pool, 1, clock);
    advance(Duration::from_secs(60)).await;

    for _ in 0..100 {
        let lease = first_pick(&pool, &everybody(), clock, &mut rng).unwrap();
        assert_eq!(name(&lease), "primary");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recovered_primary_takes_over_from_its_standby() {
    let standby = Endpoint {
        priority: 1,
        ..endpoint("standby")
    };
    let pool = pool("failover", vec![endpoint("primary"), standby]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    eject(&pool, 0, clock);
    advance(Duration::from_secs(60)).await;

    for _ in 0..20 {
        first_pick(&pool, &everybody(), clock, &mut rng)
            .unwrap()
            .finish(Outcome::Success);
    }

    assert_eq!(
        name(&first_pick(&pool, &everybody(), clock, &mut rng).unwrap()),
        "primary"
    );
}

#[tokio::test(start_paused = true)]
async fn when_all_are_ejected_the_error_says_when_the_first_returns() {
    let pool = pool("failover", vec![endpoint("a"), endpoint("b")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    eject(&pool, 0, clock);
    advance(Duration::from_secs(10)).await;
    eject(&pool, 1, clock);

    let _last_resort = first_pick(&pool, &everybody(), clock, &mut rng).unwrap();
    let refused = first_pick(&pool, &everybody(), clock, &mut rng).unwrap_err();

    // The last resort is on trial, which is soon decided.
    let retry_at = Tick::from(Duration::from_secs(11));
    assert_eq!(refused, PickError::Ejected { retry_at });
}

#[tokio::test(start_paused = true)]
async fn of_two_who_look_at_a_trial_one_claims_it() {
    let pool = pool("failover", vec![endpoint("a")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    eject(&pool, 0, clock);
    advance(Duration::from_secs(60)).await;

    let trial = first_pick(&pool, &everybody(), clock, &mut rng);
    let second = first_pick(&pool, &everybody(), clock, &mut rng);

    assert!(trial.is_ok());
    assert!(matches!(second, Err(PickError::Ejected { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lease_frees_its_trial_and_its_place() {
    let pool = pool("failover", vec![endpoint("a")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    eject(&pool, 0, clock);
    advance(Duration::from_secs(60)).await;

    drop(first_pick(&pool, &everybody(), clock, &mut rng).unwrap());

    assert!(first_pick(&pool, &everybody(), clock, &mut rng).is_ok());
    assert_eq!(
        pool.endpoint(0)
            .state
            .signals(Mode::Whole, clock.now(), &SMART_AI)
            .in_flight,
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_asked_for_by_name_is_used_although_it_is_ejected() {
    let pool = pool("failover", vec![endpoint("a"), endpoint("b")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    eject(&pool, 1, clock);
    let filter = Filter {
        provider: Some(ProviderName::parse("b").unwrap()),
        ..everybody()
    };

    let lease = first_pick(&pool, &filter, clock, &mut rng).unwrap();

    assert_eq!(name(&lease), "b");
}

#[tokio::test(start_paused = true)]
async fn tags_narrow_the_pool_even_for_a_provider_asked_for_by_name() {
    let gold = Endpoint {
        tags: tags(&["gold"]).into(),
        ..endpoint("gold")
    };
    let pool = pool("failover", vec![gold]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    let named = |provider: &str, tag| Filter {
        user: user(&[tag]),
        provider: Some(ProviderName::parse(provider).unwrap()),
        ..everybody()
    };
    let mut pick = |filter| first_pick(&pool, &filter, clock, &mut rng).err();

    assert_eq!(
        pick(Filter {
            user: user(&["basic"]),
            ..everybody()
        }),
        Some(PickError::NoMatch)
    );
    assert_eq!(pick(named("gold", "basic")), Some(PickError::NoMatch));
    assert_eq!(pick(named("silver", "gold")), Some(PickError::NotHere));
    assert_eq!(pick(named("gold", "gold")), None);
}

#[tokio::test(start_paused = true)]
async fn a_break_after_content_is_counted_once() {
    let pool = pool("failover", vec![endpoint("a")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));

    let mut lease = first_pick(&pool, &everybody(), clock, &mut rng).unwrap();
    lease.answered();
    fail(lease, Fault::new(FailureKind::Protocol));

    let tally = pool.endpoint(0).state.tally();
    assert_eq!((tally.attempts, tally.failures), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn with_every_breaker_open_one_attempt_a_second_is_the_last_resort() {
    let pool = pool("failover", vec![endpoint("a"), endpoint("b")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    eject(&pool, 0, clock);
    eject(&pool, 1, clock);
    advance(Duration::from_secs(1)).await;
    let mut pick = || first_pick(&pool, &everybody(), clock, &mut rng);

    let first = pick().unwrap();
    assert!(pick().is_err());
    advance(Duration::from_secs(2)).await;
    assert!(pick().is_err(), "one is in flight");
    fail(first, Fault::new(FailureKind::Server));
    let second = pick().unwrap();
    second.finish(Outcome::Success);

    assert!(pick().is_ok(), "its success was the trial");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_our_credential_or_our_pace_is_no_last_resort() {
    for (kind, failures) in [(FailureKind::Auth, 1), (FailureKind::RateLimited, 5)] {
        let pool = pool("failover", vec![endpoint("a")]);
        let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
        for _ in 0..failures {
            let lease = first_pick(&pool, &everybody(), clock, &mut rng).unwrap();
            fail(lease, Fault::new(kind));
        }

        assert!(
            first_pick(&pool, &everybody(), clock, &mut rng).is_err(),
            "{kind}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_bills_by_request_is_tried_again_at_the_pace_of_probes() {
    let priced = Endpoint {
        billing: BillingMode::PerRequest,
        ..endpoint("a")
    };
    let limits = Limits {
        recovery: Duration::from_secs(7),
        ..LIMITS
    };
    let pool = pool_with("failover", vec![priced], limits);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(7));

    let lease = first_pick(&pool, &everybody(), clock, &mut rng).unwrap();
    fail(lease, Fault::new(FailureKind::Auth));

    advance(Duration::from_secs(7)).await;
    assert!(first_pick(&pool, &everybody(), clock, &mut rng).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_continues_another_counts_on_under_its_own_rules() {
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    let earlier = pool("round_robin", ["a", "b"].map(endpoint).into());
    let _abandoned = first_pick(&earlier, &everybody(), clock, &mut rng).unwrap();
    while earlier.withdraw(clock.now()) {}

    let rules = Limits {
        retry_budget_ratio: 1.0,
        ..LIMITS
    };
    let strategy = strategy::build("round_robin").unwrap();
    let endpoints = ["a", "b"].map(endpoint).into();
    let later = Pool::new(PoolOptions {
        endpoints,
        strategy,
        limits: rules,
    });
    let later = Arc::new(later.continuing(&earlier));
    let lease = first_pick(&later, &everybody(), clock, &mut rng).unwrap();

    assert_eq!(lease.index(), 1, "the turn has passed on");
    assert_eq!((earlier.selections(), later.selections()), (2, 2));
    assert!(!later.withdraw(clock.now()), "the budget is spent");
    later.deposit(clock.now());
    assert!(
        later.withdraw(clock.now()),
        "a request pays for one retry now"
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_has_the_abilities_is_picked() {
    let able = Endpoint {
        abilities: Abilities::one(3),
        ..endpoint("able")
    };
    let pool = pool("failover", vec![endpoint("unable"), able]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    let needing = |provider: Option<&str>, number| Filter {
        provider: provider.map(|name| ProviderName::parse(name).unwrap()),
        needs: Abilities::one(number),
        ..everybody()
    };
    let mut pick =
        |filter: Filter| first_pick(&pool, &filter, clock, &mut rng).map(|lease| name(&lease));

    assert_eq!(pick(needing(None, 3)), Ok("able".to_owned()));
    assert_eq!(pick(needing(None, 4)), Err(PickError::Unable));
    assert_eq!(pick(needing(Some("unable"), 3)), Err(PickError::Unable));
}

#[tokio::test(start_paused = true)]
async fn an_account_is_kept_to_and_its_health_counts() {
    let pool = pool("failover", vec![endpoint("a"), endpoint("b")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    let filter = Filter {
        account: Some(pool.endpoints()[1].key().account()),
        ..everybody()
    };

    let lease = first_pick(&pool, &filter, clock, &mut rng).unwrap();
    assert_eq!(name(&lease), "b");
    fail(lease, Fault::cool_down(Duration::from_secs(9)));
    let refused = first_pick(&pool, &filter, clock, &mut rng).err();

    assert!(matches!(refused, Some(PickError::Ejected { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_whose_probe_failed_is_found_well_by_a_request() {
    for name in [
        "round_robin",
        "random",
        "weighted_failover",
        "least_latency",
        "smart_ai",
    ] {
        let pool = pool(name, vec![endpoint("a"), endpoint("b")]);
        let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
        let failed = ProbeOutcome::Failed(ProbeFailure {
            kind: FailureKind::Server,
            cause: "status 500".into(),
        });
        let state = &pool.endpoint(0).state;
        state.probed(ProbeDepth::Chat, &failed, clock.now(), clock.now());

        for _ in 0..20 {
            let lease = first_pick(&pool, &everybody(), clock, &mut rng).unwrap();
            lease.finish(Outcome::Success);
        }

        assert!(
            pool.signals(pool.endpoint(0), clock.now()).healthy(),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_whose_probe_failed_and_that_fails_a_request_waits_a_recovery_interval() {
    let pool = pool("round_robin", vec![endpoint("a"), endpoint("b")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    let failed = ProbeOutcome::Failed(ProbeFailure {
        kind: FailureKind::Timeout,
        cause: "no answer".into(),
    });
    let state = &pool.endpoint(0).state;
    state.probed(ProbeDepth::Chat, &failed, clock.now(), clock.now());
    let mut asked = |times| {
        let mut count = 0;
        for _ in 0..times {
            let lease = first_pick(&pool, &everybody(), clock, &mut rng).unwrap();
            let is_failing = name(&lease) == "a";
            count += usize::from(is_failing);
            lease.finish(if is_failing {
                Outcome::Failure(Fault::new(FailureKind::Timeout))
            } else {
                Outcome::Success
            });
        }
        count
    };

    assert_eq!(asked(100), 1);
    advance(LIMITS.recovery).await;
    assert_eq!(asked(100), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_asked_for_by_name_is_not_mixed_with_its_ejected_endpoints() {
    let pool = pool("round_robin", vec![endpoint("a"), endpoint("a")]);
    let (clock, mut rng) = (Clock::start(), fastrand::Rng::with_seed(1));
    eject(&pool, 0, clock);
    let by_name = Filter {
        provider: Some(ProviderName::parse("a").unwrap()),
        ..everybody()
    };

    for _ in 0..100 {
        let lease = first_pick(&pool, &by_name, clock, &mut rng).unwrap();
        assert_eq!(lease.index(), 1);
        lease.finish(Outcome::Success);
    }
}
