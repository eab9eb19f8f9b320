//! What surrounds every request, whatever its route: an id, a guard against our own bugs, and a
//! log line.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use http::header::{HeaderName, HeaderValue, ORIGIN};
use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tower_service::Service;
use tracing::error;
use uuid::Uuid;

use crate::access_log;
use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::router::{browser_router, router};

/// The header that names a request in both directions.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken over from a client.
const LONGEST_ID: usize = 128;

/// A request's name in logs and answers.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the client's own id if it is a sane one, else makes one that sorts by time.
    fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&HeaderValue| {
            let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
            (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(allowed)
        };
        headers
            .get(X_REQUEST_ID)
            .filter(sane)
            .cloned()
            .map_or_else(Self::new, Self)
    }

    fn new() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text = Uuid::now_v7().as_hyphenated().encode_lower(&mut buffer);
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown")))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Where a request comes from, when, and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) id: RequestId,
    pub(crate) peer: SocketAddr,
    pub(crate) began: Instant,
}

/// Marks an answer whose log line is written when its body ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogsItself;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    router: Router,
    /// For requests from web pages, which need CORS headers. Others are spared them.
    browser_router: Router,
}

impl Frame {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Self {
        Self {
            router: router(Arc::clone(gateway)),
            browser_router: browser_router(Arc::clone(gateway)),
        }
    }

    /// Answers a request.
    pub(crate) async fn serve(
        &self,
        mut request: Request<Body>,
        peer: SocketAddr,
    ) -> Response<Body> {
        let began = Instant::now();
        let id = RequestId::of(request.headers());
        request.extensions_mut().insert(Arrival {
            id: id.clone(),
            peer,
            began,
        });
        let line = (request.method().clone(), request.uri().clone());
        let from_page = request.headers().contains_key(ORIGIN);
        let mut router = if from_page {
            &self.browser_router
        } else {
            &self.router
        }
        .clone();
        let answered = AssertUnwindSafe(router.call(request)).catch_unwind().await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Err(_panic) => {
                error!(request_id = id.as_str(), "request handler panicked");
                ApiError::internal().into_response()
            }
        };
        if response.extensions().get::<LogsItself>().is_none() {
            let (method, uri) = line;
            access_log::finished(&id, &method, uri.path(), response.status(), began.elapsed());
        }
        response.headers_mut().insert(X_REQUEST_ID, id.0);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sent: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_str(sent).unwrap());
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn a_sane_id_of_the_client_is_kept() {
        assert_eq!(id("req-1_2.3:4"), "req-1_2.3:4");
    }

    #[test]
    fn any_other_id_is_replaced() {
        for sent in ["", "a b", "{\"x\":1}", &"x".repeat(129)] {
            assert_eq!(id(sent).len(), 36, "{sent}");
        }
    }
}
