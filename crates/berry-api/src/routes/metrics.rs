//! `GET /metrics`: the totals, for programs that read JSON; Prometheus gets its own page here too.
//!
//! Requests are counted as upstreams see them: an attempt that failed and was saved by another
//! backend is in `total_requests` twice, and once in `successful_requests`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::routes::disclosure::Disclosure;
use crate::routes::overview::{Count, ModelView, Overview, success_rate};
use crate::routes::prometheus;
use crate::telemetry::exposition::Form;

/// The route's handler.
pub(crate) async fn show(
    State(gateway): State<Arc<Gateway>>,
    disclosure: Disclosure,
    headers: HeaderMap,
) -> Response {
    match Form::wanted(&headers) {
        Some(form) => prometheus::page(&gateway, disclosure, form),
        None => totals(&gateway, disclosure).into_response(),
    }
}

fn totals(gateway: &Gateway, disclosure: Disclosure) -> Json<Value> {
    let snapshot = gateway.snapshot();
    let overview = Overview::of(gateway, &snapshot);
    let of = |count: Count| json!({ "total": count.total, "healthy": count.healthy, "health_ratio": count.ratio() });
    let reloads = gateway.snapshots.reckoning();
    let (requests, successes) = overview.attempts();
    let mut models = of(overview.model_count());
    let details = overview.models.iter().filter(|_| disclosure.names());
    models["details"] = Value::Object(details.map(detail).collect());
    Json(json!({
        "status": overview.status(),
        "service": {
            "running": overview.running,
            "total_requests": requests,
            "successful_requests": successes,
            "success_rate": success_rate(requests, successes),
        },
        "providers": of(overview.provider_count()),
        "models": models,
        "load_balancer": overview.selections(),
        "config": {
            "generation": reloads.generation,
            "last_reload_refused": reloads.last_refused,
            "refused_reloads": reloads.refusals,
        },
        "audit": { "lost": gateway.audit.loss().count() },
        "timestamp": overview.moment.timestamp(),
    }))
}

fn detail(view: &ModelView<'_>) -> (String, Value) {
    let count = view.count();
    let latency = view
        .average_latency()
        .map(|latency| json!({ "secs": latency.as_secs(), "nanos": latency.subsec_nanos() }));
    let shown = json!({
        "healthy_backends": count.healthy,
        "total_backends": count.total,
        "health_ratio": count.ratio(),
        "average_latency": latency,
    });
    (view.model.key.to_string(), shown)
}
