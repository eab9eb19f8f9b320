//! Errors, in OpenAI's shape.

use serde_json::{Value, json};

use super::wire::Failure;

/// Translates the body of an error answer; none where it is not one of Gemini's. Without
/// `alt=sse`, and from some proxies, it comes in an array.
pub(crate) fn openai(body: &[u8]) -> Option<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    if let Some(first) = body.get_mut(0) {
        body = first.take();
    }
    let status = body.get("error").filter(|status| status.is_object())?;
    Some(translate(status).to_string().into_bytes())
}

/// Writes the error object for a `google.rpc.Status` in JSON.
pub(super) fn write(status: &str, out: &mut Vec<u8>) {
    let status: Value = serde_json::from_str(status).unwrap_or_default();
    write_value(&translate(&status), out);
}

/// Writes the error object for a generation that failed.
pub(super) fn write_failure(failure: Failure, out: &mut Vec<u8>) {
    let code = failure.code();
    let message = format!("the model failed to answer (`{code}`); try again");
    write_value(&object(&message, "server_error", code), out);
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    // Writing into a Vec cannot fail.
    let _ = serde_json::to_writer(out, value);
}

fn translate(status: &Value) -> Value {
    let name = status["status"].as_str().unwrap_or_default();
    let message = match status["message"].as_str() {
        Some(message) if !message.is_empty() => message,
        _ => "the provider gave no reason",
    };
    let details = status["details"].as_array().into_iter().flatten();
    let mut reasons = details.filter_map(|detail| detail["reason"].as_str());
    let (kind, code) = match (name, status["code"].as_u64()) {
        _ if reasons.any(|reason| reason == "API_KEY_INVALID") => {
            ("invalid_request_error", "invalid_api_key")
        }
        ("UNAUTHENTICATED", _) | ("", Some(401)) => ("invalid_request_error", "invalid_api_key"),
        ("NOT_FOUND", _) | ("", Some(404)) => ("invalid_request_error", "model_not_found"),
        ("RESOURCE_EXHAUSTED", _) | ("", Some(429)) => ("rate_limit_error", "rate_limit_exceeded"),
        ("INVALID_ARGUMENT", _) if is_too_long(message) => {
            ("invalid_request_error", "context_length_exceeded")
        }
        ("INVALID_ARGUMENT", _) | ("", Some(400..=499)) => {
            ("invalid_request_error", "invalid_argument")
        }
        ("FAILED_PRECONDITION", _) => ("invalid_request_error", "failed_precondition"),
        ("OUT_OF_RANGE", _) => ("invalid_request_error", "out_of_range"),
        ("PERMISSION_DENIED", _) => ("invalid_request_error", "permission_denied"),
        ("UNAVAILABLE", _) => ("server_error", "unavailable"),
        ("DEADLINE_EXCEEDED", _) => ("server_error", "deadline_exceeded"),
        _ => ("server_error", "server_error"),
    };
    object(message, kind, code)
}

fn object(message: &str, kind: &str, code: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

/// Returns whether the message says that there are more tokens than the model takes.
fn is_too_long(message: &str) -> bool {
    message.contains("exceeds the maximum number of tokens")
}
