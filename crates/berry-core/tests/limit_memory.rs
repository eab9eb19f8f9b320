//! What the limits of many users cost.

use std::sync::Arc;

use berry_core::limit::Meters;
use berry_core::{Tick, User, UserName};

const USERS: u32 = 100_000;
/// More than that would be felt: a hundred megabytes for so many users.
const MOST: u64 = 1024;

#[test]
fn a_user_costs_no_more_than_a_kibibyte() {
    let user = |index| User {
        id: UserName::parse(&format!("user-{index}")).unwrap(),
        ..User::anybody()
    };
    let users: Vec<_> = (0..USERS).map(|index| Arc::new(user(index))).collect();
    let mut meters = Meters::default();

    let measured = allocation_counter::measure(|| meters = Meters::of(&users, None));

    let each = measured.bytes_current.cast_unsigned() / u64::from(USERS);
    assert!((800..=MOST).contains(&each), "{each} bytes");
    let again =
        allocation_counter::measure(|| meters = Meters::of(&users, Some((&meters, Tick::ZERO))));
    assert_eq!(again.bytes_current, 0, "a reload adds nothing");
}
