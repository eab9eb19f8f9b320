//! Where a request goes next after a failed attempt.
//!
//! 1. An endpoint that was not tried, at once; at most `max_moves` times. The first move to an
//!    endpoint without recent failures is free, any further retry is paid from the model's
//!    [`RetryBudget`](crate::RetryBudget).
//! 2. Where none is left, one that was tried and whose breaker is closed (or ends a cool-down in
//!    time), after a backoff with full jitter, `rand(0 .. min(2 s, 100 ms × 2^n))`, but not before
//!    its Retry-After; over [`MAX_WAIT`] the client is better served by an answer. Never after a
//!    refused credential or a missing model.
//!
//! All within `max_retries` of the request and the retries of each provider. After a timeout one
//! more attempt is made at most: the client has waited, and the upstream may be generating still.
//!
//! Full jitter: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::sync::Arc;
use std::time::Duration;

use berry_core::{ProviderName, Tick};
use smallvec::SmallVec;

use crate::ability::Abilities;
use crate::breaker::Admission;
use crate::clock::Clock;
use crate::lease::Lease;
use crate::limits::RetryPolicy;
use crate::outcome::{FailureKind, Fault};
use crate::pool::{Filter, Order, Pick, PickError, Pool};

const BACKOFF_BASE: Duration = Duration::from_millis(100);
const BACKOFF_CAP: Duration = Duration::from_secs(2);
/// The longest a request waits for an endpoint to be ready again.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// What to do after a failure.
#[derive(Debug)]
pub enum Next {
    /// Attempt again with this lease.
    Now(Lease),
    /// Wait, then call [`Attempts::repeat`].
    After(Repeat),
    /// Give up: the failure in hand is the answer.
    Stop,
}

/// A further attempt on an endpoint that was tried, and how long to wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// The backoff.
    pub wait: Duration,
    index: usize,
    /// Of the failure that it follows.
    reason: FailureKind,
}

#[derive(Debug)]
struct Tried {
    index: usize,
    attempts: u32,
    /// The same request would fail the same way there.
    barred: bool,
    /// Until when its Retry-After asks for patience.
    not_before: Option<Tick>,
}

/// The attempts of one request: what was tried, and what is left.
#[derive(Debug)]
pub struct Attempts {
    pool: Arc<Pool>,
    filter: Filter,
    clock: Clock,
    rng: fastrand::Rng,
    tried: SmallVec<[Tried; 4]>,
    /// Providers that have as many requests as they may have.
    busy: SmallVec<[ProviderName; 2]>,
    retries_left: u32,
    moves_left: u32,
    moved: bool,
    repeats: u32,
    count: u32,
}

impl Attempts {
    /// Begins a request: picks its first endpoint.
    ///
    /// # Errors
    /// No endpoint matches, or none admits.
    pub fn begin(
        pool: &Arc<Pool>,
        filter: Filter,
        clock: Clock,
        rng: fastrand::Rng,
    ) -> Result<(Self, Lease), PickError> {
        let RetryPolicy {
            max_retries,
            max_moves,
        } = pool.retry_policy();
        let now = clock.now();
        pool.deposit(now);
        let mut attempts = Self {
            pool: Arc::clone(pool),
            filter,
            clock,
            rng,
            tried: SmallVec::new(),
            busy: SmallVec::new(),
            retries_left: max_retries,
            moves_left: max_moves,
            moved: false,
            repeats: 0,
            count: 0,
        };
        let lease = attempts.pick_at(Order::First, now)?;
        attempts.note(lease.index());
        Ok((attempts, lease))
    }

    /// Returns how many attempts were begun.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns whether every endpoint that the request may use was tried.
    pub fn tried_all(&self) -> bool {
        !self
            .pool
            .any_left(&self.filter, |index| self.was_tried(index))
    }

    /// Decides what follows the failure of the attempt on the endpoint at `index`, whose answer
    /// asked for this long a wait. The lease of that attempt must have been finished.
    pub fn after(&mut self, index: usize, fault: Fault, retry_after: Option<Duration>) -> Next {
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.index == index) {
            tried.barred |= !fault.kind.may_repeat();
            tried.not_before = retry_after.map(|wait| self.clock.now() + wait);
        }
        if fault.kind == FailureKind::Timeout {
            self.retries_left = self.retries_left.min(1);
        }
        if self.retries_left == 0 {
            return Next::Stop;
        }
        if self.moves_left == 0 {
            // Nothing is claimed that is not used: a trial would lose its turn.
            return if self.may_move() {
                Next::Stop
            } else {
                self.plan_repeat(fault.kind)
            };
        }
        match self.pick(Order::Later) {
            Ok(lease) => self.move_to(lease, fault.kind),
            Err(_) => self.plan_repeat(fault.kind),
        }
    }

    /// Gives a lease back unused, because its endpoint lacks something that turned out to be needed,
    /// and picks another endpoint in its stead. That is no attempt, and nobody's failure.
    ///
    /// # Errors
    /// No endpoint that was not tried has all that is needed, or none admits.
    pub fn decline(&mut self, lease: Lease, needs: Abilities) -> Result<Lease, PickError> {
        self.filter.needs = self.filter.needs.and(needs);
        let order = if self.count <= 1 {
            Order::First
        } else {
            Order::Later
        };
        self.give_back(lease);
        let lease = self.pick(order)?;
        self.note(lease.index());
        Ok(lease)
    }

    /// Gives a lease back unused, because its provider has as many requests as it may have, and
    /// picks an endpoint of another provider in its stead. That is no attempt, and nobody's failure.
    pub fn pass_by(&mut self, lease: Lease) -> Option<Lease> {
        self.busy.push(lease.endpoint().key().provider.clone());
        self.give_back(lease);
        let lease = self.pick(Order::Later).ok()?;
        self.note(lease.index());
        Some(lease)
    }

    /// Returns whether [`Self::pass_by`] would find another endpoint.
    pub fn may_pass_by(&self, lease: &Lease) -> bool {
        let provider = &lease.endpoint().key().provider;
        let skip =
            |index| self.is_out(index) || self.pool.endpoint(index).key().provider == *provider;
        self.pool.any_admits(&self.filter, skip, self.clock.now())
    }

    /// Undoes what was noted of a lease, and drops it.
    fn give_back(&mut self, lease: Lease) {
        let index = lease.index();
        self.count = self.count.saturating_sub(1);
        for tried in self.tried.iter_mut().filter(|tried| tried.index == index) {
            tried.attempts -= 1;
        }
        self.tried.retain(|tried| tried.attempts > 0);
        lease.decline();
    }

    /// Claims the endpoint of a [`Repeat`] after its wait; none where it is ejected by now.
    pub fn repeat(&mut self, repeat: Repeat) -> Option<Lease> {
        let skip = |index| index != repeat.index;
        let pick = Pick {
            order: Order::Later,
            rng: &mut self.rng,
            now: self.clock.now(),
        };
        let lease = self.pool.pick(&self.filter, skip, self.clock, pick).ok()?;
        self.note(lease.index());
        self.pool.count_retry(repeat.reason);
        Some(lease)
    }

    /// Moves to an untried endpoint, where that can be paid for.
    fn move_to(&mut self, lease: Lease, reason: FailureKind) -> Next {
        let now = self.clock.now();
        let suspect = lease
            .endpoint()
            .state
            .signals(self.filter.mode, now, &self.pool.limits().smart_ai)
            .consecutive_failures
            > 0;
        if (self.moved || suspect) && !self.pool.withdraw(now) {
            lease.decline();
            return Next::Stop;
        }
        self.moved = true;
        self.moves_left -= 1;
        self.retries_left -= 1;
        self.note(lease.index());
        self.pool.count_retry(reason);
        Next::Now(lease)
    }

    fn plan_repeat(&mut self, reason: FailureKind) -> Next {
        let now = self.clock.now();
        let Some((index, ready_in)) = self.soonest_ready(now) else {
            return Next::Stop;
        };
        let ceiling = BACKOFF_BASE
            .saturating_mul(1 << self.repeats.min(8))
            .min(BACKOFF_CAP);
        let wait = ceiling.mul_f64(self.rng.f64()).max(ready_in);
        if wait > MAX_WAIT || !self.pool.withdraw(now) {
            return Next::Stop;
        }
        self.repeats += 1;
        self.retries_left -= 1;
        Next::After(Repeat {
            wait,
            index,
            reason,
        })
    }

    /// Returns the tried endpoint that may be asked again first, and in how long.
    fn soonest_ready(&self, now: Tick) -> Option<(usize, Duration)> {
        let candidates = self.tried.iter().filter(|tried| {
            !tried.barred && !self.is_spent(tried.index) && !self.is_busy(tried.index)
        });
        candidates
            .filter_map(|tried| {
                let signals = self.pool.endpoint(tried.index).state.signals(
                    self.filter.mode,
                    now,
                    &self.pool.limits().smart_ai,
                );
                let cool = match signals.admission {
                    Admission::Closed => None,
                    Admission::CoolingDown { until } => Some(until),
                    Admission::Trial | Admission::Ejected { .. } => return None,
                };
                let ready_at = cool.max(tried.not_before);
                let ready_in = ready_at.map_or(Duration::ZERO, |at| at.saturating_since(now));
                Some((tried, signals, ready_in))
            })
            .min_by_key(|(tried, signals, ready_in)| {
                (
                    *ready_in,
                    signals.consecutive_failures,
                    tried.attempts,
                    tried.index,
                )
            })
            .map(|(tried, _, ready_in)| (tried.index, ready_in))
    }

    /// Picks an endpoint that was not tried, of a provider that has retries left.
    fn pick(&mut self, order: Order) -> Result<Lease, PickError> {
        self.pick_at(order, self.clock.now())
    }

    fn pick_at(&mut self, order: Order, now: Tick) -> Result<Lease, PickError> {
        let mut rng = self.rng.fork();
        let skip = |index| self.is_out(index);
        self.pool.pick(
            &self.filter,
            skip,
            self.clock,
            Pick {
                order,
                rng: &mut rng,
                now,
            },
        )
    }

    /// Returns whether an endpoint that was not tried admits.
    fn may_move(&self) -> bool {
        let skip = |index| self.is_out(index);
        self.pool.any_admits(&self.filter, skip, self.clock.now())
    }

    /// Returns whether a next attempt is not to be made there.
    fn is_out(&self, index: usize) -> bool {
        self.was_tried(index) || self.is_spent(index) || self.is_busy(index)
    }

    fn is_busy(&self, index: usize) -> bool {
        let provider = &self.pool.endpoint(index).key().provider;
        self.busy.contains(provider)
    }

    fn was_tried(&self, index: usize) -> bool {
        self.tried.iter().any(|tried| tried.index == index)
    }

    /// Returns whether the provider of this endpoint has had all its attempts of this request.
    fn is_spent(&self, index: usize) -> bool {
        let endpoint = self.pool.endpoint(index);
        let provider = |index| &self.pool.endpoint(index).key().provider;
        let used: u32 = self
            .tried
            .iter()
            .filter(|tried| *provider(tried.index) == endpoint.key().provider)
            .map(|tried| tried.attempts)
            .sum();
        used > endpoint.provider_retries
    }

    fn note(&mut self, index: usize) {
        self.count += 1;
        match self.tried.iter_mut().find(|tried| tried.index == index) {
            Some(tried) => tried.attempts += 1,
            None => self.tried.push(Tried {
                index,
                attempts: 1,
                barred: false,
                not_before: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
