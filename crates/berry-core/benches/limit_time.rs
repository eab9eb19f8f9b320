//! The time that the limits take of a request: to find the user's meter, enter, reserve, settle and end; with
//! 64 threads at once, of as many users and of one. A figure to read, in time of a processor for each
//! request. `cargo bench -p berry-core --bench limit_time`

#![expect(
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "nothing is injected where time itself is measured, and the figures are what it is for"
)]

mod support;

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use berry_core::limit::Meters;
use berry_core::{Tick, User};

use support::{ESTIMATE, users};

const THREADS: u32 = 64;
const REQUESTS: u32 = 100_000;

/// Sends a user's requests, some microseconds apart.
fn send(meters: &Meters, user: &User) {
    let mut now = Tick::ZERO;
    for _ in 0..REQUESTS {
        now = now + Duration::from_micros(500);
        let meter = meters.get(&user.id).expect("a meter");
        let entry = meter.enter(&user.rate_limit, now).expect("a place");
        let reserved = entry.reserve(&user.rate_limit, ESTIMATE, now);
        let mut reservation = black_box(reserved).expect("room");
        reservation.settle(120, now);
    }
}

/// Returns the processor's time for each request.
fn time(meters: &Meters, users: &[Arc<User>]) -> Duration {
    let start = Barrier::new(users.len() + 1);
    let began = thread::scope(|scope| {
        for user in users {
            scope.spawn(|| {
                start.wait();
                send(meters, user);
            });
        }
        start.wait();
        Instant::now()
    });
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let processors = u32::try_from(processors).map_or(THREADS, |count| count.min(THREADS));
    began.elapsed() * processors / THREADS / REQUESTS
}

fn main() {
    let users = users(THREADS);
    let meters = Meters::of(&users, None);
    println!("64 users  {:?}", time(&meters, &users));
    let one = vec![Arc::clone(&users[0]); users.len()];
    println!("one user  {:?}", time(&meters, &one));
}
