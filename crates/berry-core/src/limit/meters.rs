//! The meters of all users of one configuration.

use std::collections::HashMap;
use std::sync::Arc;

use super::meter::Meter;
use crate::config::User;
use crate::name::UserName;
use crate::tick::Tick;

/// Finds a user's meter.
///
/// It is made with a configuration and never changes, so looking is not waiting. There are as many
/// meters as users, whoever sends requests; and those of users who were removed, as long as something
/// is counted of them, which is a day at most: who comes back has sent what they have sent.
#[derive(Debug, Default)]
pub struct Meters {
    users: HashMap<UserName, Arc<Meter>>,
    removed: HashMap<UserName, Arc<Meter>>,
}

impl Meters {
    /// Gathers a meter for each user: the one they had until `now`, if they had one.
    pub fn of(users: &[Arc<User>], previous: Option<(&Self, Tick)>) -> Self {
        let meters = users.iter().map(|user| {
            let before = previous.and_then(|(previous, _)| previous.known(&user.id));
            (user.id.clone(), before.cloned().unwrap_or_default())
        });
        let users: HashMap<_, _> = meters.collect();
        let removed = previous.map(|(previous, now)| {
            let known = previous.users.iter().chain(&previous.removed);
            let removed =
                known.filter(|(id, meter)| !users.contains_key(*id) && !meter.is_blank(now));
            let removed = removed.map(|(id, meter)| (id.clone(), Arc::clone(meter)));
            removed.collect()
        });
        Self {
            users,
            removed: removed.unwrap_or_default(),
        }
    }

    /// Returns the meter of a user.
    pub fn get(&self, user: &UserName) -> Option<&Arc<Meter>> {
        self.users.get(user)
    }

    fn known(&self, user: &UserName) -> Option<&Arc<Meter>> {
        self.get(user).or_else(|| self.removed.get(user))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limit::Estimate;

    fn users(ids: &[&str]) -> Vec<Arc<User>> {
        let user = |id: &&str| User {
            id: UserName::parse(id).unwrap(),
            ..User::anybody()
        };
        ids.iter().map(user).map(Arc::new).collect()
    }

    fn sent(meters: &Meters, id: &str) -> Option<u64> {
        let meter = meters.get(&UserName::parse(id).unwrap());
        meter.map(|meter| meter.counted(Tick::ZERO).requests_this_day)
    }

    /// Meters of ada, who has sent a request, and bob.
    fn first() -> Meters {
        let meters = Meters::of(&users(&["ada", "bob"]), None);
        let limits = User::anybody().rate_limit;
        let ada = meters.get(&UserName::parse("ada").unwrap()).unwrap();
        let entry = ada.enter(&limits, Tick::ZERO).unwrap();
        let reserved = entry.reserve(&limits, Estimate::NONE, Tick::ZERO);
        assert!(reserved.is_ok());
        meters
    }

    #[test]
    fn what_was_counted_of_a_user_lasts_as_long_as_the_user_is_configured() {
        let first = first();

        let second = Meters::of(&users(&["ada", "eve"]), Some((&first, Tick::ZERO)));

        assert_eq!(sent(&second, "ada"), Some(1));
        assert_eq!(sent(&second, "bob"), None);
        assert_eq!(sent(&second, "eve"), Some(0));
    }

    #[test]
    fn who_comes_back_within_a_day_has_sent_what_they_have_sent() {
        let first = first();
        let hours = |hours| Tick::from(Duration::from_hours(hours));
        for (back_at, expected) in [(hours(20), 1), (hours(26), 0)] {
            let second = Meters::of(&users(&["eve"]), Some((&first, hours(1))));
            assert_eq!(sent(&second, "ada"), None);
            let third = Meters::of(&users(&["eve"]), Some((&second, back_at)));

            let fourth = Meters::of(&users(&["ada"]), Some((&third, back_at)));

            assert_eq!(sent(&fourth, "ada"), Some(expected));
            assert_eq!(third.removed.len() as u64, expected);
        }
    }
}
