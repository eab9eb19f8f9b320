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

/// Whom a provider knows us as: what it keeps for us is found under the same account only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The provider's id.
    pub provider: ProviderName,
    /// Its base URL.
    pub base_url: Arc<str>,
    /// A digest of the effective credential.
    pub credential: u64,
}

impl EndpointKey {
    /// Returns the account that the endpoint is used with.
    pub fn account(&self) -> Account {
        Account {
            provider: self.provider.clone(),
            base_url: Arc::clone(&self.base_url),
            credential: self.credential,
        }
    }

    /// Returns the text that it is shown as, `provider:model`, without what a formatter costs.
    pub fn label(&self) -> String {
        [self.provider.as_str(), ":", &self.model].concat()
    }

    /// Returns whether the endpoint is used with this account.
    pub fn is_of(&self, account: &Account) -> bool {
        self.credential == account.credential
            && self.provider == account.provider
            && self.base_url == account.base_url
    }
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl fmt::Debug for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
