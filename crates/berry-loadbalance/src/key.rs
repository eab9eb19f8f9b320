//! What identifies an endpoint.

use std::fmt;
use std::sync::Arc;

use berry_core::ProviderName;

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
