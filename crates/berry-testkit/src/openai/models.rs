//! The list of models, and one of them.

use http::StatusCode;
use serde_json::{Value, json};

use super::error::ApiError;
use super::{CREATED, Persona};

/// Answers `…/models` and `…/models/{id}`; any other path does not exist.
pub(crate) fn answer(persona: &Persona, path: &str) -> Result<Value, ApiError> {
    if path.ends_with("/models") {
        let data: Vec<_> = persona.models.iter().map(|id| model(persona, id)).collect();
        return Ok(json!({"object": "list", "data": data}));
    }
    let asked = path
        .rsplit_once("/models/")
        .map(|(_, id)| id.replace("%2F", "/"));
    persona
        .models
        .iter()
        .find(|id| Some(*id) == asked.as_ref())
        .map(|id| model(persona, id))
        .ok_or_else(|| ApiError::of(StatusCode::NOT_FOUND, None))
}

fn model(persona: &Persona, id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": persona.name})
}
