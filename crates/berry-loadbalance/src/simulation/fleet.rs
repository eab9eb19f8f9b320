//! The endpoints of a simulation: those of a configured model, or a scenario's own.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use berry_core::config::scenario::{FaultKind, Scenario, ScriptedFault, Site, SiteTraits, Whom};
use berry_core::{Model, Settings};

use crate::ability::Abilities;
use crate::economy::Tokens;
use crate::endpoint::{Endpoint, Patience};
use crate::events::Events;
use crate::health::Cadence;
use crate::key::EndpointKey;
use crate::limits::Limits;
use crate::registry::Registry;
use crate::state::EndpointState;

/// Why a scenario cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// There is nobody to play with.
    #[error("the scenario has no `[[backends]]`; name a configuration")]
    Empty,
    /// A fault is about nobody.
    #[error("a fault names the backend `{name}`, which is none of {}", known.join(", "))]
    UnknownBackend {
        /// Whom it names.
        name: String,
        /// Who there is.
        known: Vec<String>,
        /// The place of the name in the scenario's file.
        at: Range<usize>,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Fleet {
    pub(super) members: Vec<Member>,
    pub(super) limits: Limits,
    pub(super) cadence: Cadence,
    /// How long a probe waits.
    pub(super) probe_patience: Duration,
}

/// An endpoint as it is configured, and how it answers.
#[derive(Debug)]
pub(super) struct Member {
    /// What it is called in the report.
    pub(super) name: String,
    endpoint: Endpoint,
    pub(super) traits: SiteTraits,
    pub(super) faults: Vec<ScriptedFault>,
}

impl Fleet {
    /// Takes the enabled backends of a model.
    ///
    /// # Errors
    /// The scenario has a fault for a backend that is not among them.
    pub fn of_model(
        model: &Model,
        settings: &Settings,
        scenario: &Scenario,
    ) -> Result<Self, FleetError> {
        let enabled = model
            .backends
            .iter()
            .filter(|backend| backend.enabled && backend.provider.enabled);
        let members = enabled.map(|backend| {
            let key = EndpointKey {
                provider: backend.provider.id.clone(),
                base_url: backend.provider.base_url.to_string().into(),
                protocol: backend.provider.protocol,
                model: backend.model.as_ref().into(),
                credential: 0,
            };
            let name = key.to_string();
            let described = scenario
                .backends
                .iter()
                .find(|site| is_called(&key, &site.name));
            Member {
                endpoint: Endpoint::new(backend, Abilities::NONE, unknown(key)),
                traits: described.map(|site| site.traits).unwrap_or_default(),
                faults: Vec::new(),
                name,
            }
        });
        Self::new(members.collect(), settings, scenario)
    }

    /// Takes the backends that the scenario itself describes, under the default settings.
    ///
    /// # Errors
    /// The scenario describes none, or has a fault for another.
    pub fn of_scenario(scenario: &Scenario) -> Result<Self, FleetError> {
        let settings = Settings::default();
        let members = scenario.backends.iter().map(|site| Member {
            name: site.name.clone(),
            endpoint: described(site, &settings),
            traits: site.traits,
            faults: Vec::new(),
        });
        Self::new(members.collect(), &settings, scenario)
    }

    fn new(
        members: Vec<Member>,
        settings: &Settings,
        scenario: &Scenario,
    ) -> Result<Self, FleetError> {
        let mut fleet = Self {
            members,
            limits: Limits::from(settings),
            cadence: Cadence::from(settings),
            probe_patience: settings.health_check_timeout,
        };
        if fleet.members.is_empty() {
            return Err(FleetError::Empty);
        }
        for fault in &scenario.faults {
            for place in fleet.concerned(&fault.backend, scenario)? {
                fleet.members[place].faults.push(fault.clone());
            }
        }
        Ok(fleet)
    }

    /// Returns the places of those whom a fault is about.
    fn concerned(&self, whom: &Whom, scenario: &Scenario) -> Result<Vec<usize>, FleetError> {
        let average = Tokens {
            input: scenario.input_tokens,
            cached: 0.0,
            cache_write: 0.0,
            cache_write_1h: 0.0,
            output: scenario.output_tokens,
        };
        let cost = |place: &usize| {
            let prices = &self.members[*place].endpoint.prices;
            average.cost(prices).unwrap_or_default()
        };
        let places = 0..self.members.len();
        let by_cost = |a: &usize, b: &usize| cost(a).total_cmp(&cost(b));
        Ok(match whom {
            Whom::All => places.collect(),
            Whom::First => vec![0],
            Whom::Cheapest => places.min_by(by_cost).into_iter().collect(),
            Whom::Dearest => places.max_by(by_cost).into_iter().collect(),
            Whom::Named(name, at) => {
                let named = |place: &usize| {
                    let member = &self.members[*place];
                    member.name == *name || is_called(member.endpoint.key(), name)
                };
                let found: Vec<usize> = places.filter(named).collect();
                if found.is_empty() {
                    let members = self.members.iter();
                    return Err(FleetError::UnknownBackend {
                        name: name.clone(),
                        known: members.map(|member| member.name.clone()).collect(),
                        at: at.clone(),
                    });
                }
                found
            }
        })
    }

    /// Returns the names of the endpoints, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// Returns the endpoints as a configuration that has just been loaded has them.
    pub(super) fn endpoints(&self, registry: &Registry) -> Vec<Endpoint> {
        let members = self.members.iter();
        let endpoints = members.map(|member| Endpoint {
            state: registry.adopt(member.endpoint.key()),
            ..member.endpoint.clone()
        });
        endpoints.collect()
    }

    pub(super) fn endpoint(&self, place: usize) -> &Endpoint {
        &self.members[place].endpoint
    }

    /// Returns the place of an endpoint.
    pub(super) fn place(&self, key: &EndpointKey) -> Option<usize> {
        let mut members = self.members.iter();
        members.position(|member| member.endpoint.key() == key)
    }
}

impl Member {
    /// Returns what is wrong with it so long after the start.
    pub(super) fn wrong(&self, elapsed: Duration) -> impl Iterator<Item = FaultKind> {
        let now = self.faults.iter().filter(move |fault| {
            fault.from <= elapsed && fault.until.is_none_or(|until| elapsed < until)
        });
        now.map(|fault| fault.kind)
    }
}

/// Returns whether a scenario means this endpoint by a name.
fn is_called(key: &EndpointKey, name: &str) -> bool {
    name == key.provider.as_str() || name == key.to_string()
}

/// Returns a state of which nothing is known: it only carries the key.
fn unknown(key: EndpointKey) -> Arc<EndpointState> {
    Arc::new(EndpointState::new(key, Events::to(|_| {})))
}

fn described(site: &Site, settings: &Settings) -> Endpoint {
    let key = EndpointKey {
        provider: site.provider.clone(),
        base_url: Arc::from(""),
        protocol: "openai",
        model: site.model.as_ref().into(),
        credential: 0,
    };
    Endpoint {
        weight: site.weight,
        priority: site.priority,
        tags: site.tags.clone().into(),
        billing: site.billing,
        prices: site.prices,
        patience: Patience {
            streamed: settings.response_timeout.streamed,
            whole: settings.response_timeout.whole,
        },
        provider_retries: settings.max_retries,
        abilities: Abilities::NONE,
        state: unknown(key),
    }
}
