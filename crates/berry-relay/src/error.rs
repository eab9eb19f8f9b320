//! Why a request got no answer from any upstream. No status here: HTTP is spoken above.

use std::time::Duration;

use berry_loadbalance::FailureKind;
use smallvec::SmallVec;

/// One failed attempt, as far as the answer to the client depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// The class of the failure.
    pub kind: FailureKind,
    /// How long the provider asked us to wait.
    pub retry_after: Option<Duration>,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The user's tags match no backend of the model.
    #[error("no backend of this model is available to this user")]
    NoBackendForUser,
    /// The request names a provider that serves no backend of the model.
    #[error("the backend named in the request does not serve this model")]
    BackendNotFound,
    /// No endpoint admits requests.
    #[error("no backend is available at the moment")]
    Ejected {
        /// When the first of them does.
        retry_after: Duration,
    },
    /// Every endpoint that admits requests is of a provider that has as many as it may have.
    #[error("every backend of this model is busy at the moment: try again soon")]
    Busy,
    /// The request cannot be said in the protocol of any backend.
    #[error("{message}")]
    Untranslatable {
        /// The member that is at fault, as a path; empty where it is the body itself.
        param: String,
        /// What is wrong with it.
        message: String,
    },
    /// No backend of the model has the operation.
    #[error("no backend of this model has this operation")]
    Unsupported,
    /// The response that the request continues is not there for this user.
    #[error("the previous response was not found")]
    PreviousNotFound,
    /// The only backend that knows what the request refers to cannot answer.
    #[error("the backend that keeps this response is not available at the moment")]
    PinnedDown,
    /// All attempts failed.
    #[error("no backend could answer the request")]
    Exhausted {
        /// The attempts, in order.
        failures: SmallVec<[Failed; 4]>,
        /// Every endpoint that the request may use was among them.
        tried_all: bool,
    },
    /// The request's own deadline passed.
    #[error("no backend answered within the request's deadline")]
    Deadline,
}

impl RelayError {
    /// Returns whether the request failed because what was asked is out of order, rather than busy.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Exhausted { failures, .. } => failures
                .iter()
                .any(|failed| failed.kind != FailureKind::RateLimited),
            _ => false,
        }
    }
}
