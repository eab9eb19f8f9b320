//! Plays a script against the real code, and asserts after each step what must hold.

use std::sync::Arc;

use berry_core::Tick;
use berry_core::config::{BillingMode, Prices};
use tokio::time::advance;

use super::script::{Row, Script, Step, TAGS};
use crate::breaker::{Admission, BreakerState, Entry};
use crate::events::Events;
use crate::outcome::{FailureKind, Outcome};
use crate::pool::fixtures::{LIMITS, endpoint, key, pool_with, tags, user};
use crate::pool::{Filter, LAST_RESORT_EVERY, Order, Pool};
use crate::state::Signals;
use crate::sync::Mutex;
use crate::{
    Abilities, Attempts, Clock, Endpoint, Lease, Limits, Mode, Next, ProbeOutcome, Registry, Tokens,
};

/// What was announced of an endpoint: its breaker's state, and the failure that opened it last.
type Shown = (BreakerState, Option<FailureKind>);

pub(super) struct World {
    script: Script,
    limits: Limits,
    clock: Clock,
    rng: fastrand::Rng,
    registry: Registry,
    pool: Arc<Pool>,
    /// That no lock is held while it is written, this very lock asserts.
    shown: Arc<Mutex<Vec<Shown>>>,
    requests: Vec<Request>,
    /// The claim of the last trial of each endpoint.
    trials: Vec<Option<Entry>>,
    last_resort: Option<Tick>,
    picks: Vec<Option<usize>>,
}

/// A request that has an attempt in flight.
struct Request {
    attempts: Attempts,
    lease: Lease,
    tag: Option<usize>,
    /// The endpoint of each attempt.
    asked: Vec<usize>,
    /// The attempt was made although no endpoint admitted one, by the pool that is in use now.
    last_resort: bool,
}

impl World {
    pub(super) fn new(script: &Script) -> Self {
        let mut limits = LIMITS;
        limits.breaker.threshold = script.threshold;
        limits.retry.max_retries = script.max_retries;
        limits.retry.max_moves = script.max_moves;
        let count = script.rows.len();
        let shown = Arc::new(Mutex::new(vec![(BreakerState::Closed, None); count]));
        let registry = Registry::new({
            let shown = Arc::clone(&shown);
            Events::to(move |transition| {
                let index: usize = transition.endpoint.provider.as_str()[1..].parse().unwrap();
                let mut shown = shown.lock();
                assert_eq!(shown[index].0, transition.from);
                shown[index] = (transition.to, transition.cause.or(shown[index].1));
            })
        });
        Self {
            limits,
            clock: Clock::start(),
            rng: fastrand::Rng::with_seed(script.seed),
            pool: compile(script, limits, &registry),
            registry,
            shown,
            requests: Vec::new(),
            trials: vec![None; count],
            last_resort: None,
            picks: Vec::new(),
            script: script.clone(),
        }
    }

    pub(super) async fn play(&mut self, step: &Step) {
        match step {
            Step::Begin { tag } => self.begin(*tag),
            Step::Answer { request } => {
                if let Some(place) = self.place(*request) {
                    self.requests[place].lease.answered();
                }
            }
            Step::Finish { request, outcome } => {
                if let Some(place) = self.place(*request) {
                    self.finish(place, *outcome).await;
                }
            }
            Step::Abandon { request } => {
                if let Some(place) = self.place(*request) {
                    self.abandon(place);
                }
            }
            Step::Probe {
                endpoint,
                depth,
                outcome,
            } => {
                let (now, before) = (self.clock.now(), self.admissions());
                let endpoint = &self.pool.endpoints()[endpoint % self.script.rows.len()];
                endpoint.state.probed(*depth, outcome, now, now);
                if *outcome != ProbeOutcome::Passed {
                    assert_eq!(
                        self.admissions(),
                        before,
                        "only a passed probe moves a breaker"
                    );
                }
            }
            Step::Advance(time) => advance(*time).await,
            Step::Reload => self.reload(),
        }
        self.check();
    }

    /// Abandons what is left; returns whom each request was given.
    pub(super) fn end(mut self) -> Vec<Option<usize>> {
        while !self.requests.is_empty() {
            self.abandon(0);
        }
        self.check();
        self.picks
    }

    fn begin(&mut self, tag: Option<usize>) {
        let before = self.signals();
        let filter = Filter {
            user: tag.map_or_else(|| user(&[]), |tag| user(&[TAGS[tag]])),
            provider: None,
            account: None,
            needs: Abilities::NONE,
            mode: Mode::Whole,
            affinity: None,
        };
        let rng = self.rng.fork();
        let begun = Attempts::begin(&self.pool, filter, self.clock, rng);
        let Ok((attempts, lease)) = begun else {
            assert!(
                !self.eligible(tag, &[]).any(|index| before[index].admits()),
                "a request is not refused while an endpoint admits it"
            );
            self.picks.push(None);
            return;
        };
        let last_resort = self.check_pick(&lease, tag, &[], Order::First, &before);
        self.note(&lease);
        self.requests.push(Request {
            attempts,
            asked: vec![lease.index()],
            lease,
            tag,
            last_resort,
        });
    }

    async fn finish(&mut self, place: usize, outcome: Outcome) {
        let Request {
            mut attempts,
            mut lease,
            tag,
            mut asked,
            ..
        } = self.requests.swap_remove(place);
        if outcome == Outcome::Success {
            lease.charge(Tokens::default());
        }
        let index = lease.index();
        lease.finish(outcome);
        let Outcome::Failure(fault) = outcome else {
            return;
        };
        let before = self.signals();
        let lease = match attempts.after(index, fault, None) {
            Next::Stop => return,
            Next::Now(lease) => {
                self.check_pick(&lease, tag, &asked, Order::Later, &before);
                lease
            }
            Next::After(repeat) => {
                advance(repeat.wait).await;
                let before = self.signals();
                let Some(lease) = attempts.repeat(repeat) else {
                    return;
                };
                assert!(asked.contains(&lease.index()));
                assert!(before[lease.index()].admits());
                lease
            }
        };
        self.note(&lease);
        asked.push(lease.index());
        self.requests.push(Request {
            attempts,
            lease,
            tag,
            asked,
            last_resort: false,
        });
    }

    /// The client leaves: a trial gives its place back.
    fn abandon(&mut self, place: usize) {
        let Request { lease, .. } = self.requests.swap_remove(place);
        let (index, entry) = (lease.index(), lease.entry());
        let on_trial = self.signals()[index].admission != Admission::Trial
            && self.state(index) == BreakerState::HalfOpen
            && self.trials[index] == Some(entry);

        drop(lease);

        if on_trial {
            assert_eq!(self.admissions()[index], Admission::Trial);
        }
    }

    fn reload(&mut self) {
        let before = self.admissions();
        let next = compile(&self.script, self.limits, &self.registry);
        let next = Arc::into_inner(next).unwrap();
        self.pool = Arc::new(next.continuing(&self.pool));
        assert_eq!(self.admissions(), before, "a reload moves no breaker");
    }

    /// Asserts that this endpoint could be given, knowing what it and the others were like before;
    /// returns whether it is the last resort.
    fn check_pick(
        &mut self,
        lease: &Lease,
        tag: Option<usize>,
        asked: &[usize],
        order: Order,
        before: &[Signals],
    ) -> bool {
        let index = lease.index();
        let eligible: Vec<usize> = self.eligible(tag, asked).collect();
        assert!(eligible.contains(&index), "tried, or not for this user");
        let signals = &before[index];
        assert_eq!(
            lease.entry().is_trial(),
            signals.admission != Admission::Closed
        );
        let any = |test: fn(&Signals) -> bool| eligible.iter().any(|&place| test(&before[place]));
        if signals.admits() {
            let may_be_its_turn = order == Order::First
                && (signals.admission == Admission::Trial || signals.probe_failed);
            assert!(signals.healthy() || may_be_its_turn || !any(Signals::healthy));
            return false;
        }
        assert!(!any(Signals::admits), "ejected, and another admits");
        assert_eq!(order, Order::First, "a retry is no last resort");
        assert!(matches!(signals.admission, Admission::Ejected { .. }));
        self.check_last_resort(index);
        true
    }

    fn check_last_resort(&mut self, index: usize) {
        let now = self.clock.now();
        let recently = |at| now.saturating_since(at) < LAST_RESORT_EVERY;
        assert!(
            !self.last_resort.is_some_and(recently),
            "two within a second"
        );
        assert!(
            !self.requests.iter().any(|request| request.last_resort),
            "two in flight"
        );
        self.last_resort = Some(now);
        let refused = [FailureKind::Auth, FailureKind::RateLimited];
        let (_, opened_by) = self.shown.lock()[index];
        assert!(
            opened_by.is_some_and(|cause| !refused.contains(&cause)),
            "{opened_by:?}"
        );
    }

    /// Remembers whom a request was given, and that no other holds the same trial.
    fn note(&mut self, lease: &Lease) {
        let (index, entry) = (lease.index(), lease.entry());
        self.picks.push(Some(index));
        if entry.is_trial() {
            let mut others = self.requests.iter().map(|request| &request.lease);
            assert!(
                !others.any(|other| other.index() == index && other.entry() == entry),
                "two trials at once"
            );
            self.trials[index] = Some(entry);
        }
    }

    fn check(&self) {
        for (index, signals) in self.signals().iter().enumerate() {
            let uses = self
                .requests
                .iter()
                .filter(|request| request.lease.index() == index);
            assert_eq!(signals.in_flight as usize, uses.count());
        }
        for request in &self.requests {
            let mut endpoints = request.asked.clone();
            endpoints.sort_unstable();
            endpoints.dedup();
            assert!(request.asked.len() <= 1 + self.script.max_retries as usize);
            assert!(endpoints.len() <= 1 + self.script.max_moves as usize);
            assert_eq!(request.attempts.count() as usize, request.asked.len());
        }
    }

    fn place(&self, request: usize) -> Option<usize> {
        request.checked_rem(self.requests.len())
    }

    /// The endpoints that a user with this tag may use and that were not asked yet.
    fn eligible<'a>(
        &'a self,
        tag: Option<usize>,
        asked: &'a [usize],
    ) -> impl Iterator<Item = usize> + 'a {
        let rows = self.script.rows.iter().enumerate();
        rows.filter(move |(index, row)| {
            let allowed = row.tag.is_none() || tag.is_none() || row.tag == tag;
            allowed && !asked.contains(index)
        })
        .map(|(index, _)| index)
    }

    fn signals(&self) -> Vec<Signals> {
        let endpoints = self.pool.endpoints().iter();
        let now = self.clock.now();
        endpoints
            .map(|endpoint| self.pool.signals(endpoint, now))
            .collect()
    }

    fn admissions(&self) -> Vec<Admission> {
        self.signals()
            .iter()
            .map(|signals| signals.admission)
            .collect()
    }

    fn state(&self, index: usize) -> BreakerState {
        self.pool.endpoints()[index].state.breaker(self.clock.now())
    }
}

/// Makes the pool of the script over what the registry knows.
fn compile(script: &Script, limits: Limits, registry: &Registry) -> Arc<Pool> {
    let rows = script.rows.iter().enumerate();
    let endpoints = rows.map(|(index, row)| configured(row, index, registry));
    pool_with(script.strategy, endpoints.collect(), limits)
}

fn configured(row: &Row, index: usize, registry: &Registry) -> Endpoint {
    let name = format!("p{index}");
    let own_tags: Vec<&str> = row.tag.iter().map(|&tag| TAGS[tag]).collect();
    Endpoint {
        weight: row.weight,
        priority: row.priority,
        tags: tags(&own_tags).into(),
        billing: row.billing,
        prices: Prices {
            request: (row.billing == BillingMode::PerRequest).then_some(row.weight / 1e3),
            ..Prices::default()
        },
        provider_retries: row.provider_retries,
        state: registry.adopt(&key(&name)),
        ..endpoint(&name)
    }
}
