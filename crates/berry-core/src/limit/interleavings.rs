//! What must hold in whatever order threads come to the counts.
//!
//! Each model is run by shuttle: two threads under every schedule there is, four under some thousands
//! drawn from a fixed seed. Nothing but the counts is shared, and each lock is held for arithmetic
//! only: so it is enough to let another thread go first wherever one is about to look at them or to
//! change them ([`switch`]).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::Runner;
use shuttle::scheduler::{DfsScheduler, UrwRandomScheduler};
use shuttle::thread::{self, JoinHandle};

use super::{Counted, Estimate, InFlight, Meter, Reservation};
use crate::config::RateLimit;
use crate::tick::Tick;

/// Where another thread may go first, in a model. Other tests have threads of the system.
pub(super) fn switch() {
    if shuttle::current::try_get_current_task().is_some() {
        thread::yield_now();
    }
}

/// Runs a model, which is told how many threads it is to have.
fn run(model: fn(u32)) {
    let config = shuttle::Config::default;
    let all = Runner::new(DfsScheduler::new(None, false), config()).run(move || model(2));
    assert!(all > 10, "only {all} schedules");
    let drawn = UrwRandomScheduler::new_from_seed(7, 3_000);
    Runner::new(drawn, config()).run(move || model(4));
}

/// Starts so many threads and returns what they come to.
fn together<T: Send + 'static>(
    threads: u32,
    work: impl Fn(u32) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let work = Arc::new(work);
    let start = |index| {
        let work = Arc::clone(&work);
        thread::spawn(move || work(index))
    };
    let threads: Vec<JoinHandle<T>> = (0..threads).map(start).collect();
    let threads = threads.into_iter();
    threads.map(|thread| thread.join().unwrap()).collect()
}

/// Stays inside for a while, where no more than `most` may be at once.
fn stay(inside: &AtomicUsize, most: u32) {
    let others = inside.fetch_add(1, Ordering::Relaxed);
    assert!(others < most as usize, "{others} others");
    switch();
    inside.fetch_sub(1, Ordering::Relaxed);
}

fn limit(most: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(most)
}

fn reserve(meter: &Arc<Meter>, limits: &RateLimit) -> Option<Reservation> {
    let entry = meter.enter(limits, Tick::ZERO).ok()?;
    entry.reserve(limits, Estimate::NONE, Tick::ZERO).ok()
}

#[test]
fn of_requests_at_once_exactly_as_many_pass_as_are_allowed() {
    run(|threads| {
        let (meter, most) = (Arc::new(Meter::default()), threads / 2);
        let limits = RateLimit {
            requests_per_minute: limit(most),
            ..RateLimit::default()
        };

        let shared = Arc::clone(&meter);
        let passed = together(threads, move |_| reserve(&shared, &limits).is_some());

        let passed = passed.into_iter().filter(|&passed| passed);
        assert_eq!(passed.count(), most as usize);
        let counted = meter.counted(Tick::ZERO);
        assert_eq!(counted.requests_this_minute, u64::from(most));
    });
}

#[test]
fn never_more_run_at_once_than_are_allowed_and_what_is_refunded_is_as_if_never_sent() {
    run(|threads| {
        let (meter, most) = (Arc::new(Meter::default()), threads / 2);
        let (shared, inside) = (Arc::clone(&meter), AtomicUsize::new(0));
        let limits = RateLimit {
            max_concurrent_requests: limit(most),
            ..RateLimit::default()
        };

        let counted = together(threads, move |index| {
            let reservation = reserve(&shared, &limits)?;
            stay(&inside, most);
            if index == 0 {
                reservation.refund();
                return None;
            }
            Some(())
        });

        let counted = counted.into_iter().flatten().count() as u64;
        let expected = Counted {
            requests_this_minute: counted,
            requests_this_hour: counted,
            requests_this_day: counted,
            ..Counted::default()
        };
        assert_eq!(meter.counted(Tick::ZERO), expected);
    });
}

#[test]
fn no_more_enter_than_there_is_room_for_and_every_place_comes_back() {
    run(|threads| {
        let (in_flight, most) = (Arc::new(InFlight::default()), threads / 2);
        let (shared, inside) = (Arc::clone(&in_flight), AtomicUsize::new(0));

        let entered = together(threads, move |_| {
            let _place = shared.enter(limit(most))?;
            stay(&inside, most);
            Some(())
        });

        assert!(entered.into_iter().flatten().count() >= most as usize);
        let places: Vec<_> = (0..=most).map(|_| in_flight.enter(limit(most))).collect();
        let places = places.iter().flatten();
        assert_eq!(places.count(), most as usize);
    });
}
