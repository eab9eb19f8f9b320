//! What operators ask of balancing. Who may ask is decided once, in front of all these routes.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{Json, Response};
use berry_core::config::Settings;
use serde_json::{Map, Value, json};

use crate::arrival::Arrival;
use crate::error::ApiError;
use crate::exposure;
use crate::gateway::{Gateway, authenticate};
use crate::query::{Parameter, Parameters};
use crate::routes::overview::{
    BackendView, ModelView, Overview, errors_by_kind, milliseconds, success_rate,
};

/// Lets admins pass, and nobody else; routes find the admin among the extensions.
pub(crate) async fn admins_only(
    State(gateway): State<Arc<Gateway>>,
    Extension(arrival): Extension<Arrival>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let user = authenticate(&gateway.snapshot(), request.headers(), &arrival);
    let user = user.map_err(|_| ApiError::admin_unauthenticated())?;
    if !user.is_admin() {
        return Err(ApiError::admin_required());
    }
    request.extensions_mut().insert(user);
    Ok(next.run(request).await)
}

/// `GET /admin/model-weights`, of all models where none is named.
pub(crate) async fn model_weights(
    State(gateway): State<Arc<Gateway>>,
    query: Parameters,
) -> Result<Json<Value>, ApiError> {
    let [model] = query.named(["model"])?;
    let model = model.map(Parameter::into_value);
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    let chosen = match model.as_deref() {
        None => overview.models.iter().collect(),
        Some(name) => {
            let found = overview.model(name);
            vec![found.ok_or_else(|| ApiError::model_not_found(name))?]
        }
    };
    Ok(Json(weights(&overview, &chosen)))
}

/// Shows what selection weighs these models' backends by.
pub(crate) fn weights(overview: &Overview<'_>, models: &[&ModelView<'_>]) -> Value {
    let shown = models.iter().map(|view| {
        let model = view.model;
        let shown = json!({
            "model_name": model.key.as_str(),
            "display_name": model.name.as_str(),
            "strategy": model.strategy,
            "enabled": model.enabled,
            "total_effective_weight": view.total_effective_weight(),
            "backends": view.backends.iter().map(weight).collect::<Vec<_>>(),
        });
        (model.key.to_string(), shown)
    });
    let shown: Map<String, Value> = shown.collect();
    json!({
        "total_models": shown.len(),
        "models": shown,
        "timestamp": overview.moment.timestamp(),
    })
}

fn weight(view: &BackendView<'_>) -> Value {
    let backend = view.backend;
    json!({
        "provider": backend.provider.id.as_str(),
        "model": backend.model,
        "original_weight": backend.weight,
        "effective_weight": view.effective_weight(),
        "is_healthy": view.healthy(),
        "is_enabled": view.enabled(),
        "priority": backend.priority,
        "tags": view.tags(),
        "billing_mode": view.billing_mode(),
        "failure_count": view.consecutive_failures(),
    })
}

/// `GET /admin/backend-health`
pub(crate) async fn backend_health(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    let models = overview.models.iter().map(|view| {
        let backends = view.backends.iter();
        let shown = json!({
            "model_name": view.model.key.as_str(),
            "display_name": view.model.name.as_str(),
            "enabled": view.model.enabled,
            "backends": backends.map(|view| health(view, &overview, &snapshot.config.settings)).collect::<Vec<_>>(),
        });
        (view.model.key.to_string(), shown)
    });
    Json(json!({
        "backend_health": Value::Object(models.collect()),
        "timestamp": overview.moment.timestamp(),
    }))
}

fn health(view: &BackendView<'_>, overview: &Overview<'_>, settings: &Settings) -> Value {
    let (backend, tally) = (view.backend, view.tally());
    let endpoint = view.endpoint.as_ref();
    let breaker = endpoint.map_or_else(|| "closed".to_owned(), |view| view.breaker.to_string());
    let last_error = tally
        .last_failure
        .map(|(tick, kind)| json!({ "kind": kind.as_str(), "at": overview.moment.when(tick) }));
    json!({
        "provider": backend.provider.id.as_str(),
        "model": backend.model,
        "api_key": exposure::key(settings, &backend.provider.api_key),
        "enabled": view.enabled(),
        "is_healthy": view.healthy(),
        "failure_count": view.consecutive_failures(),
        "is_in_unhealthy_list": endpoint.is_some() && !view.healthy(),
        "circuit_breaker": breaker,
        "consecutive_failures": view.consecutive_failures(),
        "success_rate": success_rate(tally.attempts, tally.attempts - tally.failures),
        "average_latency_ms": view.latency().map(milliseconds),
        "last_check": endpoint.and_then(|view| view.last_probe).map(|tick| overview.moment.when(tick)),
        "total_requests": tally.attempts,
        "last_error": last_error,
        "error_distribution": errors_by_kind(&tally),
        "tags": view.tags(),
        "priority": backend.priority,
    })
}

/// `GET /admin/system-stats`
pub(crate) async fn system_stats(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    let (providers, models) = (overview.provider_count(), overview.model_count());
    let served = overview.models.iter().filter(|view| view.model.enabled);
    let mut available: Vec<&str> = served.map(|view| view.model.name.as_str()).collect();
    available.sort_unstable();
    let stats = overview.models.iter().map(|view| {
        let count = view.count();
        let shown = json!({
            "strategy": view.model.strategy,
            "enabled": view.model.enabled,
            "total_backends": count.total,
            "healthy_backends": count.healthy,
            "health_ratio": count.ratio(),
            "total_effective_weight": view.total_effective_weight(),
            "selections": view.selections(),
        });
        (view.model.key.to_string(), shown)
    });
    let users = snapshot.config.users.iter().map(|user| {
        let shown = json!({
            "name": &*user.name,
            "enabled": user.enabled,
            "is_admin": user.is_admin(),
        });
        (user.id.to_string(), shown)
    });
    Json(json!({
        "system": {
            "is_running": overview.running,
            "total_models": models.total,
            "available_models": available,
        },
        "health_summary": {
            "total_providers": providers.total,
            "healthy_providers": providers.healthy,
            "total_models": models.total,
            "healthy_models": models.healthy,
            "provider_health_ratio": providers.ratio(),
            "model_health_ratio": models.ratio(),
        },
        "model_stats": Value::Object(stats.collect()),
        "users": Value::Object(users.collect()),
        "timestamp": overview.moment.timestamp(),
    }))
}
