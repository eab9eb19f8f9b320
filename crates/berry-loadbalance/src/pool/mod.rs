//! The endpoints of one public model, and which of them a request may use now.
//!
//! Candidates are the endpoints that the request's [`Filter`] admits, that it has not tried, and
//! whose breaker admits; of these the healthy ones if there are any, else all. The strategy
//! chooses among them, the same rule for every strategy. So that an ejected endpoint returns
//! although healthy ones exist, every [`TRIAL_EVERY`]th first pick goes to one whose trial is due, or
//! whose probe failed: probes may ask for what it cannot do. One such request that fails is enough
//! until the next probe could be.
//!
//! Looking and claiming are two steps: what [`Signals`] admit is advice, the claim
//! is made under the state's lock. Where it is refused, another request was faster, and the choice
//! is made again without that candidate.

mod state;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use berry_core::{ProviderName, Tick, User};
use smallvec::SmallVec;

use crate::ability::Abilities;
use crate::affinity::AffinityKey;
use crate::breaker::Admission;
use crate::clock::Clock;
use crate::economy::Economy;
use crate::endpoint::Endpoint;
use crate::key::Account;
use crate::latency::Mode;
use crate::lease::{Claimed, Lease};
use crate::limits::{Limits, RetryPolicy};
use crate::outcome::FailureKind;
use crate::state::Signals;
use crate::strategy::{Candidate, Draw, Strategy};

use state::{LastResort, PoolState};
pub use view::EndpointView;

/// Seldom enough to cost a failing endpoint's users little (its trial is protected by failover),
/// often enough to bring it back under light traffic.
const TRIAL_EVERY: u64 = 20;

/// With every breaker open one attempt is started this often.
const LAST_RESORT_EVERY: Duration = Duration::from_secs(1);

/// Most models have fewer backends; more than this allocates once per pick.
type Candidates<'a> = SmallVec<[Candidate<'a>; 16]>;

/// Which endpoints of a pool one request may use.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Whose tags decide.
    pub user: Arc<User>,
    /// The provider that the request asks for by name. Its health is then ignored: the caller wants
    /// this one, and no other.
    pub provider: Option<ProviderName>,
    /// The only account that knows what the request refers to. Unlike a provider asked for by name,
    /// its health counts.
    pub account: Option<Account>,
    /// What the endpoint must be able to do.
    pub needs: Abilities,
    /// Whether the answer comes in pieces.
    pub mode: Mode,
    /// What it shares with the requests whose endpoint it prefers.
    pub affinity: Option<AffinityKey>,
}

impl Filter {
    fn admits(&self, endpoint: &Endpoint) -> bool {
        self.names(endpoint)
            && endpoint.abilities.include(self.needs)
            && self
                .account
                .as_ref()
                .is_none_or(|account| endpoint.key().is_of(account))
            && self.user.may_use_backend(&endpoint.tags)
    }

    /// Returns whether the endpoint is of the provider asked for by name, if one is.
    fn names(&self, endpoint: &Endpoint) -> bool {
        self.provider
            .as_ref()
            .is_none_or(|name| *name == endpoint.key().provider)
    }
}

/// Why no endpoint was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// The user's tags match no endpoint.
    #[error("no endpoint matches the request's permissions")]
    NoMatch,
    /// The request asked for a provider that has no endpoint here.
    #[error("the named provider has no endpoint of this model")]
    NotHere,
    /// No endpoint can do what the request needs, whoever sends it.
    #[error("no endpoint has the abilities that the request needs")]
    Unable,
    /// All that match were tried.
    #[error("every matching endpoint was tried")]
    Tried,
    /// Those not tried are ejected.
    #[error("no endpoint admits requests")]
    Ejected {
        /// When the first of them does.
        retry_at: Tick,
    },
}

/// How a pool is made.
#[derive(Debug)]
pub struct PoolOptions {
    /// The endpoints in the order of the file.
    pub endpoints: Vec<Endpoint>,
    /// Chooses among them.
    pub strategy: Box<dyn Strategy>,
    /// The configured rules.
    pub limits: Limits,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Pool {
    endpoints: Box<[Endpoint]>,
    strategy: Box<dyn Strategy>,
    limits: Limits,
    state: Arc<PoolState>,
    /// The strategy's part of the totals.
    selections: Arc<AtomicU64>,
}

impl Pool {
    /// Makes a pool.
    pub fn new(options: PoolOptions) -> Self {
        Self {
            endpoints: options.endpoints.into_boxed_slice(),
            strategy: options.strategy,
            limits: options.limits,
            state: Arc::default(),
            selections: Arc::default(),
        }
    }

    /// Adds the requests that are given an endpoint to `selections` as well, as
    /// [`Totals::selections_by`](crate::Totals::selections_by) keeps them.
    #[must_use]
    pub fn counting(mut self, selections: Arc<AtomicU64>) -> Self {
        self.selections = selections;
        self
    }

    /// Begins where `previous`, the same model's pool of another configuration, stands.
    #[must_use]
    pub fn continuing(mut self, previous: &Self) -> Self {
        self.state = Arc::clone(&previous.state);
        self
    }

    /// Returns all endpoints, in the order of the file.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Returns how many endpoints a new request might be given now.
    pub fn usable(&self, now: Tick) -> usize {
        self.endpoints
            .iter()
            .filter(|endpoint| self.signals(endpoint, now).admits())
            .count()
    }

    pub(crate) fn endpoint(&self, index: usize) -> &Endpoint {
        &self.endpoints[index]
    }

    /// Returns what selection sees of an endpoint, for whole answers.
    pub fn signals(&self, endpoint: &Endpoint, now: Tick) -> Signals {
        endpoint
            .state
            .signals(Mode::Whole, now, &self.limits.smart_ai)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn economy(&self) -> &Economy {
        &self.state.economy
    }

    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        self.limits.retry
    }

    /// Counts a request, which retries may later be paid from.
    pub(crate) fn deposit(&self, now: Tick) {
        self.state.budget.lock().deposit(now);
    }

    /// Pays for a retry, or refuses.
    pub(crate) fn withdraw(&self, now: Tick) -> bool {
        let ratio = self.limits.retry_budget_ratio;
        self.state.budget.lock().withdraw(ratio, now)
    }

    /// Returns whether an endpoint that matches was not tried yet.
    pub(crate) fn any_left(&self, filter: &Filter, tried: impl Fn(usize) -> bool) -> bool {
        let mut endpoints = self.endpoints.iter().enumerate();
        endpoints.any(|(index, endpoint)| filter.admits(endpoint) && !tried(index))
    }

    /// Returns whether an endpoint that `skip` does not name admits the request.
    pub(crate) fn any_admits(
        &self,
        filter: &Filter,
        skip: impl Fn(usize) -> bool,
        now: Tick,
    ) -> bool {
        let mut candidates = Candidates::new();
        self.find(&mut candidates, filter, skip, now);
        !candidates.is_empty()
    }

    /// Chooses and claims an endpoint that `skip` does not name.
    pub(crate) fn pick(
        self: &Arc<Self>,
        filter: &Filter,
        skip: impl Fn(usize) -> bool,
        clock: Clock,
        Pick { order, rng, now }: Pick<'_>,
    ) -> Result<Lease, PickError> {
        let mut draw = Draw {
            now,
            rng,
            turns: &self.state.turns,
            affinity: filter.affinity,
            first: order == Order::First,
            smart_ai: &self.limits.smart_ai,
            economy: &self.state.economy,
        };
        let lease = |claimed: Claimed| {
            self.count_selection(order);
            self.endpoint(claimed.index).state.asked(filter.needs);
            Lease::new(Arc::clone(self), claimed, filter.mode, (clock, now))
        };
        let mut candidates = Candidates::new();
        let otherwise = self.find(&mut candidates, filter, &skip, now);
        while let Some(place) = self.choose(&candidates, &mut draw) {
            let index = candidates[place].index;
            let state = &self.endpoints[index].state;
            let entry = match filter.provider {
                Some(_) => Some(state.enter_regardless(now)),
                None => state.try_enter(now),
            };
            if let Some(entry) = entry {
                return Ok(lease(Claimed {
                    index,
                    entry,
                    last_resort: None,
                }));
            }
            candidates.remove(place);
        }
        let ejected = matches!(otherwise, PickError::Ejected { .. });
        // Somewhere else than last time may be where it works.
        draw.affinity = None;
        if ejected && let Some(claimed) = self.last_resort(filter, &skip, &mut draw) {
            return Ok(lease(claimed));
        }
        Err(otherwise)
    }

    /// Where every breaker is open: one attempt at a time, one a second, in the strategy's order.
    /// Somebody has to find out whether the outage is over, and an answer that may come is worth more
    /// than an error that is certain.
    fn last_resort(
        &self,
        filter: &Filter,
        skip: impl Fn(usize) -> bool,
        draw: &mut Draw<'_>,
    ) -> Option<Claimed> {
        let now = draw.now;
        let token = {
            let mut last = self.state.last_resort.lock();
            let recent = last
                .started
                .is_some_and(|at| now.saturating_since(at) < LAST_RESORT_EVERY);
            if !draw.first || recent || last.attempt.strong_count() > 0 {
                return None;
            }
            let token = Arc::new(());
            *last = LastResort {
                started: Some(now),
                attempt: Arc::downgrade(&token),
            };
            token
        };
        let mut candidates = Candidates::new();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let signals = endpoint
                .state
                .signals(filter.mode, now, &self.limits.smart_ai);
            let open = matches!(
                signals.admission,
                Admission::Ejected {
                    last_resort: true,
                    ..
                }
            );
            if open && filter.admits(endpoint) && !skip(index) {
                candidates.push(Candidate {
                    index,
                    endpoint,
                    signals,
                });
            }
        }
        while let Some(place) = self.strategy.choose(&candidates, draw) {
            let index = candidates.remove(place).index;
            if let Some(entry) = self.endpoints[index].state.try_last_resort(now) {
                return Some(Claimed {
                    index,
                    entry,
                    last_resort: Some(token),
                });
            }
        }
        // Nothing was started.
        self.state.last_resort.lock().started = None;
        None
    }

    /// Finds the endpoints that may be chosen, and returns the reason to give where there are none.
    fn find<'a>(
        &'a self,
        candidates: &mut Candidates<'a>,
        filter: &Filter,
        skip: impl Fn(usize) -> bool,
        now: Tick,
    ) -> PickError {
        let mut matching = false;
        let mut retry_at: Option<Tick> = None;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if !filter.admits(endpoint) {
                continue;
            }
            matching = true;
            if skip(index) {
                continue;
            }
            let signals = endpoint
                .state
                .signals(filter.mode, now, &self.limits.smart_ai);
            if filter.provider.is_some() || signals.admits() {
                candidates.push(Candidate {
                    index,
                    endpoint,
                    signals,
                });
            }
            let due = match signals.admission {
                Admission::Ejected { until, .. } | Admission::CoolingDown { until } => until,
                // Claimable when looked at: if the claim is refused after all, it is worth asking
                // again at once.
                Admission::Closed | Admission::Trial => now,
            };
            retry_at = Some(retry_at.map_or(due, |earliest| earliest.min(due)));
        }
        match retry_at {
            Some(retry_at) => PickError::Ejected { retry_at },
            None if matching => PickError::Tried,
            None if self.names_nobody(filter) => PickError::NotHere,
            None if self.is_unable(filter) => PickError::Unable,
            None => PickError::NoMatch,
        }
    }

    /// Returns whether the request asks for a provider that is not in this pool at all.
    fn names_nobody(&self, filter: &Filter) -> bool {
        filter.provider.as_ref().is_some_and(|name| {
            self.endpoints
                .iter()
                .all(|endpoint| endpoint.key().provider != *name)
        })
    }

    /// Returns whether no endpoint that the request could be meant for has what it needs.
    fn is_unable(&self, filter: &Filter) -> bool {
        let able = |endpoint: &Endpoint| endpoint.abilities.include(filter.needs);
        !self
            .endpoints
            .iter()
            .any(|endpoint| filter.names(endpoint) && able(endpoint))
    }

    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        let healthy_count = candidates.iter().filter(|c| c.signals.healthy()).count();
        if healthy_count == 0 || healthy_count == candidates.len() {
            self.count_first_pick(draw);
            return self.strategy.choose(candidates, draw);
        }
        let healthy = healthy(candidates);
        if let Some(place) = self.recovering(candidates, &healthy, draw) {
            return Some(place);
        }
        let chosen = healthy[self.strategy.choose(&healthy, draw)?].index;
        candidates
            .iter()
            .position(|candidate| candidate.index == chosen)
    }

    /// Returns a candidate that is not healthy, where it is the turn of one.
    fn recovering(
        &self,
        candidates: &[Candidate<'_>],
        healthy: &[Candidate<'_>],
        draw: &mut Draw<'_>,
    ) -> Option<usize> {
        let count = self.count_first_pick(draw)?;
        if count % TRIAL_EVERY != TRIAL_EVERY - 1 {
            return None;
        }
        let due: SmallVec<[usize; 16]> = (0..candidates.len())
            .filter(|&place| {
                let candidate = &candidates[place];
                self.is_due(&candidate.signals, draw.now)
                    && self
                        .strategy
                        .may_try_recovering(candidate.endpoint, healthy)
            })
            .collect();
        let rotation = usize::try_from(count / TRIAL_EVERY).unwrap_or_default();
        due.get(rotation.checked_rem(due.len())?).copied()
    }

    /// Returns whether an endpoint that is not healthy may be given a request to show that it works.
    fn is_due(&self, signals: &Signals, now: Tick) -> bool {
        match signals.admission {
            Admission::Trial => true,
            Admission::Closed if signals.probe_failed => {
                let is_past = |at| now.saturating_since(at) >= self.limits.recovery;
                signals.consecutive_failures == 0 || signals.heard.is_none_or(is_past)
            }
            Admission::Closed | Admission::Ejected { .. } | Admission::CoolingDown { .. } => false,
        }
    }

    fn count_selection(&self, order: Order) {
        if order == Order::First {
            self.state.selections.fetch_add(1, Ordering::Relaxed);
            self.selections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an attempt that follows a failure of this kind.
    pub(crate) fn count_retry(&self, reason: FailureKind) {
        self.state.retries[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn count_first_pick(&self, draw: &Draw<'_>) -> Option<u64> {
        draw.first
            .then(|| self.state.first_picks.fetch_add(1, Ordering::Relaxed))
    }
}

/// Returns the candidates that need no trial; where there are any, the others have to wait.
fn healthy<'a>(candidates: &[Candidate<'a>]) -> Candidates<'a> {
    let healthy = candidates.iter().filter(|c| c.signals.healthy());
    healthy.copied().collect()
}

/// Whether a pick begins a request or continues it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The request's first attempt.
    First,
    /// A retry.
    Later,
}

/// What a pick needs besides the pool.
#[derive(Debug)]
pub(crate) struct Pick<'a> {
    pub(crate) order: Order,
    pub(crate) rng: &'a mut fastrand::Rng,
    pub(crate) now: Tick,
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod returning;
#[cfg(test)]
mod tests;
