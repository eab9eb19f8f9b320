//! How an answer ends that does not come to its end.

use berry_loadbalance::FailureKind;

use crate::tap::{StreamFailure, Tap};

/// Why an answer broke off after content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's answer broke off ({kind})")]
pub struct Break {
    /// The class of the failure.
    pub kind: FailureKind,
    /// The client has been sent the upstream's own error event.
    pub told: bool,
    /// The client is in the middle of an event, which must be ended before anything else is said.
    pub torn: bool,
}

impl Break {
    /// What came was no answer, or told of an error.
    pub(crate) const GARBAGE: Self = Self {
        kind: FailureKind::Protocol,
        told: false,
        torn: false,
    };
}

/// Why an answer never had content.
pub(crate) type Unanswered = (FailureKind, &'static str);

/// Says why there was no content.
pub(crate) fn unanswered(kind: FailureKind, tap: &Tap) -> Unanswered {
    let cause = match (tap.failure(), kind) {
        (Some(StreamFailure::Told | StreamFailure::Untold), _) => "an error in a 200",
        (Some(StreamFailure::Garbage), _) => "not an answer in this protocol",
        (None, FailureKind::Timeout) => "no content in time",
        (None, _) => "the answer ended before its content",
    };
    (kind, cause)
}
