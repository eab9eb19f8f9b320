//! Health: of the process (`live`), of its readiness (`ready`), and of what it can reach.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use http::StatusCode;
use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use crate::gateway::Gateway;

/// How many there are, how many of them are switched on, how many of those work.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    total: usize,
    enabled: usize,
    healthy: usize,
}

impl Count {
    fn ratio(self) -> f64 {
        if self.enabled == 0 {
            0.0
        } else {
            self.healthy as f64 / self.enabled as f64
        }
    }
}

/// What works at one instant, by the very signals that selection uses.
#[derive(Debug)]
pub(crate) struct Health {
    providers: Count,
    models: Count,
    backends: Count,
}

impl Health {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        let (now, config) = (gateway.clock.now(), &gateway.snapshot.config);
        let mut models = Count {
            total: config.models.len(),
            ..Count::default()
        };
        let mut backends = Count::default();
        // A provider without an endpoint has given no reason to doubt it.
        let enabled = config.providers.iter().filter(|provider| provider.enabled);
        let mut providers: BTreeMap<&str, bool> = enabled
            .map(|provider| (provider.id.as_str(), true))
            .collect();
        for model in &config.models {
            backends.total += model.backends.len();
        }
        for route in &gateway.snapshot.routes {
            models.enabled += 1;
            models.healthy += usize::from(route.pool.usable(now) > 0);
            for endpoint in route.pool.endpoints() {
                let healthy = route.pool.signals(endpoint, now).healthy();
                backends.enabled += 1;
                backends.healthy += usize::from(healthy);
                providers
                    .entry(endpoint.key().provider.as_str())
                    .and_modify(|all| *all &= healthy);
            }
        }
        let providers = Count {
            total: config.providers.len(),
            enabled: providers.len(),
            healthy: providers.values().filter(|healthy| **healthy).count(),
        };
        Self {
            providers,
            models,
            backends,
        }
    }

    /// Returns `healthy`, `degraded` or `unhealthy`.
    pub(crate) fn status(&self) -> &'static str {
        if self.models.enabled == 0 {
            return "degraded";
        }
        match (
            self.models.healthy,
            self.backends.healthy == self.backends.enabled,
        ) {
            (0, _) => "unhealthy",
            (healthy, true) if healthy == self.models.enabled => "healthy",
            _ => "degraded",
        }
    }

    /// An unhealthy gateway says so in its status, too.
    fn answer(&self, body: Value) -> Response {
        let unhealthy = self.status() == "unhealthy";
        let status = if unhealthy {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        (status, Json(body)).into_response()
    }
}

/// `GET /health`
pub(crate) async fn summary(State(gateway): State<Arc<Gateway>>) -> Response {
    let health = Health::of(&gateway);
    let of = |count: Count| json!({ "total": count.total, "healthy": count.healthy, "ratio": count.ratio() });
    health.answer(json!({
        "status": health.status(),
        "service_running": true,
        "timestamp": timestamp(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": gateway.clock.uptime().as_secs(),
        "summary": { "provider_health": of(health.providers), "model_health": of(health.models) },
    }))
}

/// `GET /v1/health`
pub(crate) async fn v1(State(gateway): State<Arc<Gateway>>) -> Response {
    let health = Health::of(&gateway);
    let of = |count: Count| json!({ "total": count.total, "enabled": count.enabled, "healthy": count.healthy });
    let backends = health.backends;
    health.answer(json!({
        "status": health.status(),
        "service_running": true,
        "models_available": health.models.healthy > 0,
        "summary": {
            "providers": of(health.providers),
            "models": of(health.models),
            "backends": {
                "total": backends.total,
                "healthy": backends.healthy,
                "health_ratio": backends.ratio(),
            },
        },
        "timestamp": timestamp(),
        "uptime_seconds": gateway.clock.uptime().as_secs(),
    }))
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

/// The time of day, in RFC 3339.
fn timestamp() -> String {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now).to_string()
}
