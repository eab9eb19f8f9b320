//! What `smart_ai` has learned: confidence, and the weights that follow from it.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Json;
use berry_loadbalance::EndpointView;
use http::Uri;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::query::{Parameter, Parameters};
use crate::routes::disclosure::Disclosure;
use crate::routes::moment::Moment;
use crate::routes::overview::{BackendView, ModelView, Overview, errors_by_kind};

/// The strategy whose models the list has.
const STRATEGY: &str = "smart_ai";
/// The tag of backends that cost more.
const PREMIUM: &str = "premium";

/// What the list is to hold.
#[derive(Debug, Clone, Copy, Default)]
struct Wish {
    /// What was counted of each backend, too.
    detailed: bool,
    /// Nothing that is switched off.
    enabled_only: bool,
}

impl Wish {
    fn read(query: Parameters) -> Result<Self, ApiError> {
        let [detailed, enabled_only] = query.named(["detailed", "enabled_only"])?;
        let is_true = |parameter: Option<Parameter>| {
            let said = parameter.as_ref().map(Parameter::is_true);
            Ok::<_, ApiError>(said.transpose()?.unwrap_or_default())
        };
        Ok(Self {
            detailed: is_true(detailed)?,
            enabled_only: is_true(enabled_only)?,
        })
    }
}

/// `GET /smart-ai/weights`
pub(crate) async fn weights(
    State(gateway): State<Arc<Gateway>>,
    query: Parameters,
    disclosure: Disclosure,
) -> Result<Json<Value>, ApiError> {
    let wish = Wish::read(query)?;
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    let views = overview.models.iter();
    let views = views.filter(|view| view.model.enabled || !wish.enabled_only);
    let smart = views.clone().filter(|view| view.model.strategy == STRATEGY);
    let named = smart.clone().filter(|_| disclosure.names());
    let available = views.filter(|_| disclosure.names()).map(|view| {
        let model = view.model;
        json!({ "key": model.key.as_str(), "name": model.name.as_str(), "enabled": model.enabled })
    });
    Ok(Json(json!({
        "models": named.map(|view| show(view, &overview, wish)).collect::<Vec<_>>(),
        "total_smart_ai_models": smart.count(),
        "available_models": available.collect::<Vec<_>>(),
        "timestamp": overview.moment.timestamp(),
        "settings": { "detailed": wish.detailed, "enabled_only": wish.enabled_only },
    })))
}

/// `GET /smart-ai/models/{key or name}/weights`. A name may contain slashes, escaped or not, so the
/// route takes the rest of the path and finds the end of the name itself.
pub(crate) async fn model_weights(
    State(gateway): State<Arc<Gateway>>,
    path: Result<Path<String>, PathRejection>,
    disclosure: Disclosure,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let unknown = || ApiError::unknown_url(uri.path());
    let Path(path) = path.map_err(|_| unknown())?;
    let name = path.strip_suffix("/weights").ok_or_else(unknown)?;
    let snapshot = gateway.snapshot();
    let overview = Overview::of(&gateway, &snapshot);
    // Whether a model exists is a detail, too.
    let found = overview.model(name).filter(|_| disclosure.names());
    let view = found.ok_or_else(|| ApiError::model_not_found(name))?;
    let everything = Wish {
        detailed: true,
        enabled_only: false,
    };
    Ok(Json(json!({
        "model": show(view, &overview, everything),
        "timestamp": overview.moment.timestamp(),
    })))
}

fn show(view: &ModelView<'_>, overview: &Overview<'_>, wish: Wish) -> Value {
    let model = view.model;
    let backends = view.backends.iter();
    let backends = backends.filter(|view| view.enabled() || !wish.enabled_only);
    json!({
        "name": model.name.as_str(),
        "strategy": model.strategy,
        "enabled": model.enabled,
        "backends": backends.map(|view| backend(view, overview, wish)).collect::<Vec<_>>(),
        "stats": stats(view),
    })
}

fn backend(view: &BackendView<'_>, overview: &Overview<'_>, wish: Wish) -> Value {
    let backend = view.backend;
    // What a backend begins with is what one that does not run would be given.
    let initial = overview.config.settings.smart_ai.initial_confidence;
    let endpoint = view.endpoint.as_ref();
    let mut shown = json!({
        "provider": backend.provider.id.as_str(),
        "model": backend.model,
        "original_weight": backend.weight,
        "effective_weight": view.effective_weight(),
        "confidence": endpoint.map_or(initial, |endpoint| endpoint.signals.confidence),
        "is_premium": is_premium(view),
        "enabled": view.enabled(),
        "tags": view.tags(),
        "billing_mode": view.billing_mode(),
    });
    if let Some(endpoint) = endpoint.filter(|_| wish.detailed) {
        shown["health_details"] = details(endpoint, overview.moment);
    }
    shown
}

fn details(view: &EndpointView<'_>, moment: Moment) -> Value {
    let tally = view.tally;
    let when = |tick| moment.when(tick);
    json!({
        "total_requests": tally.attempts,
        "consecutive_successes": tally.successes_in_a_row,
        "consecutive_failures": view.signals.consecutive_failures,
        "last_request_time": tally.last_attempt.map(when),
        "last_success_time": tally.last_success.map(when),
        "last_failure_time": tally.last_failure.map(|(tick, _)| when(tick)),
        "error_counts": errors_by_kind(&tally),
    })
}

fn stats(view: &ModelView<'_>) -> Value {
    let (count, total) = (view.count(), view.total_effective_weight());
    let confidence: f64 = view
        .endpoints()
        .map(|endpoint| endpoint.signals.confidence)
        .sum();
    let shares = view.backends.iter().map(|view| {
        let share = if total > 0.0 {
            view.effective_weight() / total
        } else {
            0.0
        };
        (view.key(), share.into())
    });
    json!({
        "total_backends": count.total,
        "enabled_backends": count.enabled,
        "healthy_backends": count.healthy,
        "premium_backends": view.backends.iter().filter(|view| is_premium(view)).count(),
        "average_confidence": confidence / count.enabled.max(1) as f64,
        "weight_distribution": Value::Object(shares.collect()),
    })
}

fn is_premium(view: &BackendView<'_>) -> bool {
    view.tags().contains(&PREMIUM)
}
