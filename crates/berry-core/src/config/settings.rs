//! The `[settings]` of the gateway, resolved, and their defaults.
//!
//! Seconds have become a `Duration`, and a 0 that means "off" has become `None`, so that no
//! reader has to remember which zero means what.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::provider::ResponseTimeout;

/// How the gateway behaves as a whole. `file` says what each key means to a user.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the file, and none excludes another"
)]
pub struct Settings {
    /// The time between active checks of a provider, if there are any.
    pub health_check_interval: Option<Duration>,
    /// The time one probe may take.
    pub health_check_timeout: Duration,
    /// The time between two trials of an unhealthy endpoint.
    pub recovery_check_interval: Duration,
    /// The time until an upstream answer's head, where the provider does not say otherwise.
    pub response_timeout: ResponseTimeout,
    /// The retries of one request after its first attempt.
    pub max_retries: u32,
    /// How many other endpoints a request may move to.
    pub max_internal_retries: u32,
    /// The consecutive failures that open a breaker.
    pub circuit_breaker_failure_threshold: u32,
    /// How long a breaker stays open at first.
    pub circuit_breaker_timeout: Duration,
    /// Whether request bodies go to the debug log.
    pub log_request_body: bool,
    /// Whether answers' bodies go to the debug log.
    pub log_response_body: bool,
    /// Whether provider keys are masked in debug logs and admin output.
    pub mask_api_keys: bool,
    /// The time for TCP and TLS to an upstream together.
    pub connect_timeout: Duration,
    /// The time from a stream's head to its first content, if bounded.
    pub first_token_timeout: Option<Duration>,
    /// The longest silence of an upstream in the midst of an answer, if bounded.
    pub stream_idle_timeout: Option<Duration>,
    /// The silence after which a streaming client gets a comment, if it gets any.
    pub stream_keepalive: Option<Duration>,
    /// The share of recent requests that may be retried, 0 to 1.
    pub retry_budget_ratio: f64,
    /// The time for everything until the first content, if bounded.
    pub request_deadline: Option<Duration>,
    /// How long an unused upstream connection is kept.
    pub upstream_idle_timeout: UpstreamIdle,
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// How long requests in flight may go on after a shutdown was asked for.
    pub shutdown_grace: Duration,
    /// Where the audit log is written, if anywhere.
    pub audit_log: Option<PathBuf>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The most requests in flight, if bounded.
    pub max_inflight_requests: Option<NonZeroU32>,
    /// What the process may take, in MiB; without it what its container or the machine has.
    pub max_memory_mib: Option<NonZeroU32>,
    /// Whether anonymous status pages list providers and models.
    pub public_details: bool,
    /// The constants of the `smart_ai` strategy.
    pub smart_ai: SmartAi,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            health_check_interval: Some(Duration::from_secs(30)),
            health_check_timeout: Duration::from_secs(10),
            recovery_check_interval: Duration::from_mins(2),
            response_timeout: ResponseTimeout::default(),
            max_retries: 3,
            max_internal_retries: 2,
            circuit_breaker_failure_threshold: 5,
            circuit_breaker_timeout: Duration::from_mins(1),
            log_request_body: false,
            log_response_body: false,
            mask_api_keys: true,
            connect_timeout: Duration::from_secs(5),
            first_token_timeout: None,
            stream_idle_timeout: Some(Duration::from_mins(2)),
            stream_keepalive: Some(Duration::from_secs(15)),
            retry_budget_ratio: 0.2,
            request_deadline: None,
            upstream_idle_timeout: UpstreamIdle::default(),
            max_body_bytes: 32 << 20,
            shutdown_grace: Duration::from_secs(30),
            audit_log: None,
            trusted_proxies: Vec::new(),
            max_inflight_requests: None,
            max_memory_mib: None,
            public_details: true,
            smart_ai: SmartAi::default(),
        }
    }
}

/// How long an unused connection to an upstream is kept, by scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamIdle {
    /// Without TLS: shorter than the five seconds after which common local servers hang up, or
    /// requests would be sent into connections that are being closed.
    pub http: Duration,
    /// With TLS: long, since a new connection costs several round trips.
    pub https: Duration,
}

impl UpstreamIdle {
    /// The same time for both schemes.
    pub const fn both(time: Duration) -> Self {
        Self {
            http: time,
            https: time,
        }
    }
}

impl Default for UpstreamIdle {
    fn default() -> Self {
        Self {
            http: Duration::from_secs(4),
            https: Duration::from_mins(1),
        }
    }
}

/// The constants of the `smart_ai` strategy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmartAi {
    /// What an endpoint is trusted before anything is known of it, 0 to 1.
    pub initial_confidence: f64,
    /// The least that failures leave, 0 to `initial_confidence`.
    pub min_confidence: f64,
    /// The share of requests that look beyond the best endpoint, 0 to 1.
    pub exploration_ratio: f64,
    /// Whether confidence drifts back to its start while nothing is learned.
    pub enable_time_decay: bool,
    /// The least time between two costly explorations, and before a silent endpoint is probed.
    pub lightweight_check_interval: Duration,
    /// The factor on the score of a well-trusted endpoint that is not tagged `premium`, 1 to 10.
    pub non_premium_stability_bonus: f64,
    /// What one outcome changes.
    pub confidence_adjustments: ConfidenceAdjustments,
}

impl Default for SmartAi {
    fn default() -> Self {
        Self {
            initial_confidence: 0.8,
            min_confidence: 0.05,
            exploration_ratio: 0.2,
            enable_time_decay: true,
            lightweight_check_interval: Duration::from_mins(10),
            non_premium_stability_bonus: 1.1,
            confidence_adjustments: ConfidenceAdjustments::default(),
        }
    }
}

/// What one outcome changes in an endpoint's confidence; each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfidenceAdjustments {
    /// Added by a success.
    pub success_boost: f64,
    /// Subtracted when the endpoint cannot be reached or does not speak its protocol.
    pub network_error_penalty: f64,
    /// Subtracted when it refuses the key.
    pub auth_error_penalty: f64,
    /// Subtracted when it limits Berry's rate.
    pub rate_limit_penalty: f64,
    /// Subtracted when it fails by its own account.
    pub server_error_penalty: f64,
    /// Subtracted when it does not know the model.
    pub model_error_penalty: f64,
    /// Subtracted when it takes too long.
    pub timeout_penalty: f64,
}

impl Default for ConfidenceAdjustments {
    fn default() -> Self {
        Self {
            success_boost: 0.1,
            network_error_penalty: 0.3,
            auth_error_penalty: 0.8,
            rate_limit_penalty: 0.1,
            server_error_penalty: 0.2,
            model_error_penalty: 0.3,
            timeout_penalty: 0.2,
        }
    }
}
