//! The models a user may use.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Json, Response};
use berry_core::{ModelList, ModelObject, User};
use berry_relay::Route;
use http::{HeaderMap, Uri};

use crate::arrival::Arrival;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::gateway::{Gateway, authenticate, route};

/// `GET /v1/models`
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let snapshot = gateway.snapshot();
    let user = authenticate(&snapshot, &headers, &arrival)?;
    let caller = Caller::new(&gateway, &snapshot, user);
    let user = &caller.user;
    let allowed = snapshot.routes.iter().filter(|route| may_use(user, route));
    let list = ModelList::new(allowed.map(|route| &route.model.name));
    Ok(caller.answer(Json(list).into_response()))
}

/// A model all of whose backends are closed to the user is none of the user's.
fn may_use(user: &User, route: &Route) -> bool {
    let mut endpoints = route.pool.endpoints().iter();
    user.may_use(&route.model) && endpoints.any(|endpoint| user.may_use_backend(&endpoint.tags))
}

/// `GET /v1/models/{id}`. An id may contain slashes, escaped or not.
pub(crate) async fn retrieve(
    State(gateway): State<Arc<Gateway>>,
    Extension(arrival): Extension<Arrival>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let snapshot = gateway.snapshot();
    let user = authenticate(&snapshot, &headers, &arrival)?;
    let caller = Caller::new(&gateway, &snapshot, user);
    // What is not text is nobody's name.
    let id = id.map_err(|_| ApiError::unknown_url(uri.path()));
    let found = id.and_then(|Path(id)| route(&snapshot, &caller.user, &id));
    let found = found.map(|route| Json(ModelObject::new(&route.model.name)));
    Ok(caller.answer(found.into_response()))
}
