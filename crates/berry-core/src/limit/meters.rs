//! The meters of all users of one configuration.

use std::collections::HashMap;
use std::sync::Arc;

use super::meter::Meter;
use crate::config::User;
use crate::name::UserName;

/// Finds a user's meter.
///
/// It is made with a configuration and never changes, so looking is not waiting. There are as many
/// meters as users, whoever sends requests.
#[derive(Debug, Default)]
pub struct Meters(HashMap<UserName, Arc<Meter>>);

impl Meters {
    /// Gathers a meter for each user: the one they had in the configuration before, if they had one.
    pub fn of(users: &[Arc<User>], previous: Option<&Self>) -> Self {
        let meters = users.iter().map(|user| {
            let before = previous.and_then(|previous| previous.get(&user.id));
            (user.id.clone(), before.cloned().unwrap_or_default())
        });
        Self(meters.collect())
    }

    /// Returns the meter of a user.
    pub fn get(&self, user: &UserName) -> Option<&Arc<Meter>> {
        self.0.get(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Estimate;
    use crate::tick::Tick;

    fn users(ids: &[&str]) -> Vec<Arc<User>> {
        let user = |id: &&str| User {
            id: UserName::parse(id).unwrap(),
            ..User::anybody()
        };
        ids.iter().map(user).map(Arc::new).collect()
    }

    #[test]
    fn what_was_counted_of_a_user_lasts_as_long_as_the_user_is_configured() {
        let sent = |meters: &Meters, id| {
            let meter = meters.get(&UserName::parse(id).unwrap());
            meter.map(|meter| meter.counted(Tick::ZERO).requests_this_day)
        };
        let first = Meters::of(&users(&["ada", "bob"]), None);
        let ada = first.get(&UserName::parse("ada").unwrap()).unwrap();
        let reserved = ada.reserve(&User::anybody().rate_limit, Estimate::NONE, Tick::ZERO);
        assert!(reserved.is_ok());

        let second = Meters::of(&users(&["ada", "eve"]), Some(&first));
        assert_eq!(sent(&second, "ada"), Some(1));
        assert_eq!(sent(&second, "bob"), None);
        assert_eq!(sent(&second, "eve"), Some(0));

        let third = Meters::of(&users(&["eve"]), Some(&second));
        let fourth = Meters::of(&users(&["ada"]), Some(&third));
        assert_eq!(sent(&fourth, "ada"), Some(0));
    }
}
