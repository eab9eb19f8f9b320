//! What asks an endpoint. Implemented above, where providers' protocols are known.

use std::borrow::Cow;
use std::fmt;

use crate::key::EndpointKey;
use crate::outcome::FailureKind;

/// How much a probe asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeDepth {
    /// The provider's list of models.
    Models,
    /// One token of an answer.
    Chat,
}

impl fmt::Display for ProbeDepth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Models => "models",
            Self::Chat => "chat",
        })
    }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It works.
    Passed,
    /// It does not.
    Failed(ProbeFailure),
    /// It was asked for what it does not offer, or could not be asked.
    Unknown,
}

/// How a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeFailure {
    /// The class, from the same table as a request's.
    pub kind: FailureKind,
    /// For the log: it may name hosts.
    pub cause: Cow<'static, str>,
}

/// Asks an endpoint whether it works.
pub trait Prober: Send + Sync + 'static {
    /// Sends one probe and waits for its end, for a bounded time.
    fn probe(
        &self,
        endpoint: &EndpointKey,
        depth: ProbeDepth,
    ) -> impl Future<Output = ProbeOutcome> + Send;
}
