//! The configured rules by which a pool ejects and retries.

use std::time::Duration;

use berry_core::config::{BillingMode, Settings, SmartAi};

use crate::breaker::BreakerPolicy;

/// The configured rules of a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// When endpoints are ejected.
    pub breaker: BreakerPolicy,
    /// The time between two trials of an unhealthy endpoint.
    pub recovery: Duration,
    /// How often a request may be attempted.
    pub retry: RetryPolicy,
    /// The share of requests that may be retries.
    pub retry_budget_ratio: f64,
    /// What `smart_ai` learns by.
    pub smart_ai: SmartAi,
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        Self {
            breaker: BreakerPolicy {
                threshold: settings.circuit_breaker_failure_threshold,
                timeout: settings.circuit_breaker_timeout,
                longest: None,
            },
            recovery: settings.recovery_check_interval,
            retry: RetryPolicy {
                max_retries: settings.max_retries,
                max_moves: settings.max_internal_retries,
            },
            retry_budget_ratio: settings.retry_budget_ratio,
            smart_ai: settings.smart_ai,
        }
    }
}

impl Limits {
    /// Returns when an endpoint is ejected. One that bills by request comes back by a trial alone,
    /// so its trials keep the pace of probes.
    pub(crate) fn breaker_of(&self, billing: BillingMode) -> BreakerPolicy {
        match billing {
            BillingMode::PerToken => self.breaker,
            BillingMode::PerRequest => BreakerPolicy {
                longest: Some(self.recovery),
                ..self.breaker
            },
        }
    }
}

/// The configured limits of one request's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first, on whatever endpoint.
    pub max_retries: u32,
    /// How many other endpoints the request may move to.
    pub max_moves: u32,
}
