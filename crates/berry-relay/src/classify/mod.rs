//! What a failure is: the one table from what was seen to a kind.
//!
//! | seen | kind | learned from |
//! |---|---|---|
//! | DNS, TCP, TLS, reset before an answer | connect | |
//! | no headers, no content, or silence in time | timeout | |
//! | an insufficient quota or credit balance, a place not served, 402 | auth, 30 min | OpenAI `insufficient_quota`; Anthropic "credit balance is too low", `billing_error`; Gemini "User location is not supported" |
//! | the day's allowance is used up | auth, 30 min | Gemini's `QuotaFailure` with a `…PerDay…` id; `OpenRouter` "free-models-per-day" |
//! | 401; an invalid key in a 400 or 403 | auth | OpenAI `invalid_api_key`; Gemini `API_KEY_INVALID` in a 400 |
//! | 403 without a reason | auth, when repeated | |
//! | a missing model in any error, 404 | model | OpenAI `model_not_found`; vLLM "The model … does not exist" |
//! | 429 | rate limited | RFC 6585; for how long, see [`retry_after`]; OpenAI's and Groq's daily limits are sliding windows and say when there is room again |
//! | 5xx, 408, 409, 529 | server | OpenAI's SDKs retry these; 529 is Anthropic's overload |
//! | 1xx, 3xx, a web page or the like as a 400, 403 or 404 | protocol | |
//! | 403 for moderation, any other 4xx | the client's fault | OpenAI `content_filter`, `content_policy_violation` |
//!
//! A message is only believed where it begins as the provider's own words do: validation errors
//! quote what the client sent, and a client must not be able to eject an endpoint by a quotation.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use berry_loadbalance::{FailureKind, Fault, Verdict};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use crate::retry_after;
use crate::upstream::TransportError;

/// How long an account without money or allowance is left alone: somebody has to pay first, or a day
/// to pass.
const BILLING: Duration = Duration::from_secs(30 * 60);

/// The longest code that is logged.
const LONGEST_CODE: usize = 64;
/// Codes that say that the key is not accepted.
const INVALID_KEY: &[&str] = &[
    "invalid_api_key",
    "API_KEY_INVALID",
    "invalid_key",
    "authentication_error",
];
/// Codes that say that the account is spent.
const SPENT: &[&str] = &[
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
];
/// Codes that say that the provider will not answer this prompt.
const MODERATED: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "moderation_blocked",
    "policy_violation",
];

/// A failed attempt, with what retry, health and the client each need of it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    /// How long the provider asks us to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The upstream's status, where it sent one.
    pub(crate) status: Option<StatusCode>,
    /// For the log: it may name hosts.
    pub(crate) cause: Cow<'static, str>,
    /// We failed, not the endpoint: it says nothing about its health.
    pub(crate) ours: bool,
    /// The provider says that it has no such model, and not only that there is nothing here.
    pub(crate) no_such_model: bool,
}

/// What an answer that is no success means.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// The endpoint failed.
    Failed(Failure),
    /// The client's request is at fault: the answer is for the client as it is.
    ClientFault,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, cause: impl Into<Cow<'static, str>>) -> Self {
        Self {
            fault: Fault::new(kind),
            retry_after: None,
            status: None,
            cause: cause.into(),
            ours: false,
            no_such_model: false,
        }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let kind = match &error {
            TransportError::ConnectTimeout(_)
            | TransportError::Connect(_)
            | TransportError::Handshake(_)
            | TransportError::Broken(_)
            | TransportError::Stale(_)
            | TransportError::Refused(_) => FailureKind::Connect,
            TransportError::HeaderTimeout(_) => FailureKind::Timeout,
            TransportError::NotHttp(_) => FailureKind::Protocol,
        };
        Self {
            ours: is_ours(&error),
            ..Self::new(kind, chain(&error))
        }
    }
}

/// Judges an answer whose status is no success. `now` is the time of day, for dates in headers.
pub(crate) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Judgement {
    let error = UpstreamError::read(body);
    let verdict = match Seen::of(status, error.as_ref()) {
        Seen::ClientFault => return Judgement::ClientFault,
        Seen::Fault(fault) => fault,
    };
    let details = error.as_ref().map_or(&[][..], UpstreamError::details);
    let stated = retry_after::stated(headers, details, now);
    let retry_after = match verdict.kind {
        FailureKind::RateLimited => stated.or_else(|| retry_after::reset(headers, now)),
        _ => stated,
    };
    let fault = match (verdict.kind, retry_after) {
        (FailureKind::RateLimited, Some(wait)) if !wait.is_zero() => Fault::cool_down(wait),
        _ => verdict,
    };
    let no_such_model = error.as_ref().is_some_and(UpstreamError::is_missing_model);
    let cause = match error.and_then(|error| error.code()) {
        Some(code) => format!("status {status} {code}").into(),
        None => format!("status {status}").into(),
    };
    Judgement::Failed(Failure {
        fault,
        retry_after,
        status: Some(status),
        cause,
        ours: false,
        no_such_model,
    })
}

/// Returns whether an answer of this status may be the client's fault: its body says so, or not.
pub(crate) fn may_excuse(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 401 | 402 | 404 | 408 | 409 | 429)
}

enum Seen {
    Fault(Fault),
    ClientFault,
}

impl Seen {
    fn of(status: StatusCode, error: Option<&UpstreamError>) -> Self {
        let auth = |verdict| {
            Self::Fault(Fault {
                kind: FailureKind::Auth,
                verdict,
            })
        };
        let open = |at_least| auth(Verdict::Open { at_least });
        let kind = |kind| Self::Fault(Fault::new(kind));
        let says = |codes| error.is_some_and(|error| error.has_code(codes));
        let is_error = status.is_client_error() || status.is_server_error();
        match status.as_u16() {
            _ if !is_error => kind(FailureKind::Protocol),
            _ if says(SPENT) || error.is_some_and(UpstreamError::is_spent) => open(BILLING),
            429 if error.is_some_and(UpstreamError::is_daily_cap) => open(BILLING),
            402 => open(BILLING),
            401 => open(Duration::ZERO),
            400 | 403 if says(INVALID_KEY) => open(Duration::ZERO),
            400..=499 if error.is_some_and(UpstreamError::is_missing_model) => {
                kind(FailureKind::Model)
            }
            429 => kind(FailureKind::RateLimited),
            500.. | 408 | 409 => kind(FailureKind::Server),
            // A proxy's page, or a path that is no API: it was not the provider who answered.
            400 | 403 | 404 if error.is_none() => kind(FailureKind::Protocol),
            404 => kind(FailureKind::Model),
            403 if !says(MODERATED) => auth(Verdict::OpenIfRepeated),
            _ => Self::ClientFault,
        }
    }
}

/// An error object, as far as it is looked at. Providers agree on neither shape nor types.
#[derive(Default)]
struct UpstreamError(Value);

impl UpstreamError {
    /// Reads a body; none where it is no object. No body says nothing. Gemini sends its object in an
    /// array of one where it speaks OpenAI's protocol.
    fn read(body: &[u8]) -> Option<Self> {
        if body.is_empty() {
            return Some(Self::default());
        }
        match serde_json::from_slice(body).ok()? {
            Value::Array(items) => Some(Self(items.into_iter().next().unwrap_or_default())),
            object @ Value::Object(_) => Some(Self(object)),
            _ => None,
        }
    }

    fn error(&self) -> &Value {
        &self.0["error"]
    }

    fn details(&self) -> &[Value] {
        self.error()["details"]
            .as_array()
            .map_or(&[], Vec::as_slice)
    }

    /// Returns the code for the log, where it is a word: a key or a prompt in its place is none.
    fn code(&self) -> Option<String> {
        let is_word = |text: &&str| {
            let of_word = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
            text.len() <= LONGEST_CODE && text.bytes().all(of_word)
        };
        let codes = ["code", "type", "status"].map(|name| &self.error()[name]);
        let code = codes.into_iter().find_map(|value| value.as_str());
        code.filter(is_word).map(str::to_owned)
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        let reasons = self.details().iter();
        let said = [
            &self.error()["code"],
            &self.error()["type"],
            &self.error()["status"],
        ];
        said.into_iter()
            .chain(reasons.map(|detail| &detail["reason"]))
            .filter_map(Value::as_str)
            .any(|code| codes.contains(&code))
    }

    fn is_missing_model(&self) -> bool {
        let text = self.text();
        self.has_code(&["model_not_found"])
            || text.starts_with("model not found")
            || (text.starts_with("the model `") && text.contains("` does not exist"))
    }

    fn is_spent(&self) -> bool {
        const SAID: [&str; 3] = [
            "your credit balance is too low",
            "user location is not supported",
            "gemini api free tier is not available",
        ];
        let text = self.text();
        SAID.iter().any(|said| text.starts_with(said))
    }

    /// Returns whether a limit was met that holds until the day is over. Gemini then asks for seconds
    /// of patience all the same.
    fn is_daily_cap(&self) -> bool {
        let violations = self
            .details()
            .iter()
            .filter_map(|detail| detail["violations"].as_array())
            .flatten();
        let mut quotas = violations.filter_map(|violation| violation["quotaId"].as_str());
        quotas.any(|quota| quota.contains("PerDay"))
            || self
                .text()
                .starts_with("rate limit exceeded: free-models-per-day")
    }

    fn text(&self) -> String {
        let texts = [
            &self.error()["message"],
            self.error(),
            &self.0["message"],
            &self.0["detail"],
        ];
        texts
            .into_iter()
            .find_map(|value| value.as_str())
            .unwrap_or_default()
            .to_lowercase()
    }
}

/// Returns whether we lack what a connection needs: descriptors, ports, memory.
fn is_ours(error: &(dyn std::error::Error + 'static)) -> bool {
    /// `EMFILE`, `ENFILE`, `EADDRNOTAVAIL`, `ENOBUFS`, `ENOMEM` on Linux.
    const OURS: [i32; 5] = [24, 23, 99, 105, 12];
    let mut error = Some(error);
    while let Some(cause) = error {
        let code = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
        if code.is_some_and(|code| OURS.contains(&code)) {
            return true;
        }
        error = cause.source();
    }
    false
}

/// Joins an error and its sources for one log field.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
