//! `GET /`: what this is, how it is, and where to go.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderMap;
use http::header::ACCEPT;

use crate::gateway::Gateway;
use crate::routes::overview::Overview;

const LINKS: [(&str, &str); 9] = [
    ("/v1/models", "models (needs a token)"),
    ("/health", "health"),
    ("/metrics", "metrics"),
    ("/prometheus", "metrics for Prometheus"),
    ("/smart-ai/weights", "what smart_ai has learned"),
    ("/monitoring", "pages for monitoring"),
    ("/admin/system-stats", "balancing, for admins"),
    ("/health/live", "liveness, for restarts"),
    ("/health/ready", "readiness, for load balancers"),
];

/// Answers HTML, or plain text where that is asked for.
pub(crate) async fn page(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    let status = Overview::of(&gateway, &gateway.snapshot()).status();
    let version = env!("CARGO_PKG_VERSION");
    let accepts = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    if accepts.contains("text/plain") && !accepts.contains("text/html") {
        let links = LINKS
            .map(|(path, what)| format!("{path}  {what}\n"))
            .concat();
        return format!("Berry API {version}\nstatus: {status}\n\n{links}").into_response();
    }
    let item = |(path, what)| format!("<li><a href=\"{path}\"><code>{path}</code></a> {what}</li>");
    let links = LINKS.map(item).concat();
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Berry API</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <style>body{{font:16px/1.5 system-ui;margin:3rem auto;max-width:40rem;padding:0 1rem}}\
         </style></head><body><h1>Berry API</h1><p>version {version}, status <b>{status}</b></p>\
         <ul>{links}</ul></body></html>"
    ))
    .into_response()
}
