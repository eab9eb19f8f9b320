//! What may be wrong with the part of a URL behind `?`.

use http::StatusCode;

use super::ApiError;

impl ApiError {
    /// It cannot be read.
    pub(crate) fn unreadable_query() -> Self {
        let message = "the query cannot be read: it must be `name=value`, joined by `&`";
        Self::invalid(StatusCode::BAD_REQUEST, "invalid_query", message)
    }

    /// It has a parameter whose value is not `allowed`.
    pub(crate) fn invalid_query(name: &'static str, value: &str, allowed: &str) -> Self {
        let message = format!("the query parameter `{name}` is `{value}`: it must be {allowed}");
        Self::invalid(StatusCode::BAD_REQUEST, "invalid_query", message).with_param(name)
    }

    /// It has a parameter twice.
    pub(crate) fn repeated_query(name: &'static str) -> Self {
        let message = format!("the query parameter `{name}` is there twice");
        Self::invalid(StatusCode::BAD_REQUEST, "invalid_query", message).with_param(name)
    }

    /// It has a parameter that the route does not know.
    pub(crate) fn unknown_query(name: &str, known: &[&str]) -> Self {
        let known = known.join("`, `");
        let message = format!("unknown query parameter `{name}`: there are `{known}`");
        Self::invalid(StatusCode::BAD_REQUEST, "unknown_parameter", message)
            .with_param(name.to_owned())
    }

    /// It has no such parameter, which must be there.
    pub(crate) fn missing_query(name: &'static str) -> Self {
        let message = format!("the query parameter `{name}` is missing");
        Self::invalid(
            StatusCode::BAD_REQUEST,
            "missing_required_parameter",
            message,
        )
        .with_param(name)
    }
}
