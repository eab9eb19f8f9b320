use tokio::time::advance;

use super::*;
use crate::breaker::Entry;
use crate::endpoint::Endpoint;
use crate::latency::Mode;
use crate::limits::{Limits, RetryPolicy};
use crate::outcome::Outcome;
use crate::pool::fixtures::*;
use crate::state::Use;

fn begin(pool: &Arc<Pool>, clock: Clock) -> (Attempts, Lease) {
    Attempts::begin(pool, everybody(), clock, fastrand::Rng::with_seed(7)).unwrap()
}

/// Fails the attempt and asks what follows.
fn after(attempts: &mut Attempts, lease: Lease, fault: Fault) -> Next {
    let index = lease.index();
    lease.finish(Outcome::Failure(fault));
    attempts.after(index, fault, None)
}

fn server() -> Fault {
    Fault::new(FailureKind::Server)
}

/// Lets an endpoint's use end well, so that the next failure does not eject it.
fn answer(pool: &Pool, entry: Entry, clock: Clock) {
    let this = Use {
        entry,
        mode: Mode::Whole,
        lasted: Duration::ZERO,
        patience: Duration::ZERO,
        now: clock.now(),
        breaker: pool.limits().breaker,
        limits: pool.limits(),
        waited: true,
    };
    pool.endpoint(0).state.answered(&this);
}

/// Follows the attempts to their end without waiting; returns whom they asked.
fn follow(pool: &Arc<Pool>, clock: Clock, fault: Fault) -> Vec<String> {
    let (mut attempts, mut lease) = begin(pool, clock);
    let mut asked = Vec::new();
    loop {
        asked.push(name(&lease));
        lease = match after(&mut attempts, lease, fault) {
            Next::Now(lease) => lease,
            Next::After(repeat) => match attempts.repeat(repeat) {
                Some(lease) => lease,
                None => return asked,
            },
            Next::Stop => return asked,
        };
    }
}

#[tokio::test(start_paused = true)]
async fn untried_endpoints_come_first_then_the_tried_ones_again() {
    let pool = pool(
        "failover",
        vec![endpoint("a"), endpoint("b"), endpoint("c")],
    );

    let asked = follow(&pool, Clock::start(), server());

    assert_eq!(asked, ["a", "b", "c", "a"]);
}

#[tokio::test(start_paused = true)]
async fn moves_are_limited_while_an_untried_endpoint_is_left() {
    let four = ["a", "b", "c", "d"].map(endpoint).into_iter().collect();
    let pool = pool("failover", four);

    let asked = follow(&pool, Clock::start(), server());

    assert_eq!(asked, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn without_retries_there_is_one_attempt() {
    let retry = RetryPolicy {
        max_retries: 0,
        max_moves: 2,
    };
    let limits = Limits { retry, ..LIMITS };
    let pool = pool_with("failover", vec![endpoint("a"), endpoint("b")], limits);

    assert_eq!(follow(&pool, Clock::start(), server()), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_or_a_missing_model_is_not_repeated_there() {
    for kind in [FailureKind::Auth, FailureKind::Model] {
        let pool = pool("failover", vec![endpoint("a"), endpoint("b")]);

        assert_eq!(follow(&pool, Clock::start(), Fault::new(kind)), ["a", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_timeout_there_is_one_more_attempt() {
    let pool = pool(
        "failover",
        vec![endpoint("a"), endpoint("b"), endpoint("c")],
    );

    let asked = follow(&pool, Clock::start(), Fault::new(FailureKind::Timeout));

    assert_eq!(asked, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_not_asked_more_often_than_it_allows() {
    let once = |name| Endpoint {
        provider_retries: 0,
        ..endpoint(name)
    };
    let pool = pool("failover", vec![once("a"), endpoint("b")]);

    assert_eq!(
        follow(&pool, Clock::start(), server()),
        ["a", "b", "b", "b"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_endpoint_is_repeated_after_a_jittered_backoff() {
    for seed in 0..50 {
        let pool = pool("failover", vec![endpoint("a")]);
        let rng = fastrand::Rng::with_seed(seed);
        let clock = Clock::start();
        let (mut attempts, mut lease) = Attempts::begin(&pool, everybody(), clock, rng).unwrap();
        for ceiling in [100, 200, 400] {
            let Next::After(repeat) = after(&mut attempts, lease, server()) else {
                panic!()
            };
            assert!(
                repeat.wait <= Duration::from_millis(ceiling),
                "{:?}",
                repeat.wait
            );
            // Closed again, so that the next failure does not eject it.
            let state = &pool.endpoint(0).state;
            let entry = state.enter_regardless(clock.now());
            answer(&pool, entry, clock);
            lease = attempts.repeat(repeat).unwrap();
        }
        assert!(matches!(after(&mut attempts, lease, server()), Next::Stop));
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_cool_down_is_waited_for() {
    let pool = pool("failover", vec![endpoint("a")]);
    let (mut attempts, lease) = begin(&pool, Clock::start());

    let next = after(
        &mut attempts,
        lease,
        Fault::cool_down(Duration::from_secs(3)),
    );

    let Next::After(repeat) = next else {
        panic!("{next:?}")
    };
    assert_eq!(repeat.wait, Duration::from_secs(3));
    advance(repeat.wait).await;
    assert!(attempts.repeat(repeat).is_some());
}

/// Fails the first attempt with a server error that asks for this long a wait.
fn after_server(attempts: &mut Attempts, lease: Lease, seconds: u64) -> Next {
    let index = lease.index();
    lease.finish(Outcome::Failure(server()));
    attempts.after(index, server(), Some(Duration::from_secs(seconds)))
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_that_a_server_error_asks_for_is_waited_and_a_long_one_is_not() {
    for (seconds, waited) in [(3, true), (5, true), (6, false), (60, false)] {
        let pool = pool("failover", vec![endpoint("a")]);
        let (mut attempts, lease) = begin(&pool, Clock::start());

        let next = after_server(&mut attempts, lease, seconds);

        match next {
            Next::After(repeat) if waited => {
                assert_eq!(repeat.wait, Duration::from_secs(seconds));
            }
            Next::Stop if !waited => {}
            other => panic!("{seconds}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_asks_for_no_wait_is_repeated_before_one_that_does() {
    let pool = pool("failover", vec![endpoint("a"), endpoint("b")]);
    let (mut attempts, lease) = begin(&pool, Clock::start());
    let Next::Now(lease) = after_server(&mut attempts, lease, 60) else {
        panic!()
    };

    let next = after(&mut attempts, lease, server());

    let Next::After(repeat) = next else {
        panic!("{next:?}")
    };
    assert!(repeat.wait <= BACKOFF_BASE, "{:?}", repeat.wait);
    assert_eq!(name(&attempts.repeat(repeat).unwrap()), "b");
}

#[tokio::test(start_paused = true)]
async fn a_long_cool_down_is_answered_and_not_waited_for() {
    let pool = pool("failover", vec![endpoint("a")]);
    let (mut attempts, lease) = begin(&pool, Clock::start());

    let next = after(
        &mut attempts,
        lease,
        Fault::cool_down(Duration::from_secs(6)),
    );

    assert!(matches!(next, Next::Stop));
}

#[tokio::test(start_paused = true)]
async fn the_first_move_to_a_good_endpoint_is_free_and_others_are_paid() {
    let limits = Limits {
        retry_budget_ratio: 0.0,
        ..LIMITS
    };
    let pool = pool_with("failover", vec![endpoint("a"), endpoint("b")], limits);
    let clock = Clock::start();
    while pool.withdraw(clock.now()) {}

    let (mut attempts, lease) = begin(&pool, clock);
    let next = after(&mut attempts, lease, server());

    let Next::Now(lease) = next else {
        panic!("{next:?}")
    };
    assert!(matches!(after(&mut attempts, lease, server()), Next::Stop));
}

#[tokio::test(start_paused = true)]
async fn it_is_known_whether_everything_was_tried() {
    let pool = pool("failover", vec![endpoint("a"), endpoint("b")]);
    let (mut attempts, lease) = begin(&pool, Clock::start());
    assert!(!attempts.tried_all());

    let next = after(&mut attempts, lease, server());

    assert!(matches!(next, Next::Now(_)));
    assert!(attempts.tried_all());
    assert_eq!(attempts.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_declined_endpoint_was_not_attempted() {
    let needed = Abilities::one(1);
    let able = Endpoint {
        abilities: needed,
        ..endpoint("able")
    };
    let pool = pool("failover", vec![endpoint("a"), endpoint("b"), able]);
    let (mut attempts, lease) = begin(&pool, Clock::start());
    assert_eq!(name(&lease), "a");

    let lease = attempts.decline(lease, needed).unwrap();

    assert_eq!(name(&lease), "able");
    assert_eq!(attempts.count(), 1);
    assert_eq!(pool.endpoints()[0].state.tally().attempts, 0);
    assert_eq!(
        attempts.decline(lease, Abilities::one(2)).err(),
        Some(PickError::Unable)
    );
}
