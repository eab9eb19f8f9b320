//! Errors in the protocol's shape: a status, and a body with `message`, `type`, `param`, `code`.

use http::StatusCode;
use serde_json::{Value, json};

/// An error answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    kind: &'static str,
    code: Option<String>,
    message: String,
}

impl ApiError {
    /// Makes the error that usually comes with `status`; `code` replaces the usual one.
    pub(crate) fn of(status: StatusCode, code: Option<&str>) -> Self {
        let (kind, usual, message) = usual(status);
        let (kind, message) = match code {
            Some("insufficient_quota") => (
                "insufficient_quota",
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            _ => (kind, message),
        };
        Self {
            status,
            kind,
            code: code.or(usual).map(str::to_owned),
            message: message.to_owned(),
        }
    }

    /// Makes the error for a request that cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        let mut error = Self::of(StatusCode::BAD_REQUEST, None);
        error.message = message.into();
        error
    }

    /// Returns what is wrong, for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Returns the body.
    pub(crate) fn to_json(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": null,
            "code": self.code,
        }})
    }
}

/// The type, code and message that usually come with a status.
fn usual(status: StatusCode) -> (&'static str, Option<&'static str>, &'static str) {
    const INVALID: &str = "invalid_request_error";
    match status.as_u16() {
        401 => (
            INVALID,
            Some("invalid_api_key"),
            "Incorrect API key provided.",
        ),
        402 => (
            "insufficient_quota",
            Some("insufficient_quota"),
            "Your credit balance is too low.",
        ),
        403 => (
            INVALID,
            Some("unsupported_country_region_territory"),
            "Access is not permitted.",
        ),
        404 => (
            INVALID,
            Some("model_not_found"),
            "The model does not exist.",
        ),
        408 => ("server_error", None, "The request timed out."),
        429 => (
            "requests",
            Some("rate_limit_exceeded"),
            "Rate limit reached for requests.",
        ),
        503 | 529 => ("server_error", None, "The engine is currently overloaded."),
        500.. => (
            "server_error",
            None,
            "The server had an error while processing your request.",
        ),
        _ => (INVALID, None, "The request is invalid."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_has_all_four_members() {
        let error = ApiError::of(StatusCode::TOO_MANY_REQUESTS, None);

        assert_eq!(
            error.to_json().to_string(),
            r#"{"error":{"message":"Rate limit reached for requests.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#
        );
    }

    #[test]
    fn an_exhausted_quota_has_its_own_type() {
        let error = ApiError::of(StatusCode::TOO_MANY_REQUESTS, Some("insufficient_quota"));

        assert_eq!(error.to_json()["error"]["type"], "insufficient_quota");
        assert_eq!(error.to_json()["error"]["code"], "insufficient_quota");
    }
}
