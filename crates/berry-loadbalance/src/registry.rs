//! Why knowledge survives a reload: endpoints are found again by their key.

use std::sync::{Arc, Weak};

use hashbrown::HashMap;

use crate::events::Events;
use crate::key::EndpointKey;
use crate::state::EndpointState;
use crate::sync::Mutex;
use crate::totals::Totals;

/// Finds or begins the state of an endpoint.
///
/// States are held weakly: one that no snapshot uses any more is freed with the last of them, and
/// its entry goes at the next look-up.
#[derive(Debug)]
pub struct Registry {
    events: Events,
    states: Mutex<HashMap<EndpointKey, Weak<EndpointState>>>,
}

impl Registry {
    /// Begins empty; the states it makes announce their transitions to `events`.
    pub fn new(events: Events) -> Self {
        Self {
            events,
            states: Mutex::default(),
        }
    }

    /// Returns what has been counted of all endpoints there ever were.
    pub fn totals(&self) -> &Arc<Totals> {
        self.events.totals()
    }

    /// Returns the state of this endpoint: what is known, or a new one.
    pub fn adopt(&self, key: &EndpointKey) -> Arc<EndpointState> {
        let mut states = self.states.lock();
        if let Some(state) = states.get(key).and_then(Weak::upgrade) {
            return state;
        }
        states.retain(|_, state| state.strong_count() > 0);
        let state = Arc::new(EndpointState::new(key.clone(), self.events.clone()));
        states.insert(key.clone(), Arc::downgrade(&state));
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::fixtures::key;

    #[test]
    fn the_same_key_finds_the_same_state() {
        let registry = Registry::new(Events::to(|_| {}));

        let first = registry.adopt(&key("a"));
        let again = registry.adopt(&key("a"));
        let other = registry.adopt(&key("b"));

        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn a_state_that_nobody_uses_is_freed() {
        let registry = Registry::new(Events::to(|_| {}));
        let state = registry.adopt(&key("a"));
        let weak = Arc::downgrade(&state);

        drop(state);
        let _other = registry.adopt(&key("b"));

        assert!(weak.upgrade().is_none());
        assert_eq!(registry.states.lock().len(), 1);
    }
}
