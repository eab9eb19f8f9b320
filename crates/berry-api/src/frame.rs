//! What surrounds every request, whatever its route: an id, a guard against our own bugs, a count
//! and a log line.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use berry_core::UserName;
use futures_util::FutureExt;
use http::header::ORIGIN;
use http::{Method, Request, Response, StatusCode, Uri};
use tower_service::Service;
use tracing::error;

use crate::access_log;
use crate::arrival::{Arrival, LogsItself, RequestId, Sender, Who, X_REQUEST_ID};
use crate::audit::{Action, Event};
use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::router::{browser_router, router};
use crate::telemetry::traffic::Visit;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    router: Router,
    /// For requests from web pages, which need CORS headers. Others are spared them.
    browser_router: Router,
    gateway: Arc<Gateway>,
}

impl Frame {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Self {
        Self {
            router: router(Arc::clone(gateway)),
            browser_router: browser_router(Arc::clone(gateway)),
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
        let trace = self.gateway.tracer.begin(request.headers(), &visit);
        let id = RequestId::of(request.headers());
        let sender: Option<Arc<OnceLock<Sender>>> = self.gateway.audit.is_on().then(Arc::default);
        request.extensions_mut().insert(Arrival {
            id: id.clone(),
            peer,
            visit: visit.clone(),
            trace: trace.clone(),
            sender: sender.clone(),
        });
        let line = (request.method().clone(), request.uri().clone());
        let from_page = request.headers().contains_key(ORIGIN);
        let mut router = if from_page {
            &self.browser_router
        } else {
            &self.router
        }
        .clone();
        let work = AssertUnwindSafe(router.call(request)).catch_unwind();
        let answered = visit.stopwatch.around(work).await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Err(_panic) => {
                error!(request_id = id.as_str(), "request handler panicked");
                ApiError::internal().into_response()
            }
        };
        if response.extensions().get::<LogsItself>().is_none() {
            let status = response.status();
            // A user's own limits are refused before anything is relayed.
            if status == StatusCode::TOO_MANY_REQUESTS {
                visit.rate_limited();
            }
            visit.ended(status.as_u16());
            if let Some(trace) = trace {
                let tracer = &self.gateway.tracer;
                tracer.answered(&trace, &visit, status.as_u16(), &id);
            }
            access_log::finished(&id, &line.0, line.1.path(), status, visit.elapsed());
            if let Some(sender) = sender.as_ref().and_then(|sender| sender.get()) {
                self.audit(sender, &id, &line, status);
            }
        }
        response
            .headers_mut()
            .insert(X_REQUEST_ID, id.into_header());
        response
    }

    /// Notes for auditors what a known user did, or that somebody was refused.
    fn audit(&self, sender: &Sender, id: &RequestId, line: &(Method, Uri), status: StatusCode) {
        let (method, path) = (&line.0, line.1.path());
        let status = status.as_str();
        let (user_id, action, result) = match &sender.who {
            Who::Refused(reason) => (None, Action::Authenticate, reason.as_str()),
            Who::User(id) if path.starts_with("/admin") => (Some(id), Action::Admin, status),
            Who::User(id) => (Some(id), Action::Request, status),
        };
        self.gateway.audit.record(Event {
            user_id: user_id.map(UserName::as_str),
            action,
            resource: &format!("{method} {path}"),
            result,
            ip_address: Some(sender.address),
            request_id: Some(id.as_str()),
        });
    }
}
