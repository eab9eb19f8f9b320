//! One backend of one model, as a compiled configuration knows it.

use std::sync::Arc;

use berry_core::Tag;

use crate::key::EndpointKey;
use crate::state::EndpointState;

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
