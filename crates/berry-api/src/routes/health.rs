//! Health: of the process (`live`), of its readiness (`ready`), and of what it can reach.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use berry_core::config::Provider;
use berry_loadbalance::EndpointView;
use http::StatusCode;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::routes::disclosure::Disclosure;
use crate::routes::moment::Moment;
use crate::routes::overview::{BackendView, Count, ModelView, Overview, mean, milliseconds};

/// `GET /health`
pub(crate) async fn summary(
    State(gateway): State<Arc<Gateway>>,
    disclosure: Disclosure,
) -> Response {
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    let of = |count: Count| json!({ "total": count.total, "healthy": count.healthy, "ratio": count.ratio() });
    let mut body = json!({
        "status": overview.status(),
        "service_running": overview.running,
        "timestamp": overview.moment.timestamp(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": overview.uptime.as_secs(),
        "summary": {
            "provider_health": of(overview.provider_count()),
            "model_health": of(overview.model_count()),
        },
        "providers": {},
        "models": {},
        "unhealthy_backends": [],
        "load_balancer": overview.selections(),
    });
    if disclosure.names() {
        body["providers"] = providers(&overview, disclosure);
        body["models"] = models(&overview);
        body["unhealthy_backends"] = unhealthy_backends(&overview);
    }
    answer(&overview, body)
}

/// `GET /v1/health`
pub(crate) async fn v1(State(gateway): State<Arc<Gateway>>) -> Response {
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    let of = |count: Count| json!({ "total": count.total, "enabled": count.enabled, "healthy": count.healthy });
    let (models, backends) = (overview.model_count(), overview.backend_count());
    let body = json!({
        "status": overview.status(),
        "service_running": overview.running,
        "models_available": models.healthy > 0,
        "summary": {
            "providers": of(overview.provider_count()),
            "models": of(models),
            "backends": {
                "total": backends.total,
                "healthy": backends.healthy,
                "health_ratio": backends.ratio(),
            },
        },
        "timestamp": overview.moment.timestamp(),
        "uptime_seconds": overview.uptime.as_secs(),
    });
    answer(&overview, body)
}

/// `GET /health/live`: the process answers. Nothing else is looked at: a restart mends no provider.
pub(crate) async fn live() -> Response {
    Json(json!({ "status": "alive" })).into_response()
}

/// `GET /health/ready`: new requests are welcome.
pub(crate) async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    if gateway.stopping.is_cancelled() {
        let body = Json(json!({ "status": "draining" }));
        return (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    }
    Json(json!({ "status": "ready" })).into_response()
}

/// An unhealthy gateway says so in its status, too.
fn answer(overview: &Overview<'_>, body: Value) -> Response {
    let status = if overview.status() == "unhealthy" {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(body)).into_response()
}

fn providers(overview: &Overview<'_>, disclosure: Disclosure) -> Value {
    let endpoints = overview.endpoints();
    let providers = overview.config.providers.iter().map(|provider| {
        let own = endpoints
            .iter()
            .filter(|((id, _), _)| *id == provider.id.as_str());
        let own: BTreeMap<&str, &EndpointView<'_>> =
            own.map(|((_, model), view)| (*model, *view)).collect();
        let mut shown = show_provider(provider, &own, overview.moment);
        if disclosure.addresses() {
            shown["base_url"] = provider.base_url.to_string().into();
        }
        (provider.id.to_string(), shown)
    });
    Value::Object(providers.collect())
}

/// Shows a provider with its endpoints by upstream model.
fn show_provider(
    provider: &Provider,
    endpoints: &BTreeMap<&str, &EndpointView<'_>>,
    moment: Moment,
) -> Value {
    let last_probe = endpoints.values().filter_map(|view| view.last_probe).max();
    let healthy = endpoints
        .values()
        .filter(|view| view.signals.healthy())
        .count();
    let attempts: u64 = endpoints.values().map(|view| view.tally.attempts).sum();
    let failures: u64 = endpoints.values().map(|view| view.tally.failures).sum();
    let latency = mean(endpoints.values().filter_map(|view| view.latency));
    let models = endpoints.iter().map(|(model, view)| {
        let shown = json!({
            "healthy": view.signals.healthy(),
            "latency_ms": view.latency.map(milliseconds),
            "failure_count": view.signals.consecutive_failures,
            "requests": view.tally.attempts,
            "errors": view.tally.failures,
            "backend_key": view.endpoint.key().to_string(),
        });
        ((*model).to_owned(), shown)
    });
    json!({
        "name": provider.name,
        "enabled": provider.enabled,
        "healthy": provider.enabled && healthy == endpoints.len(),
        "last_check": last_probe.map(|tick| moment.when(tick)),
        "total_requests": attempts,
        "successful_requests": attempts - failures,
        "failed_requests": failures,
        "average_latency_ms": latency.map(milliseconds),
        "total_models": endpoints.len(),
        "healthy_models": healthy,
        "models": Value::Object(models.collect()),
    })
}

fn models(overview: &Overview<'_>) -> Value {
    let models = overview.models.iter().map(|view| {
        let ModelView {
            model, backends, ..
        } = view;
        let count = view.count();
        let shown = json!({
            "name": model.name.as_str(),
            "strategy": model.strategy,
            "enabled": model.enabled,
            "total_backends": count.total,
            "healthy_backends": count.healthy,
            "health_ratio": count.ratio(),
            "backends": backends.iter().map(show_backend).collect::<Vec<_>>(),
        });
        (model.key.to_string(), shown)
    });
    Value::Object(models.collect())
}

fn show_backend(view: &BackendView<'_>) -> Value {
    json!({
        "provider": view.backend.provider.id.as_str(),
        "model": view.backend.model,
        "weight": view.backend.weight,
        "priority": view.backend.priority,
        "healthy": view.healthy(),
        "enabled": view.enabled(),
        "latency_ms": view.latency().map(milliseconds),
        "failure_count": view.consecutive_failures(),
        "backend_key": view.key(),
    })
}

/// Lists what selection avoids, since when, and what was done to bring it back.
fn unhealthy_backends(overview: &Overview<'_>) -> Value {
    let moment = overview.moment;
    let endpoints = overview.endpoints();
    let unhealthy = endpoints.values().filter(|view| !view.signals.healthy());
    let shown = unhealthy.map(|view| {
        let tally = view.tally;
        let trial = tally.last_trial;
        json!({
            "backend_key": view.endpoint.key().to_string(),
            "failure_count": view.signals.consecutive_failures,
            "first_failure": view.failures.map(|(first, _)| moment.when(first)),
            "last_failure": view.failures.map(|(_, last)| moment.when(last)),
            "recovery_attempts": tally.trials,
            "last_recovery_attempt": trial.map(|tick| moment.now.saturating_since(tick).as_secs()),
        })
    });
    shown.collect()
}
