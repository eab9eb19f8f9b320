//! What an attempt taught us about an endpoint.
//!
//! The relay decides what a status, a code or a broken connection *is* ([`FailureKind`], made in
//! one place); this file says what each kind *implies* for the endpoint's health ([`Verdict`])
//! and for repeating the attempt.

use std::fmt;
use std::time::Duration;

/// The class of a failure that is the endpoint's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection: DNS, TCP or TLS.
    Connect,
    /// No headers, no content, or silence for too long.
    Timeout,
    /// The provider does not accept our credential, or the account is spent.
    Auth,
    /// The provider asks us to slow down.
    RateLimited,
    /// The provider says that it is at fault.
    Server,
    /// The provider does not have the model.
    Model,
    /// What came back is not an answer in the protocol we speak.
    Protocol,
}

impl FailureKind {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::Timeout,
        Self::Auth,
        Self::RateLimited,
        Self::Server,
        Self::Model,
        Self::Protocol,
    ];

    /// Returns the name used in logs, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Auth => "auth",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::Model => "model",
            Self::Protocol => "protocol",
        }
    }

    /// Returns whether the same request may be sent to the same endpoint again.
    ///
    /// A refused credential and a missing model stay refused and missing.
    pub fn may_repeat(self) -> bool {
        !matches!(self, Self::Auth | Self::Model)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a failure implies for the endpoint's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Counts towards the threshold.
    Count,
    /// Out of use for this long by the provider's own word; then in use again without a trial.
    CoolDown(Duration),
    /// Opens the breaker at once, for at least this long.
    Open {
        /// Zero leaves the length to the breaker's policy.
        at_least: Duration,
    },
    /// Opens the breaker when a second request meets the same: a bare 403 may concern one prompt.
    OpenIfRepeated,
}

/// One failure of an endpoint: its class and what that implies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The class, for logs, metrics and the retry decision.
    pub kind: FailureKind,
    /// The consequence for the breaker.
    pub verdict: Verdict,
}

impl Fault {
    /// Returns a failure of this kind with the consequence that is usual for it.
    pub fn new(kind: FailureKind) -> Self {
        let verdict = match kind {
            FailureKind::Auth => Verdict::Open {
                at_least: Duration::ZERO,
            },
            _ => Verdict::Count,
        };
        Self { kind, verdict }
    }

    /// Returns a rate limit that the provider has put a length to.
    pub fn cool_down(length: Duration) -> Self {
        Self {
            kind: FailureKind::RateLimited,
            verdict: Verdict::CoolDown(length),
        }
    }
}

/// How a use of an endpoint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was whole.
    Success,
    /// The endpoint failed, before or after content.
    Failure(Fault),
    /// The request was refused for what the client sent: an answer, and nobody's failure.
    ClientFault,
    /// The use was given up before it taught anything: the client left, or nothing was sent.
    Abandoned,
}
