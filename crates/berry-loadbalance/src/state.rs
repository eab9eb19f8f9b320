//! Everything learned about one endpoint at run time.
//!
//! One small lock, held for arithmetic only: never across an await, and never while another lock
//! is taken (transitions are announced after it is released).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use berry_core::Tick;
use berry_core::config::SmartAi;

use crate::ability::Abilities;
use crate::affinity::Lane;
use crate::breaker::{Admission, Breaker, BreakerPolicy, BreakerState, Change, Claim, Entry};
use crate::confidence::Confidence;
use crate::events::{Events, Transition};
use crate::health::{ProbeDepth, ProbeOutcome, ProbeRecord, Standing, Vitals};
use crate::key::EndpointKey;
use crate::latency::{Latency, Mode};
use crate::limits::Limits;
use crate::meter::Meter;
use crate::outcome::{FailureKind, Fault, Outcome, Verdict};
use crate::recovery::{self, Recovery};
use crate::sync::{Mutex, MutexGuard};

/// A copy of the state at one instant: all that a strategy may look at.
#[derive(Debug, Clone, Copy)]
pub struct Signals {
    /// What the breaker admits.
    pub admission: Admission,
    /// Failures in a row; a closed endpoint with any is *suspect*.
    pub consecutive_failures: u32,
    /// Uses that have not ended.
    pub in_flight: u32,
    /// The last probe failed, and no real request has succeeded since.
    pub probe_failed: bool,
    /// The share of its weight that it may carry, above 0 and at most 1.
    pub recovery: f64,
    /// How far it is trusted, 0 to 1.
    pub confidence: f64,
    /// When the last request there ended in success or failure.
    pub heard: Option<Tick>,
    /// How long it takes to its first content, in the mode of the request; none while unknown.
    pub latency: Option<Duration>,
    /// When a request was last sent in that mode whose end taught nothing; none since an answer.
    pub in_vain: Option<Tick>,
}

impl Signals {
    /// Returns whether the endpoint may be used without being on trial.
    pub fn healthy(&self) -> bool {
        self.admission == Admission::Closed && !self.probe_failed
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
    /// The failures by kind, in the order of [`FailureKind::ALL`].
    pub by_kind: [u64; FailureKind::ALL.len()],
    /// Whole answers in a row.
    pub successes_in_a_row: u64,
    /// When the last attempt ended.
    pub last_attempt: Option<Tick>,
    /// When the last one succeeded.
    pub last_success: Option<Tick>,
    /// When the last one failed, and how.
    pub last_failure: Option<(Tick, FailureKind)>,
    /// When the first failure of those in a row was.
    pub failing_since: Option<Tick>,
    /// Trials since it last worked.
    pub trials: u64,
    /// When the last of them began.
    pub last_trial: Option<Tick>,
}

impl Tally {
    fn count(&mut self, outcome: Outcome, now: Tick) {
        match outcome {
            Outcome::Abandoned => return,
            Outcome::ClientFault => {}
            Outcome::Success => {
                self.successes_in_a_row += 1;
                self.last_success = Some(now);
                self.recovered();
            }
            Outcome::Failure(Fault { kind, .. }) => {
                self.failures += 1;
                self.by_kind[kind as usize] += 1;
                self.successes_in_a_row = 0;
                self.last_failure = Some((now, kind));
                self.failing_since.get_or_insert(now);
            }
        }
        self.attempts += 1;
        self.last_attempt = Some(now);
    }

    fn recovered(&mut self) {
        self.failing_since = None;
        self.trials = 0;
        self.last_trial = None;
    }

    fn claimed(&mut self, entry: Entry, now: Tick) {
        if entry.is_trial() {
            self.trials += 1;
            self.last_trial = Some(now);
        }
    }
}

/// One use of an endpoint, as its lease reports it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use<'a> {
    pub(crate) entry: Entry,
    pub(crate) mode: Mode,
    /// How long the use has lasted.
    pub(crate) lasted: Duration,
    /// How long it was waited for an answer at most.
    pub(crate) patience: Duration,
    pub(crate) now: Tick,
    /// When the endpoint is ejected.
    pub(crate) breaker: BreakerPolicy,
    pub(crate) limits: &'a Limits,
    /// Something was sent, and no content came.
    pub(crate) waited: bool,
}

#[derive(Debug, Default)]
struct Learned {
    breaker: Breaker,
    recovery: Recovery,
    latency: Latency,
    confidence: Confidence,
    probes: ProbeRecord,
    tally: Tally,
}

impl Learned {
    /// Takes notice of what time alone has brought about.
    fn settle(&mut self, now: Tick, smart_ai: &SmartAi) {
        if self.recovery.settle(now) {
            self.confidence = self.confidence.forgiven(smart_ai);
        }
    }

    fn confidence(&self, now: Tick, smart_ai: &SmartAi) -> f64 {
        let confidence = if self.recovery.is_over(now) {
            self.confidence.forgiven(smart_ai)
        } else {
            self.confidence
        };
        confidence.score(now, smart_ai)
    }

    fn answered(&mut self, this: &Use<'_>) -> Option<Change> {
        self.settle(this.now, &this.limits.smart_ai);
        let change = self.breaker.answered(this.entry);
        if change.is_some_and(|change| change.to == BreakerState::Closed) {
            self.recovery.begin(this.now);
            self.latency = Latency::default();
        }
        self.recovery.succeeded();
        self.settle(this.now, &this.limits.smart_ai);
        self.latency.answered(this.mode, this.lasted, this.now);
        self.probes.clear();
        change
    }

    fn failed(&mut self, this: &Use<'_>, fault: Fault) -> Option<Change> {
        self.settle(this.now, &this.limits.smart_ai);
        if !matches!(fault.verdict, Verdict::CoolDown(_)) {
            let cost = this.lasted.max(this.patience);
            self.latency.failed(this.mode, cost, this.now);
        }
        self.recovery.failed(this.now);
        self.confidence
            .failed(fault.kind, this.now, &this.limits.smart_ai);
        self.breaker
            .failed(this.entry, fault, this.now, this.breaker)
    }

    fn probed(
        &mut self,
        depth: ProbeDepth,
        outcome: &ProbeOutcome,
        begun: Tick,
        now: Tick,
    ) -> Option<Change> {
        self.probes.ended(now);
        let after = |at: Option<Tick>| at.is_some_and(|at| at > begun);
        let outdated = match outcome {
            ProbeOutcome::Passed => after(self.tally.last_failure.map(|(at, _)| at)),
            ProbeOutcome::Failed(_) => after(self.tally.last_success),
            ProbeOutcome::Unknown => false,
        };
        if outdated {
            return None;
        }
        let had_failed = self.probes.record(depth, outcome, now);
        if depth == ProbeDepth::Models || *outcome != ProbeOutcome::Passed {
            return None;
        }
        self.tally.recovered();
        self.latency.forgive();
        let change = self.breaker.probed(now);
        if change.is_some() {
            self.latency = Latency::default();
        }
        if had_failed || change.is_some() {
            self.recovery.begin(now);
        }
        change
    }
}

/// See the module's documentation. Shared by every pool that uses the endpoint, in every snapshot
/// that is still alive; the registry holds it weakly.
#[derive(Debug)]
pub struct EndpointState {
    key: EndpointKey,
    label: Arc<str>,
    lane: Lane,
    events: Events,
    in_flight: AtomicU32,
    meter: Meter,
    /// What the last request needed.
    last_needs: AtomicU32,
    learned: Mutex<Learned>,
}

impl EndpointState {
    /// Begins with nothing learned.
    pub fn new(key: EndpointKey, events: Events) -> Self {
        Self {
            lane: Lane::of(&key),
            label: key.label().into(),
            key,
            events,
            in_flight: AtomicU32::new(0),
            meter: Meter::default(),
            last_needs: AtomicU32::new(0),
            learned: Mutex::default(),
        }
    }

    /// Returns what the last request needed the endpoint to be able to do; nothing before the first.
    pub fn last_needs(&self) -> Abilities {
        Abilities::of_bits(self.last_needs.load(Ordering::Relaxed))
    }

    /// Notes what a request needs that was given the endpoint.
    pub(crate) fn asked(&self, needs: Abilities) {
        self.last_needs.store(needs.bits(), Ordering::Relaxed);
    }

    /// Returns whose state this is.
    pub fn key(&self) -> &EndpointKey {
        &self.key
    }

    /// Returns the text that it is shown as, without making it anew.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Returns what was measured of it.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Returns its half of the hash by which repeated requests find it.
    pub(crate) fn lane(&self) -> Lane {
        self.lane
    }

    /// Returns a copy of what a strategy may look at, for a request of this mode.
    pub fn signals(&self, mode: Mode, now: Tick, smart_ai: &SmartAi) -> Signals {
        let learned = self.learned.lock();
        let admission = learned.breaker.admission(now);
        Signals {
            admission,
            consecutive_failures: learned.breaker.consecutive_failures(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            probe_failed: learned.probes.failed(),
            recovery: match admission {
                Admission::Closed => learned.recovery.share(now),
                _ => recovery::ON_TRIAL,
            },
            confidence: learned.confidence(now, smart_ai),
            heard: learned.confidence.heard(),
            latency: learned.latency.estimate(mode, now),
            in_vain: learned.latency.in_vain(mode),
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
        let mut learned = self.learned.lock();
        let claim = learned.breaker.try_enter(now)?;
        Some(self.enter(learned, claim, now))
    }

    /// Claims the trial before its time.
    pub(crate) fn try_last_resort(&self, now: Tick) -> Option<Entry> {
        let mut learned = self.learned.lock();
        let claim = learned.breaker.try_last_resort(now)?;
        Some(self.enter(learned, claim, now))
    }

    /// Claims a use that was asked for by name.
    pub(crate) fn enter_regardless(&self, now: Tick) -> Entry {
        let mut learned = self.learned.lock();
        let claim = learned.breaker.enter_regardless(now);
        self.enter(learned, claim, now)
    }

    fn enter(&self, mut learned: MutexGuard<'_, Learned>, claim: Claim, now: Tick) -> Entry {
        learned.tally.claimed(claim.entry, now);
        drop(learned);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.announce(claim.change, None);
        claim.entry
    }

    /// Records that content came.
    pub(crate) fn answered(&self, this: &Use<'_>) {
        self.meter.first_content.observe(this.lasted);
        let change = self.learned.lock().answered(this);
        self.announce(change, None);
    }

    /// Records how a use ended. Called once per use, by its lease.
    pub(crate) fn leave(&self, this: &Use<'_>, outcome: Outcome) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.events.totals().count(outcome);
        if outcome != Outcome::Abandoned {
            self.meter.latency.observe(this.lasted);
        }
        let (change, cause) = {
            let mut learned = self.learned.lock();
            learned.tally.count(outcome, this.now);
            match outcome {
                Outcome::Success => {
                    learned.breaker.completed(this.entry, this.now);
                    learned
                        .confidence
                        .succeeded(this.now, &this.limits.smart_ai);
                    (None, None)
                }
                Outcome::Failure(fault) => (learned.failed(this, fault), Some(fault.kind)),
                Outcome::ClientFault | Outcome::Abandoned => {
                    learned.breaker.abandoned(this.entry);
                    if this.waited {
                        let Use {
                            mode, lasted, now, ..
                        } = *this;
                        learned.latency.asked_in_vain(mode, lasted, now);
                    }
                    (None, None)
                }
            }
        };
        self.announce(change, cause);
    }

    /// Records a probe that was begun at `begun`. It counts neither in totals nor in speed and trust;
    /// a failed one never ejects, and a passed chat ends an ejection and what failures did to the
    /// estimate of speed. What real requests have shown since it began is newer and stands.
    pub fn probed(&self, depth: ProbeDepth, outcome: &ProbeOutcome, begun: Tick, now: Tick) {
        let change = self.learned.lock().probed(depth, outcome, begun, now);
        self.announce(change, None);
    }

    /// Forgets what probes have said.
    pub(crate) fn forget_probes(&self) {
        self.learned.lock().probes = ProbeRecord::default();
    }

    /// Returns when the last probe ended.
    pub fn last_probe(&self) -> Option<Tick> {
        self.learned.lock().probes.last()
    }

    /// Returns when the endpoint failed first and last, by requests or probes, since it was well; none
    /// where it is.
    pub fn failures(&self, now: Tick) -> Option<(Tick, Tick)> {
        let learned = self.learned.lock();
        let tally = &learned.tally;
        let is_closed = learned.breaker.admission(now) == Admission::Closed;
        let requests = tally
            .last_failure
            .filter(|_| tally.failing_since.is_some() || !is_closed)
            .map(|(last, _)| (tally.failing_since.unwrap_or(last), last));
        match (requests, learned.probes.failures()) {
            (Some((first, last)), Some(probes)) => Some((first.min(probes.0), last.max(probes.1))),
            (requests, probes) => requests.or(probes),
        }
    }

    /// Returns what the next probe depends on.
    pub(crate) fn vitals(&self, now: Tick) -> Vitals {
        let learned = self.learned.lock();
        Vitals {
            standing: match learned.breaker.admission(now) {
                Admission::CoolingDown { .. } => Standing::CoolingDown,
                Admission::Closed if !learned.probes.failed() => Standing::Healthy,
                _ => Standing::Unhealthy,
            },
            last_attempt: learned.tally.last_attempt,
            last_failure: learned.tally.last_failure.map(|(at, _)| at),
        }
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
    pub(crate) fn fail(&self, times: u32, now: Tick, limits: &Limits) {
        for _ in 0..times {
            let entry = self.enter_regardless(now);
            let (lasted, patience) = (Duration::ZERO, Duration::ZERO);
            let this = Use {
                entry,
                mode: Mode::Whole,
                lasted,
                patience,
                now,
                breaker: limits.breaker,
                limits,
                waited: true,
            };
            self.leave(&this, Outcome::Failure(Fault::new(FailureKind::Server)));
        }
    }
}
