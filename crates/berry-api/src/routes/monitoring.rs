//! The same information for a status page: public, and without secrets.
//!
//! `/monitoring/health` is [`health::summary`](super::health::summary) under another name.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use berry_loadbalance::STRATEGIES;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::routes::admin;
use crate::routes::disclosure::Disclosure;
use crate::routes::overview::{BackendView, Overview, milliseconds, success_rate};

/// What there is, and where.
const PAGES: [(&str, &str); 4] = [
    ("info", "/monitoring/info"),
    ("model_weights", "/monitoring/model-weights"),
    ("performance", "/monitoring/performance"),
    ("health", "/monitoring/health"),
];

/// `GET /monitoring`
pub(crate) async fn index(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    let pages = PAGES.map(|(name, path)| (name.to_owned(), path.into()));
    Json(json!({
        "status": overview.status(),
        "endpoints": Value::Object(pages.into_iter().collect()),
        "timestamp": overview.moment.timestamp(),
    }))
}

/// `GET /monitoring/info`
pub(crate) async fn info(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    let strategies = STRATEGIES.iter();
    let strategies =
        strategies.map(|entry| json!({ "name": entry.name, "description": entry.description }));
    Json(json!({
        "name": "Berry API",
        "version": env!("CARGO_PKG_VERSION"),
        "status": overview.status(),
        "uptime_seconds": overview.uptime.as_secs(),
        "total_providers": overview.config.providers.len(),
        "total_models": overview.config.models.len(),
        "strategies": strategies.collect::<Vec<_>>(),
        "timestamp": overview.moment.timestamp(),
    }))
}

/// `GET /monitoring/model-weights`
pub(crate) async fn model_weights(
    State(gateway): State<Arc<Gateway>>,
    disclosure: Disclosure,
) -> Json<Value> {
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    let named = overview.models.iter().filter(|_| disclosure.names());
    let mut shown = admin::weights(&overview, &named.collect::<Vec<_>>());
    shown["total_models"] = overview.models.len().into();
    Json(shown)
}

/// `GET /monitoring/performance`
pub(crate) async fn performance(
    State(gateway): State<Arc<Gateway>>,
    disclosure: Disclosure,
) -> Json<Value> {
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    let (requests, successes) = overview.attempts();
    let named = overview.models.iter().filter(|_| disclosure.names());
    let models = named.map(|view| {
        let shown = json!({
            "name": view.model.name.as_str(),
            "selections": view.selections(),
            "average_latency_ms": view.average_latency().map(milliseconds),
            "backends": view.backends.iter().map(speed).collect::<Vec<_>>(),
        });
        (view.model.key.to_string(), shown)
    });
    Json(json!({
        "total_requests": requests,
        "successful_requests": successes,
        "success_rate": success_rate(requests, successes),
        "models": Value::Object(models.collect()),
        "load_balancer": overview.selections(),
        "timestamp": overview.moment.timestamp(),
    }))
}

fn speed(view: &BackendView<'_>) -> Value {
    let tally = view.tally();
    let endpoint = view.endpoint.as_ref();
    json!({
        "provider": view.backend.provider.id.as_str(),
        "model": view.backend.model,
        "healthy": view.healthy(),
        "latency_ms": view.latency().map(milliseconds),
        "in_flight": endpoint.map_or(0, |endpoint| endpoint.signals.in_flight),
        "requests": tally.attempts,
        "errors": tally.failures,
        "success_rate": success_rate(tally.attempts, tally.attempts - tally.failures),
    })
}
