//! What endpoints tell whoever runs them.

use std::fmt;
use std::sync::Arc;

use crate::breaker::BreakerState;
use crate::key::EndpointKey;
use crate::outcome::FailureKind;
use crate::totals::Totals;

/// A breaker that changed its state, as told to logs, metrics and whoever else listens.
#[derive(Debug, Clone)]
pub struct Transition {
    /// Whose breaker.
    pub endpoint: EndpointKey,
    /// The state before.
    pub from: BreakerState,
    /// The state now.
    pub to: BreakerState,
    /// The kind of the failure that caused it; none when it recovered.
    pub cause: Option<FailureKind>,
}

/// Where it is told: transitions to a listener, the ends of uses to the totals. The listener is
/// called outside all locks, on the request's own task: it must not block.
#[derive(Clone)]
pub struct Events {
    listener: Arc<dyn Fn(&Transition) + Send + Sync>,
    totals: Arc<Totals>,
}

impl Events {
    /// Announces to this listener, and counts from 0.
    pub fn to(listener: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        Self {
            listener: Arc::new(listener),
            totals: Arc::default(),
        }
    }

    pub(crate) fn totals(&self) -> &Arc<Totals> {
        &self.totals
    }

    pub(crate) fn announce(&self, transition: &Transition) {
        (self.listener)(transition);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
