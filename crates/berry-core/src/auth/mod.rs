//! Who sends a request, and what they may use.
//!
//! In the order a request meets them: [`credential()`] finds the token in its headers,
//! [`Authenticator`] finds the user of the token, and the user's
//! [`may_use`](crate::User::may_use) and [`may_use_backend`](crate::User::may_use_backend) decide
//! about models and backends. Where proxies stand in front, [`client_address()`] says where it
//! comes from. Every refusal of a token looks the same to the client; why it was
//! refused is for the log.

mod access;
mod authenticator;
mod credential;
mod forwarded;

pub use authenticator::{AuthError, Authenticator, TokenDigest};
pub use credential::{CredentialError, credential};
pub use forwarded::client_address;
