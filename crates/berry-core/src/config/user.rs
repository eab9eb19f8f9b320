//! A user as configured: who they are and what they may do.
//!
//! The clear token is not kept, only its digest. How a request proves to be a user's is
//! decided in [`auth`](crate::auth), and so is what the user may use.

use std::num::NonZeroU32;

use ipnet::IpNet;

use crate::auth::TokenDigest;
use crate::name::{ModelName, Tag, UserName};

/// Somebody who may send requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The `x` of `[users.x]`, used in logs and by the admin interface.
    pub id: UserName,
    /// The name for people.
    pub name: Box<str>,
    /// The digest of the token.
    pub token: TokenDigest,
    /// Whether the token is accepted.
    pub enabled: bool,
    /// What the user is allowed beyond others, and which backends are narrowed to.
    pub tags: Vec<Tag>,
    /// Which models the user may use.
    pub allowed_models: AllowedModels,
    /// From where the token is accepted; empty means from everywhere.
    pub allowed_ips: Vec<IpNet>,
    /// From when on the token is refused.
    pub expires_at: Option<jiff::Timestamp>,
    /// How much the user may send.
    pub rate_limit: RateLimit,
}

impl User {
    /// Returns a user whom nothing restricts, for requests that nobody sent.
    pub fn anybody() -> Self {
        let id = UserName::own("nobody");
        Self {
            name: id.as_str().into(),
            id,
            token: TokenDigest::of(""),
            enabled: true,
            tags: Vec::new(),
            allowed_models: AllowedModels::All,
            allowed_ips: Vec::new(),
            expires_at: None,
            rate_limit: RateLimit::default(),
        }
    }
}

/// The models a user may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AllowedModels {
    /// Every model.
    #[default]
    All,
    /// The models of these keys. It may be empty, when every entry of the file is unknown: then
    /// the user may use none.
    Only(Vec<ModelName>),
}

/// How much a user may send; what is absent is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimit {
    /// Requests in any minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Requests in any hour.
    pub requests_per_hour: Option<NonZeroU32>,
    /// Requests in any day.
    pub requests_per_day: Option<NonZeroU32>,
    /// Tokens, of prompts and answers together, in any minute.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Requests at the same time.
    pub max_concurrent_requests: Option<NonZeroU32>,
}
