//! `/v1/responses/{id}` and below: questions about what an earlier request left behind.
//!
//! The provider keeps a response for the account that made it, so a question goes there. One about
//! a response that nobody remembers goes where the strategy of the first model with that operation
//! sends it; whoever is asked says whether it exists.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use berry_core::User;
use berry_loadbalance::{Abilities, Filter, Mode};
use berry_relay::{Ask, Dialect, Exchange, Operation, Pin, Route, Snapshot, Stored, StoredPart};
use http::{Method, Request};

use crate::arrival::Arrival;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::gateway::{self, Gateway, authenticate};
use crate::headers;
use crate::routes::relaying::{Accepted, respond};
use crate::server::Seat;

/// The parameters that questions about a response have, as clients write them.
const PARAMETERS: [&str; 10] = [
    "include",
    "include[]",
    "include%5b%5d",
    "stream",
    "starting_after",
    "include_obfuscation",
    "after",
    "before",
    "limit",
    "order",
];

/// Returns the route of a response itself.
pub(crate) fn itself() -> MethodRouter<Arc<Gateway>> {
    get(|state, arrival, path, request| ask(StoredPart::Itself, state, arrival, path, request))
        .delete(|state, arrival, path, request| {
            ask(StoredPart::Itself, state, arrival, path, request)
        })
}

/// Returns the route that cancels a response.
pub(crate) fn cancel() -> MethodRouter<Arc<Gateway>> {
    post(|state, arrival, path, request| ask(StoredPart::Cancel, state, arrival, path, request))
}

/// Returns the route of what a response was given.
pub(crate) fn input_items() -> MethodRouter<Arc<Gateway>> {
    get(|state, arrival, path, request| ask(StoredPart::InputItems, state, arrival, path, request))
}

async fn ask(
    part: StoredPart,
    State(gateway): State<Arc<Gateway>>,
    Extension(arrival): Extension<Arrival>,
    id: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let snapshot = gateway.snapshot();
    let user = authenticate(&snapshot, request.headers(), &arrival)?;
    let caller = Caller::new(&gateway, &snapshot, user);
    let asked = Stored {
        // What is not text is nobody's name, as the empty one is.
        id: id.map(|Path(id)| id.into()).unwrap_or_default(),
        part,
        query: request.uri().query().and_then(parameters),
    };
    let accepted = accept(asked, &gateway, arrival.seat, &snapshot, &caller, request).await;
    drop(snapshot);
    Ok(respond(gateway, arrival, &caller, accepted).await)
}

/// Takes a question in, or says what is wrong with it.
async fn accept(
    asked: Stored,
    gateway: &Gateway,
    seat: Seat,
    snapshot: &Snapshot,
    caller: &Caller,
    request: Request<Body>,
) -> Result<Accepted, ApiError> {
    let (head, _) = request.into_parts();
    let user = &caller.user;
    let entry = caller.enter().await?;
    let place = gateway.enter(snapshot, seat)?;
    if !is_name(&asked.id) {
        return Err(ApiError::response_not_found());
    }
    let pin = gateway.relay.pin(&asked.id);
    let (route, account) = match pin {
        // What belongs to somebody else does not exist.
        Some(pin) if pin.user != user.id => return Err(ApiError::response_not_found()),
        Some(pin) => pinned(snapshot, user, pin)?,
        None => (anywhere(snapshot, user)?, None),
    };
    // axum cuts the body off; providers do not know the method.
    let method = match head.method {
        Method::HEAD => Method::GET,
        method => method,
    };
    let exchange = Exchange {
        dialect: Dialect::OpenAi,
        operation: Operation::Responses,
        ask: Ask::Stored(method, asked),
        headers: headers::to_upstream(&head.headers).into(),
    };
    let filter = Filter {
        user: Arc::clone(user),
        provider: None,
        account,
        needs: Abilities::NONE,
        mode: Mode::Whole,
        affinity: None,
    };
    let permit = caller.reserve(&exchange, entry, place).await?;
    Ok(Accepted {
        user: Arc::clone(user),
        permit,
        route,
        filter,
        exchange,
        keep_alive: None,
        logs_answer: snapshot.config.settings.log_response_body,
    })
}

/// Returns whether an id is one that the path of an upstream can hold as it is. Dots alone are a step
/// in a path, not a name.
fn is_name(id: &str) -> bool {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    id.len() <= Pin::LONGEST_ID && id.bytes().all(named) && id.bytes().any(|byte| byte != b'.')
}

/// Returns what the API knows of a query, as it is written; some clients put their token beside it.
fn parameters(query: &str) -> Option<Box<str>> {
    let known = |pair: &&str| {
        let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
        let mut parameters = PARAMETERS.iter();
        parameters.any(|known| name.eq_ignore_ascii_case(known))
    };
    let known: Vec<_> = query.split('&').filter(known).collect();
    (!known.is_empty()).then(|| known.join("&").into())
}

/// Where a question goes, and the only account that can answer it.
type Place = (Arc<Route>, Option<berry_loadbalance::Account>);

/// Returns where a response is kept; anywhere, once no backend has its account any more.
fn pinned(snapshot: &Snapshot, user: &User, pin: Pin) -> Result<Place, ApiError> {
    let keeps = |route: &Arc<Route>| {
        let mut endpoints = route.pool.endpoints().iter();
        endpoints.any(|endpoint| endpoint.key().is_of(&pin.account))
    };
    let route = gateway::route(snapshot, user, pin.model.as_str())?;
    if keeps(route) {
        return Ok((Arc::clone(route), Some(pin.account)));
    }
    Ok((anywhere(snapshot, user)?, None))
}

/// Returns the first model that the user may ask for a response.
fn anywhere(snapshot: &Snapshot, user: &User) -> Result<Arc<Route>, ApiError> {
    let needs = Operation::Responses.ability();
    let mut routes = snapshot.routes.iter();
    let found = routes.find(|route| {
        let mut endpoints = route.pool.endpoints().iter();
        user.may_use(&route.model)
            && endpoints.any(|endpoint| {
                endpoint.abilities.include(needs) && user.may_use_backend(&endpoint.tags)
            })
    });
    found.cloned().ok_or_else(ApiError::response_not_found)
}
