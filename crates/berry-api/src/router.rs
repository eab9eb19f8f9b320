//! The routes, readable as documentation.

use std::borrow::Cow;
use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::extract::OriginalUri;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get, post};
use berry_relay::Operation;
use http::header::{HeaderName, ORIGIN, RETRY_AFTER};
use http::{Method, Request};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::routes::{
    admin, health, index, inference, metrics, models, monitoring, prometheus, rate_limit_usage,
    reload_config, responses, smart_ai, usage,
};

/// What begins the path of an operation.
const V1: &str = "/v1";
/// What begins a path that is for admins, behind its slashes.
const ADMIN: &str = "admin";

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

/// Every route there is. What surrounds one follows from its path alone, in [`Routers`].
fn table() -> Vec<Route> {
    let operations = Operation::ALL.into_iter().map(|operation| {
        let path = format!("{V1}{}", operation.path());
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

/// Returns whether a path is for admins: `/admin`, and all below it, routes or not.
pub(crate) fn is_for_admins(path: &str) -> bool {
    let below = path.trim_start_matches('/').strip_prefix(ADMIN);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Who answers a request.
pub(crate) enum Destination {
    /// Its own code, without a look into any table: what is asked of models is nearly all there is to do.
    Operation(Operation),
    /// A router.
    Router(Router),
}

/// Every router there is. Which one a request gets follows from its path, and from whether it says
/// which web page it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Routers {
    plain: Router,
    /// Has the CORS headers that others are spared.
    browsers: Router,
    /// Has one guard around all of it, unknown paths included: a route that is added to the table is
    /// closed, and nobody else learns which there are.
    admins: Router,
}

impl Routers {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Self {
        let guard = from_fn_with_state(Arc::clone(gateway), admin::admins_only);
        let (mut plain, mut browsers, mut admins) = (Router::new(), Router::new(), Router::new());
        let v1 = table().into_iter().map(|route| (route.path, route.handler));
        let unknown_v1 = [(Cow::Borrowed("/v1/{*rest}"), any(unknown))];
        for (path, handler) in v1.chain(unknown_v1) {
            if is_for_admins(&path) {
                admins = admins.route(&path, handler);
                continue;
            }
            browsers = if path.starts_with("/v1/") {
                browsers.route(&path, handler.clone().layer(cors()))
            } else {
                browsers.route(&path, handler.clone())
            };
            plain = plain.route(&path, handler);
        }
        let complete = |router: Router<Arc<Gateway>>| {
            let router = router.fallback(unknown);
            router.with_state(Arc::clone(gateway))
        };
        Self {
            plain: complete(plain),
            browsers: complete(browsers),
            // Around the router, not its routes: those put their `Allow` on whatever is answered there.
            admins: Router::new()
                .fallback_service(complete(admins))
                .layer(guard),
        }
    }

    /// Returns who answers a request.
    pub(crate) fn of<B>(&self, request: &Request<B>) -> Destination {
        let path = request.uri().path();
        let router = if is_for_admins(path) {
            &self.admins
        } else if request.headers().contains_key(ORIGIN) {
            &self.browsers
        } else {
            if request.method() == Method::POST
                && let Some(operation) = operation(path)
            {
                return Destination::Operation(operation);
            }
            &self.plain
        };
        Destination::Router(router.clone())
    }
}

/// Returns the operation whose route has this path.
fn operation(path: &str) -> Option<Operation> {
    let path = path.strip_prefix(V1)?;
    Operation::ALL
        .into_iter()
        .find(|operation| operation.path() == path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_admin_is_for_admins() {
        for path in ["/admin", "/admin/", "//admin", "///admin//x", "/admin/x"] {
            assert!(is_for_admins(path), "{path}");
        }
        for path in [
            "/",
            "/administrators",
            "/v1/admin",
            "/ADMIN",
            "/./admin",
            "",
        ] {
            assert!(!is_for_admins(path), "{path}");
        }
    }
}
