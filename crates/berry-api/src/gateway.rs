//! What every handler sees of the process.

use std::net::SocketAddr;
use std::sync::Arc;

use berry_core::User;
use berry_core::auth::credential;
use berry_loadbalance::Clock;
use berry_relay::{Relay, Route, Snapshot};
use http::HeaderMap;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::error::ApiError;

/// Lives as long as the process; handlers share it.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) relay: Relay,
    pub(crate) clock: Clock,
    /// Says when the process is draining.
    pub(crate) stopping: CancellationToken,
    /// Says when what has not ended is cut off.
    pub(crate) cut: CancellationToken,
}

impl Gateway {
    /// Finds out who sends a request. Why one is refused is in the log and nowhere else.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<Arc<User>, ApiError> {
        let address = peer.ip();
        let refused = |reason: &dyn std::fmt::Display| {
            warn!(%reason, peer = %address, "Authentication failed");
        };
        let token = credential(headers).inspect_err(|reason| refused(reason))?;
        let user = self
            .snapshot
            .authenticator
            .authenticate(token, address, Timestamp::now());
        Ok(user.inspect_err(|reason| refused(reason))?)
    }

    /// Finds the model that a user asks for, if the user may have it.
    ///
    /// A restricted user learns the same of a forbidden model and of one that does not exist.
    pub(crate) fn route(&self, user: &User, model: &str) -> Result<&Arc<Route>, ApiError> {
        match self.snapshot.route(model) {
            Some(route) if user.may_use(&route.model) => Ok(route),
            None if !user.is_restricted() => Err(ApiError::model_not_found(model)),
            _ => Err(ApiError::model_access_denied(model)),
        }
    }
}
