//! `GET /prometheus`: every number there is, in Prometheus's words.
//!
//! The page is a view: what is counted is read where it is kept, when somebody asks. Backends and
//! models are those of the current configuration, so the series of one that is taken out vanish.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use berry_loadbalance::breaker::BreakerState;
use berry_loadbalance::{Endpoint, EndpointView, FailureKind};
use berry_relay::{Route, Snapshot};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::gateway::Gateway;
use crate::routes::disclosure::Disclosure;
use crate::telemetry::exposition::{Exposition, Form, Kind};
use crate::telemetry::traffic::Labels;

/// The strategy whose confidence is shown; the others do not look at it.
const SMART_AI: &str = "smart_ai";

/// The route's handler.
pub(crate) async fn show(
    State(gateway): State<Arc<Gateway>>,
    disclosure: Disclosure,
    headers: HeaderMap,
) -> Response {
    let form = Form::wanted(&headers).unwrap_or(Form::Classic);
    page(&gateway, disclosure, form)
}

/// Returns the page in this form.
pub(super) fn page(gateway: &Gateway, disclosure: Disclosure, form: Form) -> Response {
    let snapshot = gateway.snapshot();
    let mut page = Exposition::new(form);
    requests(&mut page, gateway);
    losses(&mut page, gateway);
    configuration(&mut page, gateway);
    if disclosure.names() {
        models(&mut page, &snapshot);
        backends(&mut page, &Backend::all(&snapshot, gateway));
    }
    ([(CONTENT_TYPE, form.content_type())], page.end()).into_response()
}

/// What clients see.
fn requests(page: &mut Exposition, gateway: &Gateway) {
    let traffic = &gateway.traffic;
    let help = "Requests by what their clients got; 499 left before there was an answer.";
    let mut family = page.family(Kind::Counter, "http_requests_total", help);
    for (Labels { path, method }, status, count) in traffic.requests() {
        let labels = [("method", method), ("path", path), ("status", status)];
        family.put(&labels, count);
    }
    let help = "The time from a request to the last byte of its answer.";
    let mut family = page.family(Kind::Histogram, "http_request_duration_seconds", help);
    for (Labels { path, method }, read) in traffic.durations() {
        family.put_distribution(&[("method", method), ("path", path)], &read);
    }
    let help = "Requests that are being answered.";
    page.family(Kind::Gauge, "http_requests_in_flight", help)
        .put(&[], traffic.in_flight.read());
    page.family(
        Kind::Gauge,
        "active_connections",
        "Open connections of clients.",
    )
    .put(&[], traffic.connections.read());
    let help = "Requests that were refused because of their user's limits.";
    page.family(Kind::Counter, "rate_limited_total", help)
        .put(&[], traffic.refused_by_rate());
    let help = "Heads that were refused before they were a request, by the status of the refusal.";
    let mut family = page.family(Kind::Counter, "refused_heads_total", help);
    for (status, count) in traffic.refusals.counts() {
        family.put(&[("status", status)], count);
    }
    let help = "What the gateway itself spends on a relayed request; waits are not in it.";
    page.family(Kind::Histogram, "gateway_overhead_seconds", help)
        .put_distribution(&[], &traffic.overhead());
}

/// What is not in logs and ledgers, or not yet.
fn losses(page: &mut Exposition, gateway: &Gateway) {
    let help = "Lines, rows and spans that could not be written, by where they belong.";
    let mut family = page.family(Kind::Counter, "telemetry_lost_total", help);
    for loss in &gateway.losses {
        family.put(&[("output", loss.output())], loss.count());
    }
    if let Some(pending) = gateway.ledger.pending() {
        let help =
            "Rows of the ledger that wait to be written; where its file cannot be, they add up.";
        page.family(Kind::Gauge, "usage_rows_pending", help)
            .put(&[], pending);
    }
}

/// What is served.
fn configuration(page: &mut Exposition, gateway: &Gateway) {
    let reloads = gateway.snapshots.reckoning();
    let help = "Whether the last reload of the configuration succeeded.";
    page.family(Kind::Gauge, "config_reload_success", help)
        .put(&[], u8::from(!reloads.last_refused));
    let help = "1 is the configuration at the start; each reload that succeeds adds 1.";
    page.family(Kind::Gauge, "config_generation", help)
        .put(&[], reloads.generation);
}

/// What is balanced, by public model.
fn models(page: &mut Exposition, snapshot: &Snapshot) {
    let name = |route: &Route| route.model.name.to_string();
    let help = "Requests that were given a backend, by public model.";
    let mut family = page.family(Kind::Counter, "load_balance_selections_total", help);
    for route in &snapshot.routes {
        let labels = [("model", &*name(route)), ("strategy", route.model.strategy)];
        family.put(&labels, route.pool.selections());
    }
    let help = "Attempts that followed a failed one, by public model and what had failed.";
    let mut family = page.family(Kind::Counter, "retries_total", help);
    for route in &snapshot.routes {
        for (reason, count) in route.pool.retries() {
            family.put(
                &[("model", &*name(route)), ("reason", reason.as_str())],
                count,
            );
        }
    }
}

/// An endpoint that is served; models may share it.
struct Backend<'a> {
    view: EndpointView<'a>,
    /// A model that uses it looks at its confidence.
    is_smart: bool,
}

impl<'a> Backend<'a> {
    fn all(snapshot: &'a Snapshot, gateway: &Gateway) -> Vec<Self> {
        let now = gateway.clock.now();
        let mut all: Vec<Self> = Vec::new();
        for route in &snapshot.routes {
            let is_smart = route.model.strategy == SMART_AI;
            for view in route.pool.describe(now) {
                let state = &view.endpoint.state;
                let known = |known: &&mut Self| Arc::ptr_eq(&known.view.endpoint.state, state);
                match all.iter_mut().find(known) {
                    Some(known) => known.is_smart |= is_smart,
                    None => all.push(Self { view, is_smart }),
                }
            }
        }
        all
    }

    fn endpoint(&self) -> &Endpoint {
        self.view.endpoint
    }

    fn labels(&self) -> [(&'static str, &str); 2] {
        let key = self.endpoint().key();
        [("provider", key.provider.as_str()), ("model", &key.model)]
    }
}

/// What is known of backends; `model` is the provider's name for it.
fn backends(page: &mut Exposition, backends: &[Backend<'_>]) {
    states(page, backends);
    let help = "Attempts that ended with an answer or a failure.";
    let mut family = page.family(Kind::Counter, "backend_request_count_total", help);
    for backend in backends {
        family.put(&backend.labels(), backend.view.tally.attempts);
    }
    let help = "Attempts that were the backend's failure, by kind.";
    let mut family = page.family(Kind::Counter, "backend_error_count_total", help);
    for backend in backends {
        let counts = FailureKind::ALL.iter().zip(backend.view.tally.by_kind);
        for (kind, count) in counts {
            let [provider, model] = backend.labels();
            family.put(&[provider, model, ("kind", kind.as_str())], count);
        }
    }
    let help = "How long attempts took to their end.";
    let mut family = page.family(Kind::Histogram, "backend_latency_seconds", help);
    for backend in backends {
        let meter = backend.endpoint().state.meter();
        family.put_distribution(&backend.labels(), &meter.latency.read());
    }
    let help = "How long attempts took to their first content.";
    let mut family = page.family(Kind::Histogram, "backend_first_token_seconds", help);
    for backend in backends {
        let meter = backend.endpoint().state.meter();
        family.put_distribution(&backend.labels(), &meter.first_content.read());
    }
    costs(page, backends);
}

/// How backends are.
fn states(page: &mut Exposition, backends: &[Backend<'_>]) {
    let help = "1 while the breaker is closed and the last health check did not fail, else 0.";
    let mut family = page.family(Kind::Gauge, "backend_health_status", help);
    for backend in backends {
        let healthy = backend.view.signals.healthy();
        family.put(&backend.labels(), u8::from(healthy));
    }
    let help = "0 closed, 1 half-open, 2 open.";
    let mut family = page.family(Kind::Gauge, "circuit_breaker_state", help);
    for backend in backends {
        let state = match backend.view.breaker {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        family.put(&backend.labels(), state);
    }
    let help = "How far smart_ai trusts the backend, where a model uses it.";
    let mut family = page.family(Kind::Gauge, "smart_ai_confidence_score", help);
    for backend in backends.iter().filter(|backend| backend.is_smart) {
        family.put(&backend.labels(), backend.view.signals.confidence);
    }
}

/// What backends have been used for.
fn costs(page: &mut Exposition, backends: &[Backend<'_>]) {
    let help = "Tokens read (input) and written (output), as backends count them.";
    let mut family = page.family(Kind::Counter, "backend_tokens_total", help);
    for backend in backends {
        let meter = backend.endpoint().state.meter();
        let [provider, model] = backend.labels();
        for (direction, count) in [("input", meter.input()), ("output", meter.output())] {
            family.put(&[provider, model, ("direction", direction)], count);
        }
    }
    let help = "Dollars spent, where the backend's prices are configured.";
    let mut family = page.family(Kind::Counter, "backend_cost_usd_total", help);
    for backend in backends {
        let dollars = backend.endpoint().state.meter().dollars();
        family.put(&backend.labels(), dollars);
    }
}
