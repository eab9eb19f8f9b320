//! Whom a strategy is measured by: one that knows every script and all luck beforehand.
//!
//! For each request it takes the cheapest endpoint that would answer it. No strategy can serve as
//! many requests for less, and none can know this much: what remains is the price of finding out.

use super::fleet::Fleet;
use super::site::{Ask, Reaction, Sites};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Oracle {
    /// Its requests reach providers of their own: where a rate is capped, it has the cap to itself.
    sites: Sites,
    /// What it has spent; none where a price is unknown.
    spent: Option<f64>,
    served: u64,
}

impl Oracle {
    pub(super) fn new(seed: u64, fleet: &Fleet) -> Self {
        Self {
            sites: Sites::new(seed, fleet.members.len()),
            spent: Some(0.0),
            served: 0,
        }
    }

    /// Returns what it has spent.
    pub(super) fn spent(&self) -> Option<f64> {
        self.spent
    }

    /// Returns how many requests it has answered.
    pub(super) fn served(&self) -> u64 {
        self.served
    }

    /// Serves a request.
    pub(super) fn serve(&mut self, fleet: &Fleet, ask: &Ask) {
        let Some(spent) = &mut self.spent else {
            return;
        };
        let cost = |place: usize| ask.tokens.cost(&fleet.endpoint(place).prices);
        let mut places: Vec<(f64, usize)> = (0..fleet.members.len())
            .filter_map(|place| Some((cost(place)?, place)))
            .collect();
        if places.len() < fleet.members.len() {
            self.spent = None;
            return;
        }
        places.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        for (cost, place) in places {
            let ask = Ask {
                patience: fleet.endpoint(place).patience.of(ask.mode),
                ..*ask
            };
            let reaction = self.sites.ask(&fleet.members[place], place, &ask);
            if let Reaction::Answer { .. } = reaction {
                *spent += cost;
                self.served += 1;
                return;
            }
        }
    }
}
