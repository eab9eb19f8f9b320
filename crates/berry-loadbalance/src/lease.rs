//! One use of one endpoint, from choice to outcome.
//!
//! Only the lease records: exactly once, through [`Lease::finish`] or, where it is dropped without
//! one, as abandoned. It rides in the response body, so a stream ends when it ends and a
//! client that leaves is seen. That drop is also the only place that can give the place of an
//! abandoned trial back.

use std::sync::Arc;
use std::time::Duration;

use berry_core::Tick;

use crate::breaker::Entry;
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::outcome::Outcome;
use crate::pool::Pool;

/// See the module's documentation.
#[derive(Debug)]
#[must_use = "a lease that is dropped at once records an abandoned attempt"]
pub struct Lease {
    pool: Arc<Pool>,
    index: usize,
    entry: Entry,
    clock: Clock,
    started: Tick,
    answered: bool,
    outcome: Outcome,
}

impl Lease {
    pub(crate) fn new(pool: Arc<Pool>, index: usize, entry: Entry, clock: Clock) -> Self {
        let started = clock.now();
        Self {
            pool,
            index,
            entry,
            clock,
            started,
            answered: false,
            outcome: Outcome::Abandoned,
        }
    }

    /// Returns the endpoint in use.
    pub fn endpoint(&self) -> &Endpoint {
        self.pool.endpoint(self.index)
    }

    /// Returns the endpoint's place in its pool.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns when the use began.
    pub fn started(&self) -> Tick {
        self.started
    }

    /// Returns how long it has lasted.
    pub fn elapsed(&self) -> Duration {
        self.clock.now().saturating_since(self.started)
    }

    /// Records that content has come: from here the endpoint counts as working, however long the
    /// answer lasts. A ten-minute stream must not hold a breaker's only trial.
    pub fn answered(&mut self) {
        if !self.answered {
            self.answered = true;
            self.endpoint().state.answered(self.entry);
        }
    }

    /// Records how the use ended. A success has been answered.
    pub fn finish(mut self, outcome: Outcome) {
        if outcome == Outcome::Success {
            self.answered();
        }
        self.outcome = outcome;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now = self.clock.now();
        self.endpoint()
            .state
            .leave(self.entry, self.outcome, now, self.pool.breaker_policy());
    }
}
