//! A provider as configured: where it is, as whom Berry calls it, and how patiently.
//!
//! How its protocol is spoken is not known here; `protocol` is only its name.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::name::ProviderName;
use crate::secret::Secret;

/// One account at one address, speaking one protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// The name used by `backend`, in labels and in logs.
    pub id: ProviderName,
    /// The name for people.
    pub name: Box<str>,
    /// Whether it gets requests and probes.
    pub enabled: bool,
    /// Absolute, `http` or `https`, without user info, query or a trailing `/`.
    pub base_url: http::Uri,
    /// What it knows Berry by; empty when no credential is to be sent. It can be a header value.
    pub api_key: Secret,
    /// The upstream models it offers; empty when unknown.
    pub models: Vec<Box<str>>,
    /// Sent with every request and probe, each value marked as sensitive.
    pub headers: http::HeaderMap,
    /// The name of its wire protocol, as the [`Vocabulary`](super::Vocabulary) spells it.
    pub protocol: &'static str,
    /// The time until an answer's head.
    pub response_timeout: ResponseTimeout,
    /// The retries of one request on this provider after its first attempt there.
    pub max_retries: u32,
    /// The most requests in flight, if bounded.
    pub max_concurrent_requests: Option<NonZeroU32>,
    /// The version of HTTP to speak.
    pub http_version: HttpVersion,
    /// PEM certificates to trust beside the usual roots.
    pub ca_file: Option<PathBuf>,
    /// The way there.
    pub proxy: ProxyChoice,
}

/// How long an upstream may take until its answer's head is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseTimeout {
    /// For streams, whose head comes before generation.
    pub streamed: Duration,
    /// For whole answers, whose head comes only when generation is done.
    pub whole: Duration,
    /// The key that sets it for streams.
    pub streamed_key: &'static str,
    /// The key that sets it for whole answers.
    pub whole_key: &'static str,
}

impl ResponseTimeout {
    /// Makes the same time for both, which this key sets.
    pub(super) fn of_both(time: Duration, key: &'static str) -> Self {
        Self {
            streamed: time,
            whole: time,
            streamed_key: key,
            whole_key: key,
        }
    }
}

impl Default for ResponseTimeout {
    fn default() -> Self {
        Self {
            streamed: Duration::from_secs(30),
            whole: Duration::from_mins(5),
            streamed_key: "settings.request_timeout_seconds",
            whole_key: "settings.json_timeout_seconds",
        }
    }
}

/// Which version of HTTP is spoken to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpVersion {
    /// HTTP/2 where TLS negotiates it, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
}

/// How a provider is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProxyChoice {
    /// As `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// Without a proxy, whatever the environment says.
    Direct,
    /// Through this proxy.
    Url(http::Uri),
}
