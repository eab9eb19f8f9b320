//! The routes, readable as documentation.

use std::sync::Arc;

use axum::Router;
use axum::extract::OriginalUri;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get, post};
use berry_relay::Operation;
use http::Method;
use http::header::{HeaderName, RETRY_AFTER};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::routes::{
    admin, health, index, inference, metrics, models, monitoring, reload_config, responses,
    smart_ai,
};

/// Makes the router.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    v1().merge(ours(&gateway))
        .fallback(unknown)
        .with_state(gateway)
}

/// Makes the router for requests that say which web page they come from.
pub(crate) fn browser_router(gateway: Arc<Gateway>) -> Router {
    v1().layer(cors())
        .merge(ours(&gateway))
        .fallback(unknown)
        .with_state(gateway)
}

/// OpenAI's API.
fn v1() -> Router<Arc<Gateway>> {
    let mut router = Router::new();
    for operation in Operation::ALL {
        let path = format!("/v1{}", operation.path());
        router = router.route(&path, only_post(inference::route(operation)));
    }
    router
        .route("/v1/responses/{id}", responses::itself())
        .route("/v1/responses/{id}/cancel", responses::cancel())
        .route("/v1/responses/{id}/input_items", responses::input_items())
        .route("/v1/models", only_get(get(models::list)))
        .route("/v1/models/{*id}", only_get(get(models::retrieve)))
        .route("/v1/health", only_get(get(health::v1)))
        .route("/v1/{*rest}", any(unknown))
}

/// Our own pages.
fn ours(gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    Router::new()
        .route("/", only_get(get(index::page)))
        .route("/models", only_get(get(models::list)))
        .route("/health", only_get(get(health::summary)))
        .route("/health/live", only_get(get(health::live)))
        .route("/health/ready", only_get(get(health::ready)))
        .route("/metrics", only_get(get(metrics::show)))
        .route("/smart-ai/weights", only_get(get(smart_ai::weights)))
        .route(
            "/smart-ai/models/{*path}",
            only_get(get(smart_ai::model_weights)),
        )
        .route("/monitoring", only_get(get(monitoring::index)))
        .route("/monitoring/info", only_get(get(monitoring::info)))
        .route(
            "/monitoring/model-weights",
            only_get(get(monitoring::model_weights)),
        )
        .route(
            "/monitoring/performance",
            only_get(get(monitoring::performance)),
        )
        .route("/monitoring/health", only_get(get(health::summary)))
        .nest("/admin", admins(gateway))
}

/// What is under `/admin`. The guard is around all of it, unknown paths included: a route that is
/// added here is closed, and nobody else learns which there are.
fn admins(gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    let guard = from_fn_with_state(Arc::clone(gateway), admin::admins_only);
    Router::new()
        .route("/model-weights", only_get(get(admin::model_weights)))
        .route("/backend-health", only_get(get(admin::backend_health)))
        .route("/system-stats", only_get(get(admin::system_stats)))
        .route("/reload-config", only_post(post(reload_config::reload)))
        .fallback(unknown)
        .layer(guard)
}

async fn unknown(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::unknown_url(uri.path())
}

/// axum answers HEAD wherever it answers GET.
fn only_get(route: MethodRouter<Arc<Gateway>>) -> MethodRouter<Arc<Gateway>> {
    route.fallback(async || ApiError::method_not_allowed("GET, HEAD"))
}

fn only_post(route: MethodRouter<Arc<Gateway>>) -> MethodRouter<Arc<Gateway>> {
    route.fallback(async || ApiError::method_not_allowed("POST"))
}

/// Any origin may call the API, with a token but without cookies.
fn cors() -> CorsLayer {
    let exposed = [
        HeaderName::from_static("x-request-id"),
        RETRY_AFTER,
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed)
}
