//! Which headers cross the gateway: those listed here, and no others.
//!
//! Credentials, cookies, hop-by-hop headers and an upstream's CORS stay where they are.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};

use crate::arrival::X_REQUEST_ID;

/// From the client to the upstream.
static TO_UPSTREAM: [HeaderName; 6] = [
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// From the upstream to the client.
static TO_CLIENT: [HeaderName; 4] = [
    CONTENT_TYPE,
    RETRY_AFTER,
    HeaderName::from_static("openai-processing-ms"),
    HeaderName::from_static("openai-version"),
];

const X_UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");

/// Returns the client's headers that go on.
pub(crate) fn to_upstream(client: &HeaderMap) -> HeaderMap {
    listed(client, &TO_UPSTREAM)
}

/// Returns the upstream's headers that go on. Its request id gets a name of its own.
pub(crate) fn to_client(upstream: &HeaderMap) -> HeaderMap {
    let mut headers = listed(upstream, &TO_CLIENT);
    // Anthropic's header has the shorter name.
    let id = upstream.get(X_REQUEST_ID).or(upstream.get("request-id"));
    if let Some(id) = id {
        headers.insert(X_UPSTREAM_REQUEST_ID, id.clone());
    }
    headers
}

fn listed(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut found = HeaderMap::new();
    for name in names {
        for value in headers.get_all(name) {
            found.append(name.clone(), value.clone());
        }
    }
    found
}
