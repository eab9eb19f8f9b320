//! Whom to ask: the endpoints of all pools, each once, by provider.

use std::sync::Arc;

use berry_core::config::BillingMode;

use crate::pool::Pool;
use crate::state::EndpointState;

/// The endpoints that may be probed.
///
/// One that is in several pools is probed once, and not at all where any of them says that it bills
/// by request.
#[derive(Debug, Default)]
pub struct Roster {
    /// In the order of the file.
    pub(super) endpoints: Vec<Arc<EndpointState>>,
    /// The endpoints of each provider that has any, by their places.
    pub(super) providers: Vec<Vec<usize>>,
}

impl Roster {
    /// Collects the endpoints of these pools.
    pub fn of<'a>(pools: impl IntoIterator<Item = &'a Pool>) -> Self {
        let mut found: Vec<(&Arc<EndpointState>, BillingMode)> = Vec::new();
        for endpoint in pools.into_iter().flat_map(Pool::endpoints) {
            let known = found
                .iter_mut()
                .find(|(state, _)| state.key() == endpoint.key());
            match known {
                None => found.push((&endpoint.state, endpoint.billing)),
                Some((_, billing)) if endpoint.billing == BillingMode::PerRequest => {
                    *billing = BillingMode::PerRequest;
                }
                Some(_) => {}
            }
        }
        let mut roster = Self::default();
        for (state, billing) in found {
            if billing == BillingMode::PerToken {
                roster.add(state);
            }
        }
        roster
    }

    fn add(&mut self, state: &Arc<EndpointState>) {
        let place = self.endpoints.len();
        self.endpoints.push(Arc::clone(state));
        let provider = self.providers.iter_mut().find(|places| {
            let first = places.first().map(|&place| self.endpoints[place].key());
            first.is_some_and(|key| key.provider == state.key().provider)
        });
        match provider {
            Some(places) => places.push(place),
            None => self.providers.push(vec![place]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;
    use crate::events::Events;
    use crate::key::EndpointKey;
    use crate::pool::fixtures::{endpoint, key, pool};

    fn model(provider: &str, model: &str, billing: BillingMode) -> Endpoint {
        let key = EndpointKey {
            model: model.into(),
            ..key(provider)
        };
        Endpoint {
            billing,
            state: Arc::new(EndpointState::new(key, Events::to(|_| {}))),
            ..endpoint(provider)
        }
    }

    fn names(roster: &Roster) -> Vec<String> {
        let keys = roster.endpoints.iter().map(|state| state.key().to_string());
        keys.collect()
    }

    #[test]
    fn endpoints_are_listed_by_provider() {
        let one = pool(
            "failover",
            vec![
                model("a", "x", BillingMode::PerToken),
                model("b", "x", BillingMode::PerToken),
                model("a", "y", BillingMode::PerToken),
            ],
        );

        let roster = Roster::of([&*one]);

        assert_eq!(names(&roster), ["a:x", "b:x", "a:y"]);
        assert_eq!(roster.providers, [vec![0, 2], vec![1]]);
    }

    #[test]
    fn an_endpoint_of_two_pools_is_listed_once() {
        let pools = ["failover", "random"]
            .map(|name| pool(name, vec![model("a", "x", BillingMode::PerToken)]));

        let roster = Roster::of(pools.iter().map(|pool| &**pool));

        assert_eq!(names(&roster), ["a:x"]);
    }

    #[test]
    fn an_endpoint_that_bills_by_request_anywhere_is_not_listed() {
        let pools = [BillingMode::PerToken, BillingMode::PerRequest].map(|billing| {
            let rows = vec![
                model("a", "x", billing),
                model("b", "x", BillingMode::PerToken),
            ];
            pool("failover", rows)
        });

        let roster = Roster::of(pools.iter().map(|pool| &**pool));

        assert_eq!(names(&roster), ["b:x"]);
        assert_eq!(roster.providers, [vec![0]]);
    }
}
