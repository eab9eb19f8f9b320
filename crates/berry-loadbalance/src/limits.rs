//! The configured rules by which a pool ejects and retries.

use berry_core::config::SmartAi;

use crate::breaker::BreakerPolicy;

/// The configured rules of a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// When endpoints are ejected.
    pub breaker: BreakerPolicy,
    /// How often a request may be attempted.
    pub retry: RetryPolicy,
    /// The share of requests that may be retries.
    pub retry_budget_ratio: f64,
    /// What `smart_ai` learns by.
    pub smart_ai: SmartAi,
}

/// The configured limits of one request's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first, on whatever endpoint.
    pub max_retries: u32,
    /// How many other endpoints the request may move to.
    pub max_moves: u32,
}
