//! The handle on a running simulated provider.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::behaviour::Behaviour;
use crate::builder::Builder;
use crate::journal::{Recorded, Tally};
use crate::service::Shared;

/// A running simulated provider; dropping it closes its port and its connections.
pub struct Upstream {
    address: SocketAddr,
    ca_pem: Option<String>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Upstream {
    /// Starts a provider on a free port that answers every chat request sensibly.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Returns a provider to be configured and started.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        address: SocketAddr,
        ca_pem: Option<String>,
        shared: Arc<Shared>,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            address,
            ca_pem,
            shared,
            stop,
            tasks,
        }
    }

    /// Returns the base URL, with the version where the protocol has one.
    pub fn url(&self) -> String {
        let scheme = if self.ca_pem.is_some() {
            "https"
        } else {
            "http"
        };
        let path = self.shared.persona.protocol.base_path();
        format!("{scheme}://{}{path}", self.address)
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the certificate, in PEM, that clients must trust; panics without TLS.
    pub fn ca_pem(&self) -> &str {
        self.ca_pem
            .as_deref()
            .expect("a provider started with `tls()`")
    }

    /// Answers this way from now on; what was scripted is dropped.
    pub fn set(&self, behaviour: Behaviour) {
        self.shared.script.lock().set(behaviour);
    }

    /// Answers the next requests so, one behaviour each in order of arrival, then as before.
    pub fn script(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.script.lock().extend(behaviours);
    }

    /// Returns the requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.journal.requests()
    }

    /// Returns all counts at this instant.
    pub fn tally(&self) -> Tally {
        self.shared.journal.tally()
    }

    /// Returns the number of requests so far.
    pub fn request_count(&self) -> usize {
        self.tally().requests
    }

    /// Returns the number of connections accepted so far.
    pub fn connection_count(&self) -> usize {
        self.tally().connections
    }

    /// Returns the number of connections open now.
    pub fn open_connections(&self) -> usize {
        self.tally().open_connections
    }

    /// Returns the number of answers that clients abandoned before their end.
    pub fn cancellation_count(&self) -> usize {
        self.tally().cancellations
    }

    /// Waits until `count` requests have arrived.
    pub async fn wait_for_requests(&self, count: usize) {
        self.wait_until(|tally| tally.requests >= count).await;
    }

    /// Waits until `count` answers have been abandoned by clients.
    pub async fn wait_for_cancellations(&self, count: usize) {
        self.wait_until(|tally| tally.cancellations >= count).await;
    }

    /// Waits until the counts satisfy `condition`.
    pub async fn wait_until(&self, condition: impl FnMut(&Tally) -> bool) {
        self.shared.journal.wait_until(condition).await;
    }

    /// Closes the port and every connection, and waits until they are closed.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("url", &self.url())
            .field("tally", &self.tally())
            .finish_non_exhaustive()
    }
}
