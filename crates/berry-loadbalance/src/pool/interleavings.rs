//! What must hold in whatever order threads come to their locks.
//!
//! Each model is a few threads, run by shuttle under every schedule there is where these are few
//! enough ([`every`]), else under some thousands drawn from a fixed seed ([`many`]). Between two
//! locks a thread does nothing that another could see, but for counters that are only added to, so
//! schedules of locks are all the schedules there are.

use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::Runner;
use shuttle::scheduler::{DfsScheduler, Scheduler, UrwRandomScheduler};
use shuttle::thread::{self, JoinHandle};

use super::fixtures::*;
use super::*;
use crate::events::Events;
use crate::outcome::{FailureKind, Fault, Outcome};
use crate::registry::Registry;
use crate::state::EndpointState;
use crate::{Attempts, breaker::BreakerState};

/// Runs the model under every schedule.
fn every(model: impl Fn(Clock) + Send + Sync + 'static) {
    run(DfsScheduler::new(None, false), model);
}

/// Runs the model under schedules drawn at random.
fn many(model: impl Fn(Clock) + Send + Sync + 'static) {
    run(UrwRandomScheduler::new_from_seed(7, 2_000), model);
}

/// Time stands still in a model: the clock that it is given is a paused one.
fn run(scheduler: impl Scheduler + 'static, model: impl Fn(Clock) + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let _paused = runtime.enter();
    let clock = Clock::start();
    let config = shuttle::Config::default();
    Runner::new(scheduler, config).run(move || model(clock));
}

/// An endpoint whose trial is due, now and after each opening.
fn due() -> Arc<Pool> {
    let mut limits = LIMITS;
    limits.breaker.timeout = Duration::ZERO;
    let pool = pool_with("failover", vec![endpoint("a")], limits);
    pool.endpoint(0).state.fail(5, Tick::ZERO, &limits);
    pool
}

/// A pool with every breaker open.
fn all_open(names: &[&str], clock: Clock) -> Arc<Pool> {
    let pool = pool(
        "failover",
        names.iter().map(|name| endpoint(name)).collect(),
    );
    for endpoint in pool.endpoints() {
        endpoint.state.fail(5, clock.now(), &LIMITS);
    }
    pool
}

fn begin(pool: &Arc<Pool>, clock: Clock) -> Result<Lease, PickError> {
    let rng = fastrand::Rng::with_seed(1);
    Attempts::begin(pool, everybody(), clock, rng).map(|(_, lease)| lease)
}

fn signals(pool: &Pool, clock: Clock) -> Signals {
    pool.signals(pool.endpoint(0), clock.now())
}

/// Counts who is inside, and how many that were at most.
#[derive(Default)]
struct Inside {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Inside {
    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let threads: Vec<_> = threads.into_iter().collect();
    let results = threads.into_iter().map(|thread| thread.join().unwrap());
    results.collect()
}

#[test]
fn of_all_who_claim_a_trial_at_once_one_gets_it() {
    every(|clock| {
        let pool = due();
        let claims = [(); 3].map(|()| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.endpoint(0).state.try_enter(clock.now()))
        });

        let entries = join(claims);

        assert_eq!(entries.iter().flatten().count(), 1);
        assert_eq!(signals(&pool, clock).in_flight, 1);
    });
}

#[test]
fn an_abandoned_trial_is_free_again_and_never_held_twice() {
    every(|clock| {
        let pool = due();
        let trial = begin(&pool, clock).unwrap();
        let inside = Arc::new(Inside::default());
        inside.enter();

        let abandons = {
            let inside = Arc::clone(&inside);
            thread::spawn(move || {
                inside.leave();
                drop(trial);
            })
        };
        let claims = {
            let (pool, inside) = (Arc::clone(&pool), Arc::clone(&inside));
            thread::spawn(move || {
                let Ok(lease) = begin(&pool, clock) else {
                    return;
                };
                inside.enter();
                inside.leave();
                drop(lease);
            })
        };
        join([abandons, claims]);

        assert_eq!(inside.most.load(Ordering::SeqCst), 1);
        assert_eq!(signals(&pool, clock).in_flight, 0);
        assert_eq!(signals(&pool, clock).admission, Admission::Trial);
    });
}

#[test]
fn trials_follow_one_another_whatever_comes_of_them() {
    many(|clock| {
        let pool = due();
        let inside = Arc::new(Inside::default());
        let outcomes = [
            Outcome::Abandoned,
            Outcome::Failure(Fault::new(FailureKind::Server)),
            Outcome::ClientFault,
        ];
        join(outcomes.map(|outcome| {
            let (pool, inside) = (Arc::clone(&pool), Arc::clone(&inside));
            thread::spawn(move || {
                for _ in 0..2 {
                    if let Ok(lease) = begin(&pool, clock) {
                        inside.enter();
                        thread::yield_now();
                        inside.leave();
                        lease.finish(outcome);
                    }
                }
            })
        }));

        assert_eq!(inside.most.load(Ordering::SeqCst), 1);
        assert_eq!(signals(&pool, clock).in_flight, 0);
        assert!(begin(&pool, clock).is_ok(), "the place is free");
    });
}

#[test]
fn a_trial_that_is_answered_while_others_claim_closes_the_breaker() {
    every(|clock| {
        let pool = due();
        let mut trial = begin(&pool, clock).unwrap();
        let answers = thread::spawn(move || {
            trial.answered();
            Some(trial)
        });
        let claims = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || begin(&pool, clock).ok())
        };
        drop(join([answers, claims]));

        assert_eq!(
            pool.endpoint(0).state.breaker(clock.now()),
            BreakerState::Closed
        );
        assert_eq!(signals(&pool, clock).in_flight, 0);
    });
}

#[test]
fn a_failure_from_before_an_opening_does_not_end_the_trial() {
    every(|clock| {
        let pool = due();
        let state = &pool.endpoint(0).state;
        state.probed(
            crate::ProbeDepth::Chat,
            &crate::ProbeOutcome::Passed,
            Tick::ZERO,
            Tick::ZERO,
        );
        let outdated = begin(&pool, clock).unwrap();
        state.fail(5, clock.now(), pool.limits());
        let trial = begin(&pool, clock).unwrap();

        let fails = thread::spawn(move || fail(outdated, Fault::new(FailureKind::Server)));
        let claims = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || begin(&pool, clock).is_ok())
        };
        join([fails]);
        let claimed = join([claims]);

        assert_eq!(claimed, [false], "the trial is out");
        trial.finish(Outcome::Success);
        assert_eq!(signals(&pool, clock).admission, Admission::Closed);
    });
}

#[test]
fn of_all_who_come_while_every_breaker_is_open_one_is_the_last_resort() {
    many(|clock| {
        let pool = all_open(&["a", "b"], clock);
        let leases = join([(); 3].map(|()| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || begin(&pool, clock).ok())
        }));

        assert_eq!(leases.iter().flatten().count(), 1);
        drop(leases);
        // It was abandoned, which frees its trial: no last resort is needed for the next.
        assert!(begin(&pool, clock).is_ok());
    });
}

#[test]
fn a_last_resort_that_ends_while_another_begins_leaves_one_at_most() {
    every(|clock| {
        let pool = all_open(&["a"], clock);
        let first = begin(&pool, clock).unwrap();
        let inside = Arc::new(Inside::default());
        inside.enter();

        let ends = {
            let inside = Arc::clone(&inside);
            thread::spawn(move || {
                inside.leave();
                fail(first, Fault::new(FailureKind::Server));
            })
        };
        let begins = {
            let (pool, inside) = (Arc::clone(&pool), Arc::clone(&inside));
            thread::spawn(move || {
                let second = begin(&pool, clock);
                if second.is_ok() {
                    inside.enter();
                }
            })
        };
        join([ends, begins]);

        // Time stands still, so the second within the same second is always refused.
        assert_eq!(inside.now.load(Ordering::SeqCst), 0);
        assert_eq!(signals(&pool, clock).in_flight, 0);
    });
}

#[test]
fn uses_that_end_all_at_once_leave_nothing_in_flight() {
    many(|clock| {
        let pool = pool("round_robin", vec![endpoint("a"), endpoint("b")]);
        let outcomes = [
            Outcome::Success,
            Outcome::Abandoned,
            Outcome::Failure(Fault::new(FailureKind::Auth)),
            Outcome::Failure(Fault::cool_down(Duration::from_secs(9))),
        ];
        join(outcomes.map(|outcome| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                for _ in 0..2 {
                    if let Ok(lease) = begin(&pool, clock) {
                        lease.finish(outcome);
                    }
                }
            })
        }));

        for endpoint in pool.endpoints() {
            assert_eq!(pool.signals(endpoint, clock.now()).in_flight, 0);
        }
    });
}

#[test]
fn an_endpoint_has_one_state_while_snapshots_come_and_go() {
    every(|clock| {
        let registry = Arc::new(Registry::new(Events::to(|_| {})));
        let old = registry.adopt(&key("a"));
        old.fail(5, clock.now(), &LIMITS);
        let ends = thread::spawn(move || drop(old));
        let adopt = || {
            let registry = Arc::clone(&registry);
            thread::spawn(move || registry.adopt(&key("a")))
        };
        let adopted: Vec<Arc<EndpointState>> = join([adopt(), adopt()]);
        join([ends]);

        assert!(Arc::ptr_eq(&adopted[0], &adopted[1]));
        assert!(Arc::ptr_eq(&adopted[0], &registry.adopt(&key("a"))));
    });
}

#[test]
fn a_reload_keeps_an_open_breaker_open_while_the_old_snapshot_ends() {
    every(|clock| {
        let registry = Arc::new(Registry::new(Events::to(|_| {})));
        let old = registry.adopt(&key("a"));
        old.fail(5, clock.now(), &LIMITS);
        let reload = {
            let (registry, old) = (Arc::clone(&registry), Arc::clone(&old));
            thread::spawn(move || {
                let adopted = registry.adopt(&key("a"));
                drop(old);
                adopted
            })
        };
        let request = thread::spawn(move || drop(old));

        let adopted = join([reload]);
        join([request]);

        assert_eq!(adopted[0].breaker(clock.now()), BreakerState::Open);
    });
}
