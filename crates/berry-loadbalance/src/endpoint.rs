//! One backend of one model, as a compiled configuration knows it.

use std::fmt;
use std::sync::Arc;

use berry_core::{ProviderName, Tag};

use crate::state::EndpointState;

/// What makes an endpoint *the same* across models and reloads: change any of these and what was
/// learned before is void.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndpointKey {
    /// The provider's id.
    pub provider: ProviderName,
    /// The provider's base URL.
    pub base_url: Arc<str>,
    /// The wire protocol.
    pub protocol: &'static str,
    /// The model as the provider calls it.
    pub model: Arc<str>,
    /// A digest of the effective credential, the provider's own headers included.
    pub credential: u64,
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.model)
    }
}

impl fmt::Debug for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An endpoint with its configured place in one pool and the state it shares with others.
#[derive(Debug)]
pub struct Endpoint {
    /// Share of the traffic, relative to the other endpoints; above 0, at most 100.
    pub weight: f64,
    /// Rank for `failover`; lower is asked first.
    pub priority: u8,
    /// Who may use it; empty is everybody.
    pub tags: Box<[Tag]>,
    /// How often one request may return to this provider after its first attempt there.
    pub provider_retries: u32,
    /// Everything learned about it.
    pub state: Arc<EndpointState>,
}

impl Endpoint {
    /// Returns the endpoint's identity.
    pub fn key(&self) -> &EndpointKey {
        self.state.key()
    }
}
