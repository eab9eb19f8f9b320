//! Instructions of finding out who sends a request, and of charging it to that user's limits.
//! `scripts/count-instructions.sh` compares them with those of an earlier commit.

#![expect(
    missing_docs,
    unused_qualifications,
    clippy::exit,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "gungraun's macros write such code, and what cannot be set up may panic"
)]

mod support;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use berry_core::auth::{Authenticator, credential};
use berry_core::limit::Meters;
use berry_core::{Tick, User};
use gungraun::prelude::*;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use support::{ESTIMATE, users};

const USERS: u32 = 100;
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn known() -> (Authenticator, HeaderMap) {
    let value = HeaderValue::from_static("Bearer token-of-user-7-0123456789");
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
    (Authenticator::new(&users(USERS)), headers)
}

fn metered() -> (Meters, Arc<User>) {
    let users = users(USERS);
    let (meters, user) = (Meters::of(&users, None), Arc::clone(&users[7]));
    charge(&meters, &user);
    (meters, user)
}

fn charge(meters: &Meters, user: &User) {
    let meter = meters.get(&user.id).unwrap();
    let entry = meter.enter(&user.rate_limit, Tick::ZERO).unwrap();
    let reserved = entry.reserve(&user.rate_limit, ESTIMATE, Tick::ZERO);
    reserved.unwrap().settle(120, Tick::ZERO);
}

#[library_benchmark]
#[bench::by_token(known())]
fn authenticate(
    (users, headers): (Authenticator, HeaderMap),
) -> (Option<Arc<User>>, Authenticator, HeaderMap) {
    let token = credential(black_box(&headers)).unwrap_or_default();
    let user = users.authenticate(token, PEER, || Timestamp::UNIX_EPOCH);
    (user.ok(), users, headers)
}

#[library_benchmark]
#[bench::all_windows(metered())]
fn limits((meters, user): (Meters, Arc<User>)) -> (Meters, Arc<User>) {
    charge(black_box(&meters), &user);
    (meters, user)
}

library_benchmark_group!(name = access, benchmarks = [authenticate, limits]);
main!(library_benchmark_groups = access);
