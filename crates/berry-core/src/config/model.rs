//! A public model and the backends that serve it, as configured.
//!
//! What runs is compiled from these and called endpoint and pool; nothing here has state.

use std::sync::Arc;

use super::provider::Provider;
use crate::name::{ModelName, Tag};

/// A model that clients ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The `x` of `[models.x]`; clients may use it as well as the public name.
    pub key: ModelName,
    /// The public name.
    pub name: ModelName,
    /// Whether it is served.
    pub enabled: bool,
    /// The name of its strategy, as the [`Vocabulary`](super::Vocabulary) spells it.
    pub strategy: &'static str,
    /// Which repeated requests prefer the endpoint that served them before.
    pub affinity: Affinity,
    /// In file order, by which strategies break ties.
    pub backends: Vec<Backend>,
}

/// One row `[[models.x.backends]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Where the request goes.
    pub provider: Arc<Provider>,
    /// The model's name there.
    pub model: Box<str>,
    /// Its share, above 0 and at most 100.
    pub weight: f64,
    /// Its rank for `failover`; the lowest goes first.
    pub priority: u8,
    /// Whether it gets requests; that of the provider counts as well.
    pub enabled: bool,
    /// Whom it is for; see [`User::may_use_backend`](super::User::may_use_backend).
    pub tags: Vec<Tag>,
    /// What costs money there.
    pub billing: BillingMode,
    /// What it costs, as far as known.
    pub prices: Prices,
}

/// Which repeated requests prefer one endpoint, so that its prompt cache hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Affinity {
    /// None.
    #[default]
    None,
    /// Those of one user.
    User,
    /// Those with the same `prompt_cache_key`.
    PromptCacheKey,
}

/// What a backend charges for, and so whether probing it is cheap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BillingMode {
    /// Tokens: a one-token probe costs next to nothing.
    #[default]
    PerToken,
    /// Requests: it is never probed at cost.
    PerRequest,
}

/// What a backend costs, in US dollars; absent where unknown.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Prices {
    /// Per million input tokens.
    pub input: Option<f64>,
    /// Per million output tokens.
    pub output: Option<f64>,
    /// Per million input tokens that the provider had cached.
    pub cached_input: Option<f64>,
    /// Per million input tokens that the provider put into its cache.
    pub cache_write: Option<f64>,
    /// Per request.
    pub request: Option<f64>,
}
