//! Every wait there is, and how it ends: one table, for people.
//!
//! Whatever the gateway waits for, somebody may be unable or unwilling to deliver. A wait without an
//! end holds memory, a connection and a place for ever, so there is none: each row is a setting or a
//! constant, taken from where it is used. A silence that a setting leaves unbounded ends with the
//! connection that it is on.

use std::time::Duration;

use berry_core::Config;
use berry_core::config::{Backend, Provider, ServerSettings, Settings};
use http::uri::Scheme;

use crate::patience::LINGER;
use crate::relay::{FAILURE_WAIT, QUEUE_OR_FAIL, QUEUE_OR_MOVE, REFUSAL_WAIT};
use crate::upstream::{PING_EVERY, PING_WITHIN};

/// The bytes of a request's body that must come in each second, once it has taken longer than it may
/// be silent. A modem is faster; nobody is who wants to hold a place with a body that never ends.
pub const SLOWEST_UPLOAD: u32 = 4 * 1024;

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What is waited for.
    pub for_what: &'static str,
    /// How long; none where nothing bounds it.
    pub length: Option<Duration>,
    /// The key that sets it; none where it is fixed.
    pub setting: Option<&'static str>,
    /// What comes of it when it does not come.
    pub ends_with: &'static str,
}

impl Wait {
    fn new(
        for_what: &'static str,
        length: impl Into<Option<Duration>>,
        setting: impl Into<Option<&'static str>>,
        ends_with: &'static str,
    ) -> Self {
        Self {
            for_what,
            length: length.into(),
            setting: setting.into(),
            ends_with,
        }
    }
}

/// Returns the waits on clients, and of the process itself.
pub fn of_clients(config: &Config) -> Vec<Wait> {
    let (server, settings): (&ServerSettings, &Settings) = (&config.server, &config.settings);
    vec![
        Wait::new(
            "a request's head",
            server.header_timeout,
            "server.header_timeout_seconds",
            "the connection is closed",
        ),
        Wait::new(
            "more of a request's body",
            server.body_idle_timeout,
            "server.body_idle_timeout_seconds",
            "408",
        ),
        Wait::new(
            "each 4 KiB of a request's body, once it has taken that long",
            Duration::from_secs(1),
            None,
            "408",
        ),
        Wait::new(
            "the next request on a connection",
            server.client_idle_timeout,
            "server.client_idle_timeout_seconds",
            "the connection is closed",
        ),
        Wait::new(
            "a client to take 4 KiB, where as much waits, or else all of it",
            server.client_write_timeout,
            "server.client_write_timeout_seconds",
            "the connection is closed, the upstream cancelled",
        ),
        Wait::new(
            "requests in flight at a shutdown",
            settings.shutdown_grace,
            "settings.shutdown_grace_seconds",
            "they are cut off",
        ),
    ]
}

/// Returns the waits of a request for a backend.
pub fn of_backend(config: &Config, backend: &Backend) -> Vec<Wait> {
    let (settings, provider) = (&config.settings, &*backend.provider);
    let head = provider.response_timeout;
    let mut waits = vec![
        Wait::new(
            "a place at the provider, where another may be asked",
            QUEUE_OR_MOVE,
            None,
            "another provider",
        ),
        Wait::new(
            "a place at the provider, where none may be asked",
            QUEUE_OR_FAIL,
            None,
            "503",
        ),
        Wait::new(
            "DNS, TCP, TLS and the HTTP session",
            settings.connect_timeout,
            "settings.connect_timeout_seconds",
            "the next attempt",
        ),
        Wait::new(
            "a stream's head",
            head.streamed,
            head.streamed_key,
            "the next attempt",
        ),
        Wait::new(
            "a whole answer's head",
            head.whole,
            head.whole_key,
            "the next attempt",
        ),
        Wait::new(
            "more of a refusal's body",
            REFUSAL_WAIT,
            None,
            "its status alone is judged",
        ),
        Wait::new(
            "more of a failure's body (5xx, 429 and the like)",
            FAILURE_WAIT,
            None,
            "its status alone is judged",
        ),
    ];
    waits.extend(of_answer(settings, provider));
    waits.extend([
        Wait::new(
            "all of it until the first content",
            settings.request_deadline,
            "settings.request_deadline_seconds",
            "504",
        ),
        Wait::new(
            "the next request on an upstream connection",
            upstream_idle(settings, provider),
            "settings.upstream_idle_timeout_seconds",
            "the connection is closed",
        ),
        Wait::new(
            "a sign of life on an HTTP/2 connection in use",
            PING_EVERY + PING_WITHIN,
            None,
            "the connection is closed",
        ),
    ]);
    waits
}

/// Returns the waits for an answer that has begun.
fn of_answer(settings: &Settings, provider: &Provider) -> [Wait; 5] {
    let head = provider.response_timeout;
    [
        until_content(settings, provider),
        Wait::new(
            "a whole answer, or its first MiB, after its head",
            patience(provider),
            head.whole_key,
            "the next attempt",
        ),
        Wait::new(
            "the next event of a stream, or 4 KiB of another answer",
            settings.stream_idle_timeout,
            "settings.stream_idle_timeout_seconds",
            "an error event, or a reset",
        ),
        Wait::new(
            "a stream's next event that says something",
            until_said(patience(provider), settings.stream_idle_timeout),
            head.whole_key,
            "an error event",
        ),
        Wait::new(
            "a stream's end after `[DONE]`",
            LINGER,
            None,
            "the client's stream ends, the connection is closed",
        ),
    ]
}

/// Without a limit for its first content a stream may take as long as a whole answer may.
fn until_content(settings: &Settings, provider: &Provider) -> Wait {
    let (limit, key) = match settings.first_token_timeout {
        Some(limit) => (limit, "settings.first_token_timeout_seconds"),
        None => (patience(provider), provider.response_timeout.whole_key),
    };
    let what = "a stream's first content, after its head";
    Wait::new(what, limit, key, "the next attempt")
}

/// Returns how long an answer that has begun may take to its content: whoever streams may think as long
/// as whoever answers at once, and neither pings nor white space are an answer.
pub(crate) fn patience(provider: &Provider) -> Duration {
    provider.response_timeout.whole
}

/// Returns how long a stream's events may say nothing, after content: as long as content may take in the
/// first place, and not less than it may be silent.
pub(crate) fn until_said(patience: Duration, idle: Option<Duration>) -> Duration {
    patience.max(idle.unwrap_or_default())
}

/// Returns how long an unused connection to a provider is kept.
pub(crate) fn upstream_idle(settings: &Settings, provider: &Provider) -> Duration {
    let idle = settings.upstream_idle_timeout;
    if provider.base_url.scheme() == Some(&Scheme::HTTPS) {
        idle.https
    } else {
        idle.http
    }
}
