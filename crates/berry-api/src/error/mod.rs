//! Errors as clients see them: the only place that knows which cause is which status.
//!
//! Messages are for the client. They name no URL, host, key or other user; what an operator needs
//! is in the log under the request's id.

mod query;

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use berry_core::{AuthError, CredentialError, ErrorBody, ErrorKind};
use berry_loadbalance::FailureKind;
use berry_relay::{Break, Dialect, EnvelopeError, Failed, RelayError};
use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;

use crate::coding::Miscoded;

/// Tells OpenAI's SDKs whether another try makes sense.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// When a place among the requests in flight will be free nobody knows; sooner is not worth asking.
const SHED_WAIT: Duration = Duration::from_secs(1);

/// An error, ready to be answered. Boxed: it is large, seldom, and half of many results.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    body: ErrorBody,
    retry_after: Option<Duration>,
    headers: HeaderMap,
}

impl ApiError {
    fn new(
        status: StatusCode,
        kind: ErrorKind,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let body = ErrorBody::new(kind, message.into()).with_code(code);
        Self(Box::new(Parts {
            status,
            body,
            retry_after: None,
            headers: HeaderMap::new(),
        }))
    }

    fn invalid(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, ErrorKind::InvalidRequest, code, message)
    }

    fn server(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, ErrorKind::Server, code, message)
    }

    fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.0.body = self.0.body.with_param(param);
        self
    }

    fn with_message(mut self, message: &'static str) -> Self {
        self.0.body.message = message.into();
        self
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// No token, or one that is not accepted. Why is not said: the log says it.
    pub(crate) fn unauthenticated() -> Self {
        let message = "missing or invalid API token: send `Authorization: Bearer <token>` or \
                       `x-api-key: <token>`";
        Self::invalid(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// The same on a route that is for admins.
    pub(crate) fn admin_unauthenticated() -> Self {
        let message = "missing or invalid API token: send `Authorization: Bearer <token>` or \
                       `x-api-key: <token>` of a user who is an admin";
        Self::unauthenticated().with_message(message)
    }

    /// The user is none of the admins.
    pub(crate) fn admin_required() -> Self {
        let message = "this route is for admins: the user needs the tag `admin`";
        let status = StatusCode::FORBIDDEN;
        Self::new(status, ErrorKind::Permission, "admin_required", message)
    }

    /// The request does not say once and in proper form which host it is for.
    pub(crate) fn invalid_host() -> Self {
        let message = "the header `Host` must be there once, with a host and perhaps a port";
        Self::invalid(StatusCode::BAD_REQUEST, "invalid_host", message)
    }

    /// There is no such user.
    pub(crate) fn user_not_found() -> Self {
        let message = "no user with this id is configured";
        Self::invalid(StatusCode::NOT_FOUND, "user_not_found", message).with_param("user_id")
    }

    /// A limit of the user is reached; the headers say how much is left of which.
    pub(crate) fn rate_limited(message: String, wait: Duration, headers: HeaderMap) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let code = "rate_limit_exceeded";
        let mut error = Self::new(status, ErrorKind::RateLimit, code, message);
        error.0.headers = headers;
        error.with_retry_after(Some(wait))
    }

    /// A request needs more than the user's limit ever allows.
    pub(crate) fn beyond_limit(message: String, wait: Duration, headers: HeaderMap) -> Self {
        let error = Self::rate_limited(message, wait, headers);
        error.with_header(X_SHOULD_RETRY, HeaderValue::from_static("false"))
    }

    /// As many requests are in flight as are allowed, or as there is memory or a place for.
    pub(crate) fn overloaded() -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let message = "the gateway has as much to do as it can: try again soon";
        Self::server(status, "overloaded", message).with_retry_after(Some(SHED_WAIT))
    }

    /// The user may not use the model; for restricted users also one that does not exist.
    pub(crate) fn model_access_denied(model: &str) -> Self {
        let message = format!("you do not have access to the model `{}`", shown(model));
        Self::new(
            StatusCode::FORBIDDEN,
            ErrorKind::Permission,
            "model_access_denied",
            message,
        )
        .with_param("model")
    }

    /// There is no such model.
    pub(crate) fn model_not_found(model: &str) -> Self {
        let message = format!("the model `{}` does not exist", shown(model));
        Self::invalid(StatusCode::NOT_FOUND, "model_not_found", message).with_param("model")
    }

    /// There is no such response, or it is somebody else's.
    pub(crate) fn response_not_found() -> Self {
        let message = "this response does not exist";
        Self::invalid(StatusCode::NOT_FOUND, "response_not_found", message)
    }

    /// There is no such path.
    pub(crate) fn unknown_url(path: &str) -> Self {
        let message = format!("unknown request URL `{}`", shown(path));
        Self::invalid(StatusCode::NOT_FOUND, "unknown_url", message)
    }

    /// The path has other methods.
    pub(crate) fn method_not_allowed(allowed: &'static str) -> Self {
        let message = format!("method not allowed: use {allowed}");
        Self::invalid(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
        )
        .with_header(ALLOW, HeaderValue::from_static(allowed))
    }

    /// The request body is larger than this many bytes.
    pub(crate) fn request_too_large(limit: usize) -> Self {
        let message = format!("the request body is larger than {limit} bytes");
        Self::invalid(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// The request body is said to be something that the operation does not take.
    pub(crate) fn unsupported_media_type(takes_forms: bool) -> Self {
        let message = if takes_forms {
            "the request body must be a form or JSON: send `Content-Type: multipart/form-data` with \
             its boundary, or `application/json`"
        } else {
            "the request body must be JSON: send `Content-Type: application/json`"
        };
        Self::invalid(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            message,
        )
    }

    /// The request body did not come in time.
    pub(crate) fn request_timeout() -> Self {
        let message = "the request body did not arrive in time";
        Self::invalid(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
    }

    /// The request body broke off. Nobody reads this; the log does.
    pub(crate) fn body_broken() -> Self {
        let message = "the request body could not be read";
        Self::invalid(StatusCode::BAD_REQUEST, "invalid_body", message)
    }

    /// A reload was asked for and what is configured cannot be served.
    pub(crate) fn invalid_configuration(message: String) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::invalid(status, "invalid_configuration", message)
    }

    /// No ledger is configured.
    pub(crate) fn no_ledger() -> Self {
        let message = "no ledger is kept: set `[usage] database`";
        Self::invalid(StatusCode::NOT_FOUND, "no_ledger", message)
    }

    /// The ledger's file cannot be read; the log says why. So many rows wait to be written to it, and so
    /// many are lost.
    pub(crate) fn ledger_unreadable(pending: usize, lost: u64) -> Self {
        let message = format!(
            "the ledger cannot be read, the log says why; rows that wait to be written: {pending}, \
             rows that are lost: {lost}"
        );
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::server(status, "ledger_unreadable", message)
    }

    /// The process is about to end.
    pub(crate) fn shutting_down() -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::server(status, "shutting_down", "the gateway is shutting down")
    }

    /// An upstream refused what the client sent, in words that are not for the client.
    pub(crate) fn refused(status: StatusCode) -> Self {
        Self::invalid(
            status,
            "request_refused",
            "the upstream refused the request",
        )
    }

    /// A bug of ours.
    pub(crate) fn internal() -> Self {
        Self::server(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "internal error",
        )
    }

    /// Returns the status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Returns the error as a member beside others.
    pub(crate) fn body(&self) -> &ErrorBody {
        &self.0.body
    }

    /// Returns the error as the last event of a stream whose head was sent already.
    pub(crate) fn into_event(self, dialect: Dialect) -> Bytes {
        let Parts { status, body, .. } = *self.0;
        dialect.error_event(&body.with_status(status.as_u16()))
    }
}

/// Shortens what a client sent, so that an error does not echo a megabyte.
fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl From<CredentialError> for ApiError {
    fn from(_: CredentialError) -> Self {
        Self::unauthenticated()
    }
}

impl From<AuthError> for ApiError {
    fn from(_: AuthError) -> Self {
        Self::unauthenticated()
    }
}

impl From<Miscoded> for ApiError {
    fn from(error: Miscoded) -> Self {
        let status = match error {
            Miscoded::Unknown => StatusCode::NOT_IMPLEMENTED,
            Miscoded::Twice => StatusCode::BAD_REQUEST,
        };
        // Nobody knows where the body ends, and a next request would begin.
        Self::invalid(status, "invalid_transfer_coding", error.to_string())
            .with_header(CONNECTION, HeaderValue::from_static("close"))
            .with_header(X_SHOULD_RETRY, HeaderValue::from_static("false"))
    }
}

impl From<EnvelopeError> for ApiError {
    fn from(error: EnvelopeError) -> Self {
        let code = match &error {
            EnvelopeError::NotUtf8(_) | EnvelopeError::NotJson(_) => "invalid_json",
            EnvelopeError::NotAForm(_) => "invalid_form",
            EnvelopeError::NotAnObject | EnvelopeError::TooDeep => "invalid_body",
            EnvelopeError::Missing(_) => "missing_required_parameter",
            EnvelopeError::Duplicate(_)
            | EnvelopeError::EscapedKey(_)
            | EnvelopeError::Uppercase(_)
            | EnvelopeError::Decorated(_) => "ambiguous_parameter",
            EnvelopeError::WrongType { .. } => "invalid_type",
        };
        let invalid = Self::invalid(StatusCode::BAD_REQUEST, code, error.to_string());
        match error.member() {
            Some(member) => invalid.with_param(member),
            None => invalid,
        }
    }
}

impl From<RelayError> for ApiError {
    fn from(error: RelayError) -> Self {
        let message = error.to_string();
        match error {
            RelayError::NoBackendForUser => {
                let status = StatusCode::FORBIDDEN;
                Self::new(
                    status,
                    ErrorKind::Permission,
                    "no_backend_for_user",
                    message,
                )
            }
            RelayError::BackendNotFound => {
                Self::invalid(StatusCode::NOT_FOUND, "backend_not_found", message)
                    .with_param("backend")
            }
            RelayError::Unsupported => {
                Self::invalid(StatusCode::NOT_FOUND, "unsupported_operation", message)
                    .with_param("model")
            }
            RelayError::Untranslatable { param, .. } => {
                let invalid = Self::invalid(StatusCode::BAD_REQUEST, "unsupported_value", message);
                if param.is_empty() {
                    invalid
                } else {
                    invalid.with_param(param)
                }
            }
            RelayError::PreviousNotFound => Self::invalid(
                StatusCode::BAD_REQUEST,
                "previous_response_not_found",
                message,
            )
            .with_param("previous_response_id"),
            RelayError::PinnedDown => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::server(status, "no_available_backend", message)
            }
            RelayError::Ejected { retry_after } => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::server(status, "no_available_backend", message)
                    .with_retry_after(Some(retry_after))
            }
            RelayError::Busy => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::server(status, "no_available_backend", message)
                    .with_retry_after(Some(SHED_WAIT))
            }
            RelayError::Deadline => {
                Self::server(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message)
            }
            RelayError::Exhausted {
                failures,
                tried_all,
            } => exhausted(&failures, tried_all, message),
        }
    }
}

/// All attempts failed: what the client is told depends on how.
fn exhausted(failures: &[Failed], tried_all: bool, message: String) -> ApiError {
    let rate_limited = |failed: &Failed| failed.kind == FailureKind::RateLimited;
    let error = if !failures.is_empty() && failures.iter().all(rate_limited) {
        let message = "every backend is rate-limited at the moment";
        let wait = failures
            .iter()
            .filter_map(|failed| failed.retry_after)
            .min();
        let status = StatusCode::TOO_MANY_REQUESTS;
        ApiError::new(
            status,
            ErrorKind::RateLimit,
            "upstream_rate_limited",
            message,
        )
        .with_retry_after(wait)
    } else if failures
        .last()
        .is_some_and(|failed| failed.kind == FailureKind::Timeout)
    {
        ApiError::server(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message)
    } else {
        ApiError::server(StatusCode::BAD_GATEWAY, "upstream_error", message)
    };
    // SDKs repeat such answers by themselves; where all endpoints were asked that is wasted.
    if tried_all && error.0.retry_after.is_none() {
        return error.with_header(X_SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    error
}

impl From<Break> for ApiError {
    fn from(broken: Break) -> Self {
        let message = "the upstream's answer broke off";
        match broken.kind {
            FailureKind::Timeout => {
                Self::server(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message)
            }
            _ => Self::server(StatusCode::BAD_GATEWAY, "upstream_error", message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Parts {
            status,
            body,
            retry_after,
            headers,
        } = *self.0;
        let body = Dialect::OpenAi.error(&body);
        let mut response = Response::new(axum::body::Body::new(Full::new(body)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        response
    }
}

/// Rounds up: a client that comes back early is refused again.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests;
