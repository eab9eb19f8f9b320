//! The events of a simulation, in the order of their time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use berry_core::config::scenario::Scenario;
use berry_core::{Tick, User};
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::Simulation;
use super::fleet::Fleet;
use super::oracle::Oracle;
use super::recoveries::Recoveries;
use super::report::{Report, Share, percentile};
use super::site::{self, Ask, Reaction, Sites};
use crate::ability::Abilities;
use crate::attempts::{Attempts, Next, Repeat};
use crate::clock::{Clock, ManualTime};
use crate::economy::Tokens;
use crate::events::Events;
use crate::health::{Check, ProbeDepth, ProbeFailure, ProbeOutcome, Roster, Rounds};
use crate::latency::Mode;
use crate::lease::Lease;
use crate::outcome::Outcome;
use crate::pool::{Filter, Pool, PoolOptions};
use crate::registry::Registry;
use crate::strategy::Strategy;

/// How often the health monitor looks around: less often than the real one, which no interval that
/// is configured notices, and a fifth of the work.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How much the sizes of requests and answers vary, as [`SiteTraits::spread`] is meant.
///
/// [`SiteTraits::spread`]: berry_core::config::scenario::SiteTraits::spread
const SIZES: f64 = 0.5;
/// Requests and probes are numbered apart.
const PROBES: u64 = 1 << 63;

thread_local! {
    /// One for each thread that ever simulates; a clock's time has to outlive whatever reads it.
    static TIME: &'static ManualTime = Box::leak(Box::default());
}

/// What happens at some time.
#[derive(Debug)]
enum Event {
    /// A request arrives.
    Arrival,
    /// A request's first content comes.
    Content(u64),
    /// A request's attempt ends.
    End(u64),
    /// A request has waited for an endpoint that it has tried.
    Repeat(u64, Repeat),
    /// The health monitor looks around.
    Look,
    /// A probe ends.
    Probed(Check, Tick, ProbeOutcome),
}

/// An event and its time; of those at one time the first that was planned comes first.
#[derive(Debug)]
struct Planned {
    at: Tick,
    order: u64,
    event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A request under way.
#[derive(Debug)]
struct Request {
    arrived: Tick,
    mode: Mode,
    tokens: Tokens,
    attempts: Attempts,
    /// The use of an endpoint, and what will come of it.
    using: Option<(Lease, Reaction)>,
    /// The places it has been to.
    been: SmallVec<[usize; 4]>,
}

/// See the module's documentation.
pub(super) struct World<'a, F> {
    fleet: &'a Fleet,
    scenario: &'a Scenario,
    seen: F,
    seed: u64,
    time: &'static ManualTime,
    clock: Clock,
    pool: Arc<Pool>,
    user: Arc<User>,
    rounds: Rounds,
    sites: Sites,
    oracle: Oracle,
    recoveries: Recoveries,
    planned: BinaryHeap<Reverse<Planned>>,
    order: u64,
    arrivals: fastrand::Rng,
    arrived: u64,
    probes: u64,
    requests: HashMap<u64, Request>,
    report: Report,
    waited: Vec<Duration>,
}

impl<'a, F: FnMut(Tick, usize)> World<'a, F> {
    pub(super) fn new(simulation: &Simulation<'a>, strategy: Box<dyn Strategy>, seen: F) -> Self {
        let Simulation {
            fleet,
            scenario,
            seed,
        } = *simulation;
        let time = TIME.with(|time| *time);
        time.set(Tick::ZERO);
        let clock = Clock::manual(time);
        let registry = Registry::new(Events::to(|_| {}));
        let pool = Arc::new(Pool::new(PoolOptions {
            endpoints: fleet.endpoints(&registry),
            strategy,
            limits: fleet.limits,
        }));
        let roster = Roster::of([&*pool]);
        let probing = site::dice(&[seed, PROBES]);
        let shares = fleet.names().map(|name| Share {
            name: name.to_owned(),
            answered: 0,
            attempts: 0,
        });
        let mut world = Self {
            fleet,
            scenario,
            seen,
            seed,
            time,
            clock,
            pool,
            user: Arc::new(User::anybody()),
            rounds: Rounds::new(roster, fleet.cadence, Tick::ZERO, probing),
            sites: Sites::new(seed, fleet.members.len()),
            oracle: Oracle::new(seed, fleet),
            recoveries: Recoveries::new(fleet),
            planned: BinaryHeap::new(),
            order: 0,
            arrivals: site::dice(&[seed]),
            arrived: 0,
            probes: PROBES,
            requests: HashMap::new(),
            report: Report {
                requests: 0,
                first: 0,
                served: 0,
                p50: None,
                p99: None,
                cost: Some(0.0),
                oracle: None,
                oracle_served: 0,
                shares: shares.collect(),
                ejected_after: None,
                readmitted_after: None,
                restored_after: None,
            },
            waited: Vec::new(),
        };
        world.plan_arrival();
        world.plan(Duration::ZERO, Event::Look);
        world
    }

    /// Plays until no request is left.
    pub(super) fn play(mut self) -> Report {
        let end = Tick::from(self.scenario.duration);
        while let Some(Reverse(Planned { at, event, .. })) = self.planned.pop() {
            let over = at > end;
            if over && self.requests.is_empty() {
                break;
            }
            self.time.set(at);
            match event {
                Event::Arrival if over => {}
                Event::Arrival => self.arrive(),
                Event::Content(number) => self.content(number),
                Event::End(number) => self.end(number),
                Event::Repeat(number, repeat) => self.repeat(number, repeat),
                Event::Look => self.look(),
                Event::Probed(check, begun, outcome) => {
                    self.rounds.record(check, &outcome, begun, at);
                }
            }
            self.recoveries.look(&self.pool, at);
        }
        self.finish()
    }

    fn finish(mut self) -> Report {
        self.waited.sort_unstable();
        Report {
            p50: percentile(&self.waited, 50),
            p99: percentile(&self.waited, 99),
            oracle: self.oracle.spent(),
            oracle_served: self.oracle.served(),
            ejected_after: self.recoveries.ejected_after(),
            readmitted_after: self.recoveries.readmitted_after(),
            restored_after: self.recoveries.restored_after(),
            ..self.report
        }
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.order += 1;
        self.planned.push(Reverse(Planned {
            at: self.clock.now() + after,
            order: self.order,
            event,
        }));
    }

    /// Plans the next arrival: they are independent of each other, so their distances are
    /// exponential.
    fn plan_arrival(&mut self) {
        let mean = 60.0 / self.scenario.requests_per_minute;
        let distance = -mean * (1.0 - self.arrivals.f64()).ln();
        self.plan(Duration::from_secs_f64(distance), Event::Arrival);
    }

    fn arrive(&mut self) {
        let number = self.arrived;
        self.arrived += 1;
        self.plan_arrival();
        let mut dice = site::dice(&[self.seed, number]);
        let mode = if dice.f64() < self.scenario.streamed {
            Mode::Streamed
        } else {
            Mode::Whole
        };
        // The mean of a log-normal size is the scenario's.
        let mut size =
            |mean: f64| mean * (SIZES * site::normal(&mut dice) - SIZES * SIZES / 2.0).exp();
        let tokens = Tokens {
            input: size(self.scenario.input_tokens),
            cached: 0.0,
            cache_write: 0.0,
            cache_write_1h: 0.0,
            output: size(self.scenario.output_tokens),
        };
        let now = self.clock.now();
        let ask = Ask {
            request: number,
            before: 0,
            mode,
            tokens,
            patience: Duration::ZERO,
            now,
        };
        self.oracle.serve(self.fleet, &ask);
        self.report.requests += 1;
        let filter = Filter {
            user: Arc::clone(&self.user),
            provider: None,
            account: None,
            needs: Abilities::NONE,
            mode,
            affinity: None,
        };
        let Ok((attempts, lease)) = Attempts::begin(&self.pool, filter, self.clock, dice) else {
            return;
        };
        (self.seen)(now, lease.index());
        let request = Request {
            arrived: now,
            mode,
            tokens,
            attempts,
            using: None,
            been: SmallVec::new(),
        };
        self.attempt(number, request, lease);
    }

    /// Begins an attempt of a request.
    fn attempt(&mut self, number: u64, mut request: Request, lease: Lease) {
        let place = lease.index();
        let before = request.been.iter().filter(|been| **been == place).count();
        let ask = Ask {
            request: number,
            before: u32::try_from(before).unwrap_or(u32::MAX),
            mode: request.mode,
            tokens: request.tokens,
            patience: lease.endpoint().patience.of(request.mode),
            now: self.clock.now(),
        };
        let reaction = self.sites.ask(&self.fleet.members[place], place, &ask);
        self.report.shares[place].attempts += 1;
        request.been.push(place);
        request.using = Some((lease, reaction));
        self.requests.insert(number, request);
        match reaction {
            Reaction::Answer { content, end } => {
                self.plan(content, Event::Content(number));
                self.plan(end, Event::End(number));
            }
            Reaction::Failure { after, .. } => self.plan(after, Event::End(number)),
        }
    }

    fn content(&mut self, number: u64) {
        let now = self.clock.now();
        if let Some(request) = self.requests.get_mut(&number)
            && let Some((lease, _)) = &mut request.using
        {
            lease.answered();
            self.waited.push(now.saturating_since(request.arrived));
        }
    }

    fn end(&mut self, number: u64) {
        let Some(mut request) = self.requests.remove(&number) else {
            return;
        };
        let Some((lease, reaction)) = request.using.take() else {
            return;
        };
        let place = lease.index();
        let Reaction::Failure { fault, .. } = reaction else {
            self.served(place, &request, lease);
            return;
        };
        lease.finish(Outcome::Failure(fault));
        match request.attempts.after(place, fault, None) {
            Next::Now(lease) => self.attempt(number, request, lease),
            Next::After(repeat) => {
                self.plan(repeat.wait, Event::Repeat(number, repeat));
                self.requests.insert(number, request);
            }
            Next::Stop => {}
        }
    }

    fn served(&mut self, place: usize, request: &Request, mut lease: Lease) {
        let cost = request.tokens.cost(&lease.endpoint().prices);
        self.report.cost = self.report.cost.zip(cost).map(|(sum, cost)| sum + cost);
        self.report.served += 1;
        self.report.first += u64::from(request.been.len() == 1);
        self.report.shares[place].answered += 1;
        lease.charge(request.tokens);
        lease.finish(Outcome::Success);
    }

    fn repeat(&mut self, number: u64, repeat: Repeat) {
        let Some(mut request) = self.requests.remove(&number) else {
            return;
        };
        if let Some(lease) = request.attempts.repeat(repeat) {
            self.attempt(number, request, lease);
        }
    }

    /// Starts the probes that are due, as the health monitor does.
    fn look(&mut self) {
        let now = self.clock.now();
        while let Some(check) = self.rounds.take(now) {
            let (key, depth) = self.rounds.subject(check);
            let Some(place) = self.fleet.place(key) else {
                continue;
            };
            let (after, outcome) = self.probe(place, depth);
            self.plan(after, Event::Probed(check, now, outcome));
        }
        self.plan(LOOK_AGAIN, Event::Look);
    }

    /// Returns what comes of a probe, and after how long.
    fn probe(&mut self, place: usize, depth: ProbeDepth) -> (Duration, ProbeOutcome) {
        let now = self.clock.now();
        let member = &self.fleet.members[place];
        let failed = |kind| {
            ProbeOutcome::Failed(ProbeFailure {
                kind,
                cause: "simulated".into(),
            })
        };
        if depth == ProbeDepth::Models {
            let listed = site::list_of_models(member, now);
            let outcome = listed.map_or_else(failed, |()| ProbeOutcome::Passed);
            return (Duration::ZERO, outcome);
        }
        self.probes += 1;
        let ask = Ask {
            request: self.probes,
            before: 0,
            mode: Mode::Whole,
            tokens: Tokens {
                input: 1.0,
                cached: 0.0,
                cache_write: 0.0,
                cache_write_1h: 0.0,
                output: 1.0,
            },
            patience: self.fleet.probe_patience,
            now,
        };
        match self.sites.ask(member, place, &ask) {
            Reaction::Answer { end, .. } => (end, ProbeOutcome::Passed),
            Reaction::Failure { after, fault } => (after, failed(fault.kind)),
        }
    }
}
