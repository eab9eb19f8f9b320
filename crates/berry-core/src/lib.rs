//! What Berry is told, and whom it serves: configuration, identity and access.
//!
//! A [`Source`] becomes a [`Config`], or every finding about it at once ([`Diagnostics`]); an
//! [`Authenticator`] turns a token into a [`User`]; a user says which models and backends are
//! open to them. [`ErrorBody`] and [`ModelList`] are the wire shapes Berry writes itself.
//!
//! There is no runtime, socket or clock in this crate, and it knows neither what a strategy does
//! nor how a provider speaks: the crates that implement those hand in their names
//! ([`Vocabulary`]).

pub mod auth;
pub mod color;
pub mod config;
mod heap;
mod histogram;
pub mod limit;
pub mod name;
pub mod openai;
mod secret;
mod tick;

pub use auth::{AuthError, Authenticator, CredentialError, TokenDigest};
pub use config::{
    Backend, Config, Diagnostics, Loaded, Model, Provider, Settings, Source, Term, User,
    Vocabulary, scenario::Scenario,
};
pub use heap::on_heap;
pub use histogram::{Distribution, Histogram};
pub use name::{ModelName, ProviderName, Tag, UserName};
pub use openai::{ErrorBody, ErrorKind, ModelList, ModelObject};
pub use secret::Secret;
pub use tick::Tick;
