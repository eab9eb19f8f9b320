//! Whatever is asked of a model: `POST /v1/chat/completions` and its siblings.
//!
//! One path for all operations; what differs between them, the relay knows. The order is that of
//! SPEC 2.4: credential, body, model, limits, relay; but a place is taken before the body is read, and
//! who has none left is told so at once. What a client gets wrong costs no upstream a request, and no
//! user a part of their limits.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use berry_core::config::Affinity;
use berry_core::{Model, ProviderName, User};
use berry_loadbalance::{Abilities, AffinityKey, Filter, Mode};
use berry_relay::{Ask, Dialect, Envelope, Exchange, Operation, RelayError, Snapshot};
use http::Request;
use http::header::CONTENT_TYPE;

use crate::arrival::Arrival;
use crate::body_log;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::gateway::{self, Gateway, authenticate};
use crate::headers;
use crate::request_body::{self, Format};
use crate::routes::relaying::{Accepted, respond};

/// Returns the route of an operation.
pub(crate) fn route(operation: Operation) -> MethodRouter<Arc<Gateway>> {
    post(
        move |State(gateway): State<Arc<Gateway>>,
              Extension(arrival): Extension<Arrival>,
              request: Request<Body>| create(operation, gateway, arrival, request),
    )
}

/// Answers a request of an operation.
pub(crate) async fn create(
    operation: Operation,
    gateway: Arc<Gateway>,
    arrival: Arrival,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let snapshot = gateway.snapshot();
    let user = authenticate(&snapshot, request.headers(), &arrival)?;
    let caller = Caller::new(&gateway, &snapshot, user);
    let accepted = accept(operation, &gateway, &arrival, &snapshot, &caller, request).await;
    drop(snapshot);
    Ok(respond(gateway, arrival, &caller, accepted).await)
}

/// Takes a request in, or says what is wrong with it.
async fn accept(
    operation: Operation,
    gateway: &Gateway,
    arrival: &Arrival,
    snapshot: &Snapshot,
    caller: &Caller,
    request: Request<Body>,
) -> Result<Accepted, ApiError> {
    let (head, body) = request.into_parts();
    let (config, user) = (&snapshot.config, &caller.user);
    let entry = caller.enter().await?;
    let place = gateway.enter(snapshot, arrival.seat)?;
    let format = request_body::format(&head.headers, operation.takes_forms())?;
    let limit = config.settings.max_body_bytes;
    let body = request_body::read(body, limit, config.server.body_idle_timeout).await?;
    if config.settings.log_request_body {
        body_log::request(&arrival.id, &body);
    }
    let envelope = match (format, head.headers.get(CONTENT_TYPE)) {
        (Format::Form, Some(kind)) => Envelope::parse_form(body, kind)?,
        _ => Envelope::parse(body)?,
    };
    arrival.asks_for(|| Some(snapshot.route(envelope.model())?.model.name.clone()));
    let route = Arc::clone(gateway::route(snapshot, user, envelope.model())?);
    let _ = caller.model.set(route.model.name.clone());
    let filter = filter(Arc::clone(user), &route.model, &envelope)?;
    let keep_alive = config.settings.stream_keepalive;
    let keep_alive = keep_alive.filter(|_| envelope.stream());
    let exchange = Exchange {
        dialect: Dialect::OpenAi,
        operation,
        ask: Ask::Model(envelope),
        headers: headers::to_upstream(&head.headers).into(),
    };
    let permit = caller.reserve(&exchange, entry, place).await?;
    Ok(Accepted {
        user: Arc::clone(user),
        permit,
        route,
        filter,
        exchange,
        keep_alive,
        logs_answer: config.settings.log_response_body,
    })
}

/// Returns which endpoints the request may use, and which it prefers.
fn filter(user: Arc<User>, model: &Model, envelope: &Envelope) -> Result<Filter, ApiError> {
    // What cannot be a name is nobody's name.
    let provider = envelope.backend().map(ProviderName::parse).transpose();
    let provider = provider.map_err(|_| RelayError::BackendNotFound)?;
    let mode = if envelope.stream() {
        Mode::Streamed
    } else {
        Mode::Whole
    };
    let affinity = match model.affinity {
        Affinity::None => None,
        Affinity::User => Some(AffinityKey::of(user.id.as_str())),
        Affinity::PromptCacheKey => envelope.prompt_cache_key().map(|key| AffinityKey::of(&key)),
    };
    Ok(Filter {
        user,
        provider,
        account: None,
        needs: Abilities::NONE,
        mode,
        affinity,
    })
}
