//! One backend of one model, as a compiled configuration knows it.

use std::sync::Arc;
use std::time::Duration;

use berry_core::config::{BillingMode, Prices};
use berry_core::{Backend, Tag};

use crate::ability::Abilities;
use crate::key::EndpointKey;
use crate::latency::Mode;
use crate::state::EndpointState;

/// The tag of endpoints that `smart_ai` explores seldom.
const PREMIUM: &str = "premium";

/// An endpoint with its configured place in one pool and the state it shares with others.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Share of the traffic, relative to the other endpoints; above 0, at most 100.
    pub weight: f64,
    /// Rank for `failover`; lower is asked first.
    pub priority: u8,
    /// Who may use it; empty is everybody.
    pub tags: Box<[Tag]>,
    /// What costs money there, and so whether it may be probed.
    pub billing: BillingMode,
    /// What a request of an average size costs there, as far as known.
    pub prices: Prices,
    /// How long it is waited for an answer.
    pub patience: Patience,
    /// How often one request may return to this provider after its first attempt there.
    pub provider_retries: u32,
    /// What it can be asked for.
    pub abilities: Abilities,
    /// Everything learned about it.
    pub state: Arc<EndpointState>,
}

/// How long an endpoint is waited for, per mode.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until a stream's head.
    pub streamed: Duration,
    /// Until a whole answer's head.
    pub whole: Duration,
}

impl Patience {
    pub(crate) fn of(self, mode: Mode) -> Duration {
        match mode {
            Mode::Streamed => self.streamed,
            Mode::Whole => self.whole,
        }
    }
}

impl Endpoint {
    /// Gives a configured backend what it can do and the state of its endpoint.
    pub fn new(backend: &Backend, abilities: Abilities, state: Arc<EndpointState>) -> Self {
        let provider = &backend.provider;
        Self {
            weight: backend.weight,
            priority: backend.priority,
            tags: backend.tags.clone().into(),
            billing: backend.billing,
            prices: backend.prices,
            patience: Patience {
                streamed: provider.response_timeout.streamed,
                whole: provider.response_timeout.whole,
            },
            provider_retries: provider.max_retries,
            abilities,
            state,
        }
    }

    /// Returns whether it is tagged as costly.
    pub fn is_premium(&self) -> bool {
        self.tags.iter().any(|tag| tag.as_str() == PREMIUM)
    }

    /// Returns the endpoint's identity.
    pub fn key(&self) -> &EndpointKey {
        self.state.key()
    }
}
