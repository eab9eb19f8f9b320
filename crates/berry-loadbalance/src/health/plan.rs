//! What a configuration gives the monitor to do.
//!
//! A new one takes the place of the old without beginning again: an endpoint that is in both keeps
//! its row, found by its key, and so is not asked earlier than it would have been.

use hashbrown::HashMap;

use super::roster::Roster;
use super::schedule::{Cadence, Check};
use crate::key::EndpointKey;

/// Whom to ask, how often, and by whom.
#[derive(Debug)]
pub struct Plan<P> {
    /// Asks.
    pub prober: P,
    /// Who is asked.
    pub roster: Roster,
    /// How often.
    pub cadence: Cadence,
}

/// Finds the checks of one roster again in an earlier one.
#[derive(Debug)]
pub(super) struct Earlier<'a> {
    later: &'a Roster,
    places: HashMap<&'a EndpointKey, usize>,
    /// By the place of the endpoint that stands for the provider.
    providers: HashMap<usize, usize>,
}

impl<'a> Earlier<'a> {
    pub(super) fn new(earlier: &'a Roster, later: &'a Roster) -> Self {
        let keys = earlier.endpoints.iter().map(|state| state.key());
        let firsts = earlier.providers.iter().filter_map(|places| places.first());
        Self {
            later,
            places: keys.zip(0..).collect(),
            providers: firsts.copied().zip(0..).collect(),
        }
    }

    /// Returns the same check of the earlier roster, if any. A provider's list of models is the
    /// same while the endpoint that stood for the provider is one of its endpoints.
    pub(super) fn check(&self, check: Check) -> Option<Check> {
        match check {
            Check::Chat(place) => self.place(place).map(Check::Chat),
            Check::Models(provider) => {
                let places = self.later.providers.get(provider)?.iter();
                let mut earlier = places.filter_map(|&place| self.place(place));
                earlier
                    .find_map(|place| self.providers.get(&place))
                    .map(|&provider| Check::Models(provider))
            }
        }
    }

    fn place(&self, later: usize) -> Option<usize> {
        let state = self.later.endpoints.get(later)?;
        self.places.get(state.key()).copied()
    }
}

impl Roster {
    /// Returns whether this endpoint is in it.
    pub(super) fn has(&self, key: &EndpointKey) -> bool {
        self.endpoints.iter().any(|state| state.key() == key)
    }

    /// Returns whether the same endpoints are in the same places.
    pub(super) fn matches(&self, other: &Self) -> bool {
        let mine = self.endpoints.iter().map(|state| state.key());
        mine.eq(other.endpoints.iter().map(|state| state.key()))
    }
}
