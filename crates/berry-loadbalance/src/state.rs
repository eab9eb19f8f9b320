//! Everything learned about one endpoint at run time.
//!
//! One small lock, held for arithmetic only: never across an await, and never while another lock
//! is taken (transitions are announced after it is released).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use berry_core::Tick;
use parking_lot::Mutex;

use crate::breaker::{Admission, Breaker, BreakerPolicy, BreakerState, Change, Claim, Entry};
use crate::key::EndpointKey;
use crate::outcome::{FailureKind, Outcome};

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

/// Where transitions are announced. Called outside all locks, on the request's own task: it must
/// not block.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(&Transition) + Send + Sync>);

impl Events {
    /// Announces to this listener.
    pub fn to(listener: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    fn announce(&self, transition: &Transition) {
        (self.0)(transition);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// A copy of the state at one instant: all that a strategy may look at.
#[derive(Debug, Clone, Copy)]
pub struct Signals {
    /// What the breaker admits.
    pub admission: Admission,
    /// Failures in a row; a closed endpoint with any is *suspect*.
    pub consecutive_failures: u32,
    /// Uses that have not ended.
    pub in_flight: u32,
}

impl Signals {
    /// Returns whether the endpoint may be used without being on trial.
    pub fn healthy(&self) -> bool {
        self.admission == Admission::Closed
    }

    /// Returns whether a claim has a chance now.
    pub fn admits(&self) -> bool {
        matches!(self.admission, Admission::Closed | Admission::Trial)
    }
}

/// What has been counted since the state began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts that ended with an answer or a failure.
    pub attempts: u64,
    /// Those that were the endpoint's failure.
    pub failures: u64,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        self.attempts += u64::from(outcome != Outcome::Abandoned);
        self.failures += u64::from(matches!(outcome, Outcome::Failure(_)));
    }
}

#[derive(Debug, Default)]
struct Learned {
    breaker: Breaker,
    tally: Tally,
}

/// See the module's documentation. Shared by every pool that uses the endpoint, in every snapshot
/// that is still alive; the registry holds it weakly.
#[derive(Debug)]
pub struct EndpointState {
    key: EndpointKey,
    events: Events,
    in_flight: AtomicU32,
    learned: Mutex<Learned>,
}

impl EndpointState {
    /// Begins with nothing learned.
    pub fn new(key: EndpointKey, events: Events) -> Self {
        Self {
            key,
            events,
            in_flight: AtomicU32::new(0),
            learned: Mutex::default(),
        }
    }

    /// Returns whose state this is.
    pub fn key(&self) -> &EndpointKey {
        &self.key
    }

    /// Returns a copy of what a strategy may look at.
    pub fn signals(&self, now: Tick) -> Signals {
        let learned = self.learned.lock();
        Signals {
            admission: learned.breaker.admission(now),
            consecutive_failures: learned.breaker.consecutive_failures(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
        }
    }

    /// Returns the breaker's state.
    pub fn breaker(&self, now: Tick) -> BreakerState {
        self.learned.lock().breaker.state(now)
    }

    /// Returns what has been counted.
    pub fn tally(&self) -> Tally {
        self.learned.lock().tally
    }

    /// Claims a use, or refuses.
    pub(crate) fn try_enter(&self, now: Tick) -> Option<Entry> {
        let claim = self.learned.lock().breaker.try_enter(now)?;
        Some(self.enter(claim))
    }

    /// Claims a use that was asked for by name.
    pub(crate) fn enter_regardless(&self, now: Tick) -> Entry {
        let claim = self.learned.lock().breaker.enter_regardless(now);
        self.enter(claim)
    }

    fn enter(&self, claim: Claim) -> Entry {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.announce(claim.change, None);
        claim.entry
    }

    /// Records that content came.
    pub(crate) fn answered(&self, entry: Entry) {
        let change = self.learned.lock().breaker.answered(entry);
        self.announce(change, None);
    }

    /// Records how a use ended. Called once per use, by its lease.
    pub(crate) fn leave(&self, entry: Entry, outcome: Outcome, now: Tick, policy: BreakerPolicy) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let (change, cause) = {
            let mut learned = self.learned.lock();
            learned.tally.count(outcome);
            match outcome {
                Outcome::Success => {
                    learned.breaker.completed(entry, now);
                    (None, None)
                }
                Outcome::Failure(fault) => (
                    learned.breaker.failed(entry, fault, now, policy),
                    Some(fault.kind),
                ),
                Outcome::ClientFault | Outcome::Abandoned => {
                    learned.breaker.abandoned(entry);
                    (None, None)
                }
            }
        };
        self.announce(change, cause);
    }

    fn announce(&self, change: Option<Change>, cause: Option<FailureKind>) {
        if let Some(Change { from, to }) = change {
            self.events.announce(&Transition {
                endpoint: self.key.clone(),
                from,
                to,
                cause,
            });
        }
    }

    /// Fails the endpoint until its breaker opens; for tests of what is above.
    #[cfg(test)]
    pub(crate) fn fail(&self, times: u32, now: Tick, policy: BreakerPolicy) {
        for _ in 0..times {
            let entry = self.enter_regardless(now);
            let fault = crate::Fault::new(FailureKind::Server);
            self.leave(entry, Outcome::Failure(fault), now, policy);
        }
    }
}
