//! Which account made a stored response, so that it is asked for there.
//!
//! A provider keeps a response for the account that made it, and nobody else can read, continue or
//! delete it. The last [`CAPACITY`] are remembered; one that was forgotten, or was made before the
//! process began, goes wherever the strategy sends it.

use std::collections::BTreeMap;
use std::sync::Arc;

use berry_core::{ModelName, name::UserName};
use berry_loadbalance::Account;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// How many are remembered.
const CAPACITY: usize = 100_000;

/// Where a response is, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The public model it was asked of.
    pub model: ModelName,
    /// Who asked. Others do not learn that it exists.
    pub user: UserName,
    /// The account that made it.
    pub account: Account,
}

/// A pin whose response's id is not known yet.
#[derive(Debug)]
pub(crate) struct Pinning {
    pub(crate) pins: Arc<Pins>,
    pub(crate) pin: Pin,
}

impl Pinning {
    /// Remembers it.
    pub(crate) fn put(self, id: &str) {
        self.pins.put(id, self.pin);
    }
}

/// The least recently used is forgotten first.
#[derive(Debug)]
pub(crate) struct Pins {
    capacity: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<Arc<str>, (u64, Pin)>,
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
}

impl Default for Pins {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Pins {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            known: Mutex::default(),
        }
    }

    /// Remembers who made a response.
    pub(crate) fn put(&self, id: &str, pin: Pin) {
        let id: Arc<str> = id.into();
        let mut known = self.known.lock();
        let known = &mut *known;
        known.uses += 1;
        let replaced = known.by_id.insert(Arc::clone(&id), (known.uses, pin));
        if let Some((used, _)) = replaced {
            known.by_use.remove(&used);
        }
        known.by_use.insert(known.uses, id);
        if known.by_id.len() > self.capacity
            && let Some((_, oldest)) = known.by_use.pop_first()
        {
            known.by_id.remove(&oldest);
        }
    }

    /// Returns who made a response, where that is known.
    pub(crate) fn get(&self, id: &str) -> Option<Pin> {
        let mut known = self.known.lock();
        let known = &mut *known;
        let (used, pin) = known.by_id.get_mut(id)?;
        let key = known.by_use.remove(used)?;
        known.uses += 1;
        *used = known.uses;
        known.by_use.insert(known.uses, key);
        Some(pin.clone())
    }
}

#[cfg(test)]
mod tests {
    use berry_core::ProviderName;

    use super::*;

    fn pin(provider: &str) -> Pin {
        Pin {
            model: ModelName::parse("m").unwrap(),
            user: UserName::parse("u").unwrap(),
            account: Account {
                provider: ProviderName::parse(provider).unwrap(),
                base_url: "http://h".into(),
                credential: 0,
            },
        }
    }

    #[test]
    fn the_least_recently_used_is_forgotten_first() {
        let pins = Pins::with_capacity(2);
        pins.put("a", pin("first"));
        pins.put("b", pin("second"));
        assert_eq!(pins.get("a"), Some(pin("first")));

        pins.put("c", pin("third"));

        assert_eq!(pins.get("b"), None);
        assert_eq!(pins.get("a"), Some(pin("first")));
        assert_eq!(pins.get("c"), Some(pin("third")));
    }

    #[test]
    fn the_last_word_on_an_id_counts_and_takes_no_place_of_its_own() {
        let pins = Pins::with_capacity(2);
        for provider in ["first", "second", "third"] {
            pins.put("a", pin(provider));
        }
        pins.put("b", pin("first"));

        assert_eq!(pins.get("a"), Some(pin("third")));
        assert_eq!(pins.get("b"), Some(pin("first")));
    }
}
