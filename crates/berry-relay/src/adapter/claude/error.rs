//! Errors as OpenAI says them.
//!
//! | Anthropic's `error.type` | `type` | `code` |
//! |---|---|---|
//! | `invalid_request_error` | `invalid_request_error` | null; `context_length_exceeded` where the prompt is too long |
//! | `request_too_large` | `invalid_request_error` | `request_too_large` |
//! | `not_found_error` | `invalid_request_error` | `model_not_found` |
//! | `authentication_error` | `invalid_request_error` | `invalid_api_key` |
//! | `permission_error` | `permission_error` | null |
//! | `billing_error` | `permission_error` | `insufficient_quota` |
//! | `rate_limit_error` | `rate_limit_error` | `rate_limit_exceeded` |
//! | `overloaded_error` | `server_error` | `overloaded` |
//! | `timeout_error` | `server_error` | `timeout` |
//! | `api_error`, any other | `server_error` | null |
//!
//! `param` is the member that the message begins with, where OpenAI's schema has it too. Anthropic
//! counts messages after ours have been merged, so the number is left out.

use std::borrow::Cow;

use berry_core::{ErrorBody, ErrorKind};
use serde::Deserialize;

use super::text;

/// Anthropic's names of members, and OpenAI's.
const MEMBERS: &[(&str, &str)] = &[
    ("max_tokens", "max_tokens"),
    ("messages", "messages"),
    ("metadata", "user"),
    ("model", "model"),
    ("output_config", "response_format"),
    ("stop_sequences", "stop"),
    ("system", "messages"),
    ("temperature", "temperature"),
    ("thinking", "reasoning_effort"),
    ("tool_choice", "tool_choice"),
    ("tools", "tools"),
    ("top_p", "top_p"),
];

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    error: Error<'a>,
}

#[derive(Deserialize)]
struct Error<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

/// Returns the body of an error in OpenAI's form; none where it is no error of Anthropic's.
pub(crate) fn openai(body: &[u8]) -> Option<Vec<u8>> {
    read(body).map(|error| error.to_json())
}

/// Reads `{"type":"error","error":{…}}`.
pub(super) fn read(body: &[u8]) -> Option<ErrorBody> {
    let Body { error } = text::object(body)?;
    let (kind, code) = match error.kind.as_ref() {
        "invalid_request_error" if is_too_long(&error.message) => {
            (ErrorKind::InvalidRequest, Some("context_length_exceeded"))
        }
        "invalid_request_error" => (ErrorKind::InvalidRequest, None),
        "request_too_large" => (ErrorKind::InvalidRequest, Some("request_too_large")),
        "not_found_error" => (ErrorKind::InvalidRequest, Some("model_not_found")),
        "authentication_error" => (ErrorKind::InvalidRequest, Some("invalid_api_key")),
        "permission_error" => (ErrorKind::Permission, None),
        "billing_error" => (ErrorKind::Permission, Some("insufficient_quota")),
        "rate_limit_error" => (ErrorKind::RateLimit, Some("rate_limit_exceeded")),
        "overloaded_error" => (ErrorKind::Server, Some("overloaded")),
        "timeout_error" => (ErrorKind::Server, Some("timeout")),
        _ => (ErrorKind::Server, None),
    };
    let mut body = ErrorBody::new(kind, error.message.into_owned());
    if kind == ErrorKind::InvalidRequest {
        body.param = param(&body.message).map(Cow::Borrowed);
    }
    body.code = code.map(Cow::Borrowed);
    Some(body)
}

fn is_too_long(message: &str) -> bool {
    message.starts_with("prompt is too long")
        || message.starts_with("input length and `max_tokens` exceed context limit")
}

/// Finds the member in a message like ``messages.1.content: …`` or `` `temperature` may only …``.
fn param(message: &str) -> Option<&'static str> {
    let name = message.trim_start_matches('`');
    let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '_')?;
    let (name, after) = name.split_at(end);
    let names_a_member = after.starts_with(['.', ':', '`']);
    let (_, param) = MEMBERS.iter().find(|(theirs, _)| *theirs == name)?;
    names_a_member.then_some(*param)
}
