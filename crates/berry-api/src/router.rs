//! The routes, readable as documentation.

use std::borrow::Cow;
use std::future::ready;
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
    admin, health, index, inference, metrics, models, monitoring, prometheus, rate_limit_usage,
    reload_config, responses, smart_ai, usage,
};

/// Everything below it is for admins.
const ADMIN: &str = "/admin";

/// axum answers HEAD wherever it answers GET.
const GET: &str = "GET, HEAD";
const POST: &str = "POST";

/// One path and who answers it.
struct Route {
    path: Cow<'static, str>,
    /// The methods it has, as the header `Allow` lists them.
    allow: &'static str,
    handler: MethodRouter<Arc<Gateway>>,
}

impl Route {
    fn new(
        allow: &'static str,
        path: impl Into<Cow<'static, str>>,
        handler: MethodRouter<Arc<Gateway>>,
    ) -> Self {
        Self {
            path: path.into(),
            allow,
            handler: handler.fallback(move || ready(ApiError::method_not_allowed(allow))),
        }
    }
}

/// Every route there is. What surrounds one follows from its path alone, in [`assemble`].
fn table() -> Vec<Route> {
    let operations = Operation::ALL.into_iter().map(|operation| {
        let path = format!("/v1{}", operation.path());
        Route::new(POST, path, inference::route(operation))
    });
    let others = [
        (
            "GET, HEAD, DELETE",
            "/v1/responses/{id}",
            responses::itself(),
        ),
        (POST, "/v1/responses/{id}/cancel", responses::cancel()),
        (
            GET,
            "/v1/responses/{id}/input_items",
            responses::input_items(),
        ),
        (GET, "/v1/models", get(models::list)),
        (GET, "/v1/models/{*id}", get(models::retrieve)),
        (GET, "/v1/health", get(health::v1)),
        (GET, "/", get(index::page)),
        (GET, "/models", get(models::list)),
        (GET, "/health", get(health::summary)),
        (GET, "/health/live", get(health::live)),
        (GET, "/health/ready", get(health::ready)),
        (GET, "/metrics", get(metrics::show)),
        (GET, "/prometheus", get(prometheus::show)),
        (GET, "/smart-ai/weights", get(smart_ai::weights)),
        (
            GET,
            "/smart-ai/models/{*path}",
            get(smart_ai::model_weights),
        ),
        (GET, "/monitoring", get(monitoring::index)),
        (GET, "/monitoring/info", get(monitoring::info)),
        (
            GET,
            "/monitoring/model-weights",
            get(monitoring::model_weights),
        ),
        (GET, "/monitoring/performance", get(monitoring::performance)),
        (GET, "/monitoring/health", get(health::summary)),
        (GET, "/admin/model-weights", get(admin::model_weights)),
        (GET, "/admin/backend-health", get(admin::backend_health)),
        (GET, "/admin/system-stats", get(admin::system_stats)),
        (GET, "/admin/rate-limit-usage", get(rate_limit_usage::show)),
        (GET, "/admin/usage", get(usage::show)),
        (POST, "/admin/reload-config", post(reload_config::reload)),
    ];
    let others = others.map(|(allow, path, handler)| Route::new(allow, path, handler));
    operations.chain(others).collect()
}

/// Returns every route: its methods, as the header `Allow` lists them, and its path.
pub fn routes() -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
    table().into_iter().map(|route| (route.allow, route.path))
}

/// Makes the router.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    assemble(gateway, |v1| v1)
}

/// Makes the router for requests that say which web page they come from.
pub(crate) fn browser_router(gateway: Arc<Gateway>) -> Router {
    assemble(gateway, |v1| v1.layer(cors()))
}

/// Puts every route where its path says. The guard is around all that begins with [`ADMIN`], unknown
/// paths included: a route that is added to the table is closed, and nobody else learns which there
/// are.
fn assemble(
    gateway: Arc<Gateway>,
    around_v1: impl FnOnce(Router<Arc<Gateway>>) -> Router<Arc<Gateway>>,
) -> Router {
    let (mut v1, mut admins, mut ours) = (Router::new(), Router::new(), Router::new());
    for Route { path, handler, .. } in table() {
        let below = path.strip_prefix(ADMIN);
        if let Some(path) = below.filter(|path| path.starts_with('/')) {
            admins = admins.route(path, handler);
        } else if path.starts_with("/v1/") {
            v1 = v1.route(&path, handler);
        } else {
            ours = ours.route(&path, handler);
        }
    }
    let guard = from_fn_with_state(Arc::clone(&gateway), admin::admins_only);
    around_v1(v1.route("/v1/{*rest}", any(unknown)))
        .merge(ours)
        .nest(ADMIN, admins.fallback(unknown).layer(guard))
        .fallback(unknown)
        .with_state(gateway)
}

async fn unknown(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::unknown_url(uri.path())
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
