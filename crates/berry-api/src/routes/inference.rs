//! Whatever is asked of a model: `POST /v1/chat/completions` and its siblings.
//!
//! One path for all operations; what differs between them, the relay knows. The order is that of
//! SPEC 2.4: credential, body, model, relay. What a client gets wrong costs no upstream a request.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use berry_core::ProviderName;
use berry_loadbalance::{Abilities, Filter};
use berry_relay::{Ask, Dialect, Envelope, Exchange, Operation, RelayError};
use http::Request;
use http::header::CONTENT_TYPE;

use crate::arrival::Arrival;
use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::headers;
use crate::request_body::{self, Format};
use crate::routes::relaying::{Accepted, relay};

/// Returns the route of an operation.
pub(crate) fn route(operation: Operation) -> MethodRouter<Arc<Gateway>> {
    post(
        move |State(gateway): State<Arc<Gateway>>,
              Extension(arrival): Extension<Arrival>,
              request: Request<Body>| create(operation, gateway, arrival, request),
    )
}

async fn create(
    operation: Operation,
    gateway: Arc<Gateway>,
    arrival: Arrival,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let accepted = accept(operation, &gateway, arrival.peer, request).await?;
    Ok(relay(gateway, arrival, accepted).await)
}

/// Takes a request in, or says what is wrong with it.
async fn accept(
    operation: Operation,
    gateway: &Gateway,
    peer: SocketAddr,
    request: Request<Body>,
) -> Result<Accepted, ApiError> {
    let (head, body) = request.into_parts();
    let user = gateway.authenticate(&head.headers, peer)?;
    let config = &gateway.snapshot.config;
    let format = request_body::format(&head.headers, operation.takes_forms())?;
    let limit = config.settings.max_body_bytes;
    let body = request_body::read(body, limit, config.server.body_idle_timeout).await?;
    let envelope = match (format, head.headers.get(CONTENT_TYPE)) {
        (Format::Form, Some(kind)) => Envelope::parse_form(body, kind)?,
        _ => Envelope::parse(body)?,
    };
    let route = Arc::clone(gateway.route(&user, envelope.model())?);
    // What cannot be a name is nobody's name.
    let provider = envelope.backend().map(ProviderName::parse).transpose();
    let provider = provider.map_err(|_| RelayError::BackendNotFound)?;
    let exchange = Exchange {
        dialect: Dialect::OpenAi,
        operation,
        ask: Ask::Model(envelope),
        headers: headers::to_upstream(&head.headers),
    };
    let filter = Filter {
        user: Arc::clone(&user),
        provider,
        account: None,
        needs: Abilities::NONE,
        mode: exchange.mode(),
    };
    Ok(Accepted {
        user,
        route,
        filter,
        exchange,
    })
}
