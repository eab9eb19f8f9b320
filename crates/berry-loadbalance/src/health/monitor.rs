//! The one task that sends probes when they are due and tells endpoints what came of them.
//!
//! Endpoints become unhealthy by their requests, without a word to this task: it looks at them, at
//! least every [`LOOK_AGAIN`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use berry_core::Tick;
use futures_util::FutureExt;
use hashbrown::HashMap;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::rounds::Rounds;
use super::schedule::Check;
use super::{Plan, ProbeDepth, ProbeOutcome, Prober};
use crate::clock::Clock;
use crate::outcome::FailureKind;

/// The target of the results' log lines, by which users find them.
const TARGET: &str = "berry_loadbalance::health_check";
/// The most probes at once: one provider that hangs must not hold up the others, and a hundred
/// must not be asked at one moment.
const AT_ONCE: usize = 16;
/// The longest time between two looks at the endpoints: short beside any interval that is
/// configured in seconds, long beside what a look costs.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub struct HealthMonitor<P> {
    prober: Arc<P>,
    rounds: Rounds,
    clock: Clock,
    /// What was logged last of each check.
    logged: HashMap<Check, Word>,
}

/// A probe that has ended.
struct Ended {
    check: Check,
    begun: Tick,
    outcome: ProbeOutcome,
}

/// What is said of a probe; the same again is no news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Passed,
    Failed(FailureKind),
    Unknown,
}

impl<P: Prober> HealthMonitor<P> {
    /// Plans the first round, from now on. `rng` decides the jitter.
    pub fn new(plan: Plan<P>, clock: Clock, rng: fastrand::Rng) -> Self {
        let Plan {
            prober,
            roster,
            cadence,
        } = plan;
        Self {
            prober: Arc::new(prober),
            rounds: Rounds::new(roster, cadence, clock.now(), rng),
            clock,
            logged: HashMap::new(),
        }
    }

    /// Probes until `stopping`; probes in flight are then dropped. Each of the `plans` that come
    /// takes the place of the one before.
    pub async fn run(mut self, mut plans: mpsc::Receiver<Plan<P>>, stopping: CancellationToken) {
        let mut probes = JoinSet::new();
        loop {
            let wait = self.start_due(&mut probes);
            tokio::select! {
                () = stopping.cancelled() => return,
                Some(plan) = plans.recv() => self.replan(plan, &mut probes),
                Some(ended) = probes.join_next() => {
                    if let Ok(ended) = ended {
                        self.record(&ended);
                    }
                }
                () = sleep(wait) => {}
            }
        }
    }

    /// Goes on with other endpoints, or with the same ones in another way.
    fn replan(&mut self, plan: Plan<P>, probes: &mut JoinSet<Ended>) {
        let Plan {
            prober,
            roster,
            cadence,
        } = plan;
        self.prober = Arc::new(prober);
        let Some(same) = self.rounds.replan(roster, cadence, self.clock.now()) else {
            return;
        };
        // Their checks name places of the old roster.
        *probes = JoinSet::new();
        let said = same.into_iter().filter_map(|(check, before)| {
            let word = self.logged.get(&before)?;
            Some((check, *word))
        });
        self.logged = said.collect();
    }

    /// Starts what is due, as far as there is room; returns how long to wait before looking again.
    fn start_due(&mut self, probes: &mut JoinSet<Ended>) -> Duration {
        let now = self.clock.now();
        while probes.len() < AT_ONCE {
            let Some(check) = self.rounds.take(now) else {
                let next = self.rounds.next(now);
                let wait = next.map_or(LOOK_AGAIN, |next| next.saturating_since(now));
                return wait.min(LOOK_AGAIN);
            };
            let (endpoint, depth) = self.rounds.subject(check);
            let (endpoint, prober) = (endpoint.clone(), Arc::clone(&self.prober));
            probes.spawn(async move {
                let probe = AssertUnwindSafe(prober.probe(&endpoint, depth)).catch_unwind();
                Ended {
                    check,
                    begun: now,
                    // A probe that panicked has said so, and nothing about the endpoint.
                    outcome: probe.await.unwrap_or(ProbeOutcome::Unknown),
                }
            });
        }
        LOOK_AGAIN
    }

    fn record(&mut self, ended: &Ended) {
        let Ended {
            check,
            begun,
            outcome,
        } = ended;
        let now = self.clock.now();
        self.log(*check, outcome, now.saturating_since(*begun));
        self.rounds.record(*check, outcome, *begun, now);
    }

    fn log(&mut self, check: Check, outcome: &ProbeOutcome, latency: Duration) {
        let (endpoint, depth) = self.rounds.subject(check);
        let provider = endpoint.provider.as_str();
        let model = (depth == ProbeDepth::Chat).then_some(&*endpoint.model);
        let (word, message) = match outcome {
            ProbeOutcome::Passed => (Word::Passed, "probe passed"),
            ProbeOutcome::Failed(failure) => (Word::Failed(failure.kind), "probe failed"),
            ProbeOutcome::Unknown => (Word::Unknown, "probe told nothing"),
        };
        let (kind, cause) = match outcome {
            ProbeOutcome::Failed(failure) => (Some(failure.kind.as_str()), Some(&*failure.cause)),
            ProbeOutcome::Passed | ProbeOutcome::Unknown => (None, None),
        };
        // Names may have `latency` in them, and whoever looks for that word expects a number.
        let latency_ms = latency.as_micros() as f64 / 1000.0;
        if self.logged.insert(check, word) == Some(word) {
            debug!(target: TARGET, provider, model, %depth, kind, cause, latency_ms, "{message}");
        } else {
            info!(target: TARGET, provider, model, %depth, kind, cause, latency_ms, "{message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::*;
    use crate::health::ProbeFailure;
    use crate::pool::fixtures::{SMART_AI, endpoint, pool};
    use crate::{Cadence, Endpoint, EndpointKey, Mode, Roster};

    const CADENCE: Cadence = Cadence {
        interval: Some(Duration::from_secs(30)),
        recovery: Duration::from_secs(120),
        idle: Duration::from_secs(600),
    };

    /// Answers as told, after a second, and counts.
    #[derive(Clone)]
    struct Fake {
        outcome: Arc<Mutex<ProbeOutcome>>,
        seen: watch::Sender<Vec<(String, ProbeDepth)>>,
        most_at_once: Arc<Mutex<(usize, usize)>>,
    }

    impl Fake {
        fn new() -> Self {
            Self {
                outcome: Arc::new(Mutex::new(ProbeOutcome::Passed)),
                seen: watch::Sender::default(),
                most_at_once: Arc::default(),
            }
        }

        fn say(&self, outcome: ProbeOutcome) {
            *self.outcome.lock() = outcome;
        }

        async fn saw(&self, count: usize) -> Vec<(String, ProbeDepth)> {
            let mut seen = self.seen.subscribe();
            let seen = seen.wait_for(|seen| seen.len() >= count).await.unwrap();
            seen.clone()
        }
    }

    impl Prober for Fake {
        async fn probe(&self, endpoint: &EndpointKey, depth: ProbeDepth) -> ProbeOutcome {
            {
                let (running, most) = &mut *self.most_at_once.lock();
                *running += 1;
                *most = (*most).max(*running);
            }
            sleep(Duration::from_secs(1)).await;
            self.most_at_once.lock().0 -= 1;
            let provider = endpoint.provider.to_string();
            self.seen.send_modify(|seen| seen.push((provider, depth)));
            self.outcome.lock().clone()
        }
    }

    fn failed() -> ProbeOutcome {
        ProbeOutcome::Failed(ProbeFailure {
            kind: FailureKind::Server,
            cause: "status 500".into(),
        })
    }

    struct Running {
        fake: Fake,
        clock: Clock,
        tasks: JoinSet<()>,
        plans: mpsc::Sender<Plan<Fake>>,
        stopping: CancellationToken,
    }

    impl Running {
        /// Gives it other endpoints to ask.
        async fn replan(&self, endpoints: Vec<Endpoint>) {
            let plan = plan(&self.fake, endpoints);
            assert!(self.plans.send(plan).await.is_ok());
        }
    }

    fn plan(fake: &Fake, endpoints: Vec<Endpoint>) -> Plan<Fake> {
        Plan {
            prober: fake.clone(),
            roster: Roster::of([&*pool("failover", endpoints)]),
            cadence: CADENCE,
        }
    }

    fn run(endpoints: Vec<Endpoint>) -> Running {
        let (fake, clock) = (Fake::new(), Clock::start());
        let rng = fastrand::Rng::with_seed(7);
        let monitor = HealthMonitor::new(plan(&fake, endpoints), clock, rng);
        let (stopping, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let (plans, receiver) = mpsc::channel(1);
        tasks.spawn(monitor.run(receiver, stopping.clone()));
        Running {
            fake,
            clock,
            tasks,
            plans,
            stopping,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_and_its_endpoint_are_asked_at_start() {
        let running = run(vec![endpoint("a")]);

        let seen = running.fake.saw(2).await;

        let a = || "a".to_owned();
        assert_eq!(seen, [(a(), ProbeDepth::Models), (a(), ProbeDepth::Chat)]);
        assert!(running.clock.uptime() < Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_whose_probe_failed_is_unhealthy_until_one_passes() {
        let endpoint = endpoint("a");
        let state = Arc::clone(&endpoint.state);
        let running = run(vec![endpoint]);
        let healthy = || {
            let now = running.clock.now();
            state.signals(Mode::Whole, now, &SMART_AI).healthy()
        };

        running.fake.say(failed());
        running.fake.saw(3).await;
        assert!(!healthy());

        running.fake.say(ProbeOutcome::Passed);
        let chats = |seen: &[(String, ProbeDepth)]| {
            let chats = seen.iter().filter(|(_, depth)| *depth == ProbeDepth::Chat);
            chats.count()
        };
        let mut seen = running.fake.seen.subscribe();
        seen.wait_for(|seen| chats(seen) == 2).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        assert!(healthy());
        assert!(running.clock.uptime() < CADENCE.recovery.mul_f64(1.1) + Duration::from_secs(6));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_are_asked_at_once() {
        let providers = (0..40).map(|number| endpoint(&format!("p{number}")));

        let running = run(providers.collect());
        running.fake.saw(80).await;

        assert_eq!(running.fake.most_at_once.lock().1, AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn it_stops_when_told_and_drops_what_runs() {
        let mut running = run(vec![endpoint("a")]);
        running.fake.saw(1).await;
        let told = Instant::now();

        running.stopping.cancel();
        running.tasks.join_next().await;

        assert_eq!(told.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_new_plan_adds_is_asked_soon_and_what_it_keeps_is_not_asked_again() {
        let running = run(vec![endpoint("a")]);
        running.fake.saw(2).await;
        sleep(Duration::from_secs(5)).await;

        running.replan(vec![endpoint("b"), endpoint("a")]).await;
        let began = Instant::now();
        let seen = running.fake.saw(4).await;

        let b = || "b".to_owned();
        assert_eq!(
            seen[2..],
            [(b(), ProbeDepth::Models), (b(), ProbeDepth::Chat)]
        );
        assert!(began.elapsed() < Duration::from_secs(4));
        let fifth = &running.fake.saw(5).await[4];
        assert_eq!(*fifth, ("a".to_owned(), ProbeDepth::Models));
        assert!(running.clock.uptime() > CADENCE.interval.unwrap().mul_f64(0.9));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_new_plan_leaves_out_is_not_asked_any_more() {
        let running = run(vec![endpoint("a"), endpoint("b")]);
        running.fake.saw(4).await;

        running.replan(vec![endpoint("b")]).await;
        let seen = running.fake.saw(10).await;

        assert!(
            seen[4..].iter().all(|(provider, _)| provider == "b"),
            "{seen:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_probes_said_is_forgotten_with_the_endpoint_that_is_not_asked_any_more() {
        let endpoints = [endpoint("a"), endpoint("b")];
        let states = endpoints.each_ref().map(|one| Arc::clone(&one.state));
        let running = run(endpoints.into());
        running.fake.say(failed());
        running.fake.saw(4).await;
        sleep(Duration::from_millis(1)).await;
        let healthy = || {
            let now = running.clock.now();
            states
                .each_ref()
                .map(|state| state.signals(Mode::Whole, now, &SMART_AI).healthy())
        };
        assert_eq!(healthy(), [false, false]);

        running.replan(vec![endpoint("b")]).await;
        sleep(Duration::from_millis(1)).await;

        assert_eq!(healthy(), [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_with_the_same_endpoints_disturbs_no_probe() {
        let running = run(vec![endpoint("a")]);

        for _ in 0..40 {
            sleep(Duration::from_millis(100)).await;
            running.replan(vec![endpoint("a")]).await;
        }

        assert_eq!(running.fake.seen.borrow().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_monitor_with_nothing_to_probe_waits_for_a_plan() {
        let running = run(Vec::new());
        sleep(Duration::from_mins(60)).await;

        running.replan(vec![endpoint("a")]).await;

        running.fake.saw(2).await;
    }
}
