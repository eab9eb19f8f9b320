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
use crate::economy::Tokens;
use crate::endpoint::Endpoint;
use crate::latency::Mode;
use crate::outcome::Outcome;
use crate::pool::Pool;
use crate::state::{EndpointState, Use};

/// See the module's documentation.
#[derive(Debug)]
#[must_use = "a lease that is dropped at once records an abandoned attempt"]
pub struct Lease {
    pool: Arc<Pool>,
    index: usize,
    entry: Entry,
    mode: Mode,
    clock: Clock,
    started: Tick,
    answered: bool,
    charged: bool,
    sent: bool,
    /// Held by the pool's only last-resort attempt.
    _last_resort: Option<Arc<()>>,
    /// How it was finished, and when.
    finished: Option<(Outcome, Tick)>,
}

impl Lease {
    /// Makes one that begins where a clock shows this.
    pub(crate) fn new(
        pool: Arc<Pool>,
        claimed: Claimed,
        mode: Mode,
        (clock, started): (Clock, Tick),
    ) -> Self {
        let Claimed {
            index,
            entry,
            last_resort,
        } = claimed;
        Self {
            pool,
            index,
            entry,
            mode,
            clock,
            started,
            answered: false,
            charged: false,
            sent: true,
            _last_resort: last_resort,
            finished: None,
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

    /// Returns how long it has lasted.
    pub fn elapsed(&self) -> Duration {
        self.clock.now().saturating_since(self.started)
    }

    /// Begins now: what was before was not the endpoint's doing.
    pub fn restart(&mut self) {
        self.started = self.clock.now();
    }

    /// Records that content has come: from here the endpoint counts as working, however long the
    /// answer lasts. A ten-minute stream must not hold a breaker's only trial.
    pub fn answered(&mut self) {
        if !self.answered {
            self.answered_at(self.clock.now());
        }
    }

    fn answered_at(&mut self, now: Tick) {
        self.answered = true;
        self.report(now, EndpointState::answered);
    }

    /// Records the tokens that the answer cost, for what the pool expects of others. An answer that does not
    /// say counts as an average one. The endpoint's meter is charged by whoever settles the request.
    pub fn charge(&mut self, tokens: Tokens) {
        self.charged = true;
        let cost = tokens.cost(&self.endpoint().prices);
        self.pool.economy().record(tokens, cost);
    }

    /// Gives it back: nothing was sent.
    pub(crate) fn decline(mut self) {
        self.sent = false;
    }

    /// Records how the use ended. A success has been answered.
    pub fn finish(mut self, outcome: Outcome) {
        let now = self.clock.now();
        if outcome == Outcome::Success {
            if !self.answered {
                self.answered_at(now);
            }
            if !self.charged {
                let endpoint = self.endpoint();
                self.pool.economy().record_average(&endpoint.prices);
            }
        }
        self.finished = Some((outcome, now));
    }
}

impl Lease {
    /// Returns the claim, for tests of what is above.
    #[cfg(test)]
    pub(crate) fn entry(&self) -> Entry {
        self.entry
    }

    /// Tells the endpoint's state about this use.
    fn report(&self, now: Tick, tell: impl FnOnce(&EndpointState, &Use<'_>)) {
        let endpoint = self.endpoint();
        let this = Use {
            entry: self.entry,
            mode: self.mode,
            lasted: now.saturating_since(self.started),
            patience: endpoint.patience.of(self.mode),
            now,
            breaker: self.pool.limits().breaker_of(endpoint.billing),
            limits: self.pool.limits(),
            waited: self.sent && !self.answered,
        };
        tell(&endpoint.state, &this);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let abandoned = || (Outcome::Abandoned, self.clock.now());
        let (outcome, now) = self.finished.unwrap_or_else(abandoned);
        self.report(now, |state, this| state.leave(this, outcome));
    }
}

/// An endpoint that has been claimed for a lease.
#[derive(Debug)]
pub(crate) struct Claimed {
    /// Its place in the pool.
    pub(crate) index: usize,
    pub(crate) entry: Entry,
    /// The claim was made although every breaker is open.
    pub(crate) last_resort: Option<Arc<()>>,
}
