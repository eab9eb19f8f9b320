//! What surrounds every request, whatever its route: an id, a guard against our own bugs, a count
//! and a log line.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use http::header::ORIGIN;
use http::{Request, Response, StatusCode};
use tower_service::Service;
use tracing::error;

use crate::access_log;
use crate::arrival::{Arrival, LogsItself, RequestId, X_REQUEST_ID};
use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::router::{browser_router, router};
use crate::telemetry::traffic::{Traffic, Visit};

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    router: Router,
    /// For requests from web pages, which need CORS headers. Others are spared them.
    browser_router: Router,
    traffic: Arc<Traffic>,
}

impl Frame {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Self {
        Self {
            router: router(Arc::clone(gateway)),
            browser_router: browser_router(Arc::clone(gateway)),
            traffic: Arc::clone(&gateway.traffic),
        }
    }

    /// Answers a request.
    pub(crate) async fn serve(
        &self,
        mut request: Request<Body>,
        peer: SocketAddr,
    ) -> Response<Body> {
        let visit = Visit::begin(&self.traffic, request.uri().path(), request.method());
        let id = RequestId::of(request.headers());
        request.extensions_mut().insert(Arrival {
            id: id.clone(),
            peer,
            visit: visit.clone(),
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
            let (method, uri) = line;
            let status = response.status();
            // A user's own limits are refused before anything is relayed.
            if status == StatusCode::TOO_MANY_REQUESTS {
                visit.rate_limited();
            }
            visit.ended(status.as_u16());
            access_log::finished(&id, &method, uri.path(), status, visit.elapsed());
        }
        response
            .headers_mut()
            .insert(X_REQUEST_ID, id.into_header());
        response
    }
}
