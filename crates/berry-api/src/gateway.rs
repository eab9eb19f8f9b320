//! What every handler sees of the process.

use std::sync::Arc;

use berry_core::User;
use berry_core::auth::{client_address, credential};
use berry_core::limit::{InFlight, Place};
use berry_loadbalance::{Clock, Totals};
use berry_relay::{Relay, Route, Snapshot};
use http::HeaderMap;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::arrival::{Arrival, Who};
use crate::audit::Audit;
use crate::error::ApiError;
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::reload::Reloads;
use crate::server::Seat;
use crate::snapshots::Snapshots;
use crate::tasks::Grace;
use crate::telemetry::loss::Loss;
use crate::telemetry::trace::Tracer;
use crate::telemetry::traffic::Traffic;

/// Lives as long as the process; handlers share it.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) snapshots: Snapshots,
    pub(crate) reloads: Reloads,
    pub(crate) relay: Relay,
    pub(crate) clock: Clock,
    /// What was counted of all upstreams, whatever reloads have made of them.
    pub(crate) totals: Arc<Totals>,
    pub(crate) audit: Audit,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) tracer: Tracer,
    pub(crate) ledger: Ledger,
    /// What telemetry could not write.
    pub(crate) losses: Vec<Loss>,
    pub(crate) in_flight: InFlight,
    pub(crate) memory: Memory,
    /// Says when the process is draining.
    pub(crate) stopping: CancellationToken,
    /// Says when what has not ended must.
    pub(crate) grace: Grace,
}

impl Gateway {
    /// Returns the configuration as it is now. A handler asks once: its request is served by one
    /// configuration from beginning to end.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.current()
    }

    /// Lets a request that is to be relayed in, before its body is read. Pages of our own are not
    /// counted: health and admin routes answer however much is going on.
    pub(crate) fn enter(&self, snapshot: &Snapshot, seat: Seat) -> Result<Place, ApiError> {
        if seat == Seat::Reserve || self.memory.is_short() {
            return Err(ApiError::overloaded());
        }
        let most = snapshot.config.settings.max_inflight_requests;
        self.in_flight.enter(most).ok_or_else(ApiError::overloaded)
    }
}

/// Finds out who sends a request. Why one is refused is in the logs and nowhere else.
pub(crate) fn authenticate(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    arrival: &Arrival,
) -> Result<Arc<User>, ApiError> {
    let trusted = &snapshot.config.settings.trusted_proxies;
    let address = client_address(headers, arrival.peer.ip(), trusted);
    let refused = |reason: &dyn std::fmt::Display| {
        warn!(%reason, peer = %address, "Authentication failed");
        arrival.is_from(address, || Who::Refused(reason.to_string()));
    };
    let token = credential(headers).inspect_err(|reason| refused(reason))?;
    let user = snapshot
        .authenticator
        .authenticate(token, address, Timestamp::now);
    let user = user.inspect_err(|reason| refused(reason))?;
    arrival.is_from(address, || Who::User(user.id.clone()));
    Ok(user)
}

/// Finds the model that a user asks for, if the user may have it.
///
/// A restricted user learns the same of a forbidden model and of one that does not exist.
pub(crate) fn route<'a>(
    snapshot: &'a Snapshot,
    user: &User,
    model: &str,
) -> Result<&'a Arc<Route>, ApiError> {
    match snapshot.route(model) {
        Some(route) if user.may_use(&route.model) => Ok(route),
        None if !user.is_restricted() => Err(ApiError::model_not_found(model)),
        _ => Err(ApiError::model_access_denied(model)),
    }
}
