//! What surrounds every request, whatever its route: an id, a guard against our own bugs, a count
//! and a log line.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::response::IntoResponse;
use berry_core::UserName;
use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode, Uri};
use tower_service::Service;
use tracing::error;

use crate::access_log;
use crate::arrival::{Arrival, LogsItself, RequestId, Sender, Who, X_REQUEST_ID};
use crate::audit::{Action, Event};
use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::router::{Routers, is_for_admins};
use crate::telemetry::label::CLIENT_LEFT;
use crate::telemetry::traffic::Visit;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    routers: Routers,
    gateway: Arc<Gateway>,
}

impl Frame {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Self {
        Self {
            routers: Routers::new(gateway),
            gateway: Arc::clone(gateway),
        }
    }

    /// Answers a request.
    pub(crate) async fn serve(
        &self,
        mut request: Request<Body>,
        peer: SocketAddr,
    ) -> Response<Body> {
        let visit = Visit::begin(
            &self.gateway.traffic,
            request.uri().path(),
            request.method(),
        );
        let id = RequestId::of(request.headers());
        let sender: Option<Arc<OnceLock<Sender>>> = self.gateway.audit.is_on().then(Arc::default);
        request.extensions_mut().insert(Arrival {
            id: id.clone(),
            peer,
            visit: visit.clone(),
            sender: sender.clone(),
        });
        let mut entry = Entry {
            gateway: &self.gateway,
            method: request.method().clone(),
            uri: request.uri().clone(),
            id,
            visit,
            sender,
            is_told: false,
        };
        let mut router = self.routers.of(&request);
        let work = AssertUnwindSafe(router.call(request)).catch_unwind();
        let answered = entry.visit.stopwatch.around(work).await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Err(_panic) => {
                error!(request_id = entry.id.as_str(), "request handler panicked");
                ApiError::internal().into_response()
            }
        };
        if response.extensions().get::<LogsItself>().is_none() {
            let status = response.status();
            // A user's own limits are refused before anything is relayed.
            if status == StatusCode::TOO_MANY_REQUESTS {
                entry.visit.rate_limited();
            }
            entry.tell(status.as_u16());
        }
        entry.is_told = true;
        let id = entry.id.clone().into_header();
        response.headers_mut().insert(X_REQUEST_ID, id);
        response
    }
}

/// A request that nobody has answered for yet. A client that leaves drops it.
struct Entry<'a> {
    gateway: &'a Gateway,
    method: Method,
    uri: Uri,
    id: RequestId,
    visit: Visit,
    sender: Option<Arc<OnceLock<Sender>>>,
    /// It was told what came of it, or will be by the record of what is relayed.
    is_told: bool,
}

impl Entry<'_> {
    /// Counts the request, and tells the logs what came of it.
    fn tell(&self, status: u16) {
        self.visit.ended(status);
        let elapsed = self.visit.elapsed();
        access_log::finished(&self.id, &self.method, self.uri.path(), status, elapsed);
        if let Some(sender) = self.sender.as_ref().and_then(|sender| sender.get()) {
            self.audit(sender, status);
        }
    }

    /// Notes for auditors what a known user did, or that somebody was refused.
    fn audit(&self, sender: &Sender, status: u16) {
        let (method, path) = (&self.method, self.uri.path());
        let status = status.to_string();
        let (user_id, action, result) = match &sender.who {
            Who::Refused(reason) => (None, Action::Authenticate, reason),
            Who::User(id) if is_for_admins(path) => (Some(id), Action::Admin, &status),
            Who::User(id) => (Some(id), Action::Request, &status),
        };
        let model = sender.model.get().map(|model| format!(" {model}"));
        self.gateway.audit.record(Event {
            user_id: user_id.map(UserName::as_str),
            action,
            resource: &format!("{method} {path}{}", model.unwrap_or_default()),
            result,
            ip_address: Some(sender.address),
            request_id: Some(self.id.as_str()),
        });
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        // The record of what is relayed is dropped first, and tells it better.
        if !self.is_told && !self.visit.has_ended() {
            self.tell(CLIENT_LEFT);
        }
    }
}
