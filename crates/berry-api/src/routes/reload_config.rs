//! `POST /admin/reload-config`: reads the configuration again, and says what came of it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use berry_core::config::ConfigDiff;
use berry_core::{ErrorBody, User};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::arrival::Arrival;
use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::reload::{Asker, Findings, ReloadError, Reloaded};

/// What an admin is told of a reload.
#[derive(Debug, Serialize)]
struct Done {
    status: &'static str,
    generation: u64,
    #[serde(flatten)]
    diff: ConfigDiff,
    diagnostics: Option<Box<RawValue>>,
}

/// What an admin is told of one that changed nothing.
#[derive(Debug, Serialize)]
struct Refused<'a> {
    #[serde(flatten)]
    error: &'a ErrorBody,
    diagnostics: Option<Box<RawValue>>,
}

/// The route's handler.
pub(crate) async fn reload(
    State(gateway): State<Arc<Gateway>>,
    Extension(arrival): Extension<Arrival>,
    Extension(user): Extension<Arc<User>>,
) -> Result<Response, ApiError> {
    let asker = Asker {
        user: user.id.clone(),
        address: arrival.sender().map(|sender| sender.address),
        request_id: arrival.id,
    };
    match gateway.reloads.ask(asker).await {
        Ok(Reloaded {
            generation,
            diff,
            warnings,
        }) => Ok(Json(Done {
            status: "ok",
            generation,
            diff,
            diagnostics: raw(Some(&warnings)),
        })
        .into_response()),
        Err(ReloadError::ShuttingDown) => Err(ApiError::shutting_down()),
        Err(ReloadError::Panicked) => Err(ApiError::internal()),
        Err(error) => Ok(refused(&error)),
    }
}

fn refused(error: &ReloadError) -> Response {
    let findings = match error {
        ReloadError::Invalid(findings) => Some(findings),
        _ => None,
    };
    let message = error.explained();
    let error = ApiError::invalid_configuration(message);
    let body = Refused {
        error: error.body(),
        diagnostics: raw(findings),
    };
    (error.status(), Json(body)).into_response()
}

/// Returns the findings as they are written: JSON already. What has no place has none.
fn raw(findings: Option<&Findings>) -> Option<Box<RawValue>> {
    let json = findings.map_or_else(|| "[]".to_owned(), Findings::to_json);
    RawValue::from_string(json).ok()
}
