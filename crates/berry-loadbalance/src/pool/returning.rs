//! How fast a healed endpoint has its whole share back, in virtual time, at one request a minute.

use tokio::time::advance;

use berry_core::config::BillingMode;

use super::fixtures::*;
use super::*;
use crate::breaker::BreakerState;
use crate::outcome::{FailureKind, Fault, Outcome};
use crate::{Attempts, Next, ProbeDepth, ProbeOutcome, STRATEGIES};

const MINUTE: Duration = Duration::from_secs(60);

/// Two endpoints: the first is the faster one, and it is the one that fails.
struct Scene {
    pool: Arc<Pool>,
    clock: Clock,
    rng: fastrand::Rng,
    failing: bool,
}

impl Scene {
    fn new(strategy: &str, billing: BillingMode) -> Self {
        let endpoint = |name, priority| Endpoint {
            priority,
            billing,
            ..endpoint(name)
        };
        let endpoints = vec![endpoint("a", 0), endpoint("b", 1)];
        Self {
            pool: pool(strategy, endpoints),
            clock: Clock::start(),
            rng: fastrand::Rng::with_seed(11),
            failing: false,
        }
    }

    fn breaker(&self) -> BreakerState {
        self.pool.endpoint(0).state.breaker(self.clock.now())
    }

    /// Serves one request; returns whether its first attempt went to the first endpoint.
    async fn request(&mut self) -> bool {
        advance(MINUTE).await;
        let rng = self.rng.fork();
        let begun = Attempts::begin(&self.pool, everybody(), self.clock, rng);
        let (mut attempts, mut lease) = begun.unwrap();
        let first = lease.index() == 0;
        loop {
            if lease.index() == 1 || !self.failing {
                let took = if lease.index() == 0 { 100 } else { 300 };
                advance(Duration::from_millis(took)).await;
                lease.finish(Outcome::Success);
                return first;
            }
            let (index, fault) = (lease.index(), Fault::new(FailureKind::Server));
            fail(lease, fault);
            match attempts.after(index, fault, None) {
                Next::Now(next) => lease = next,
                _ => return first,
            }
        }
    }

    /// The share of the first endpoint in the next thousand requests.
    async fn share(&mut self) -> f64 {
        let mut count = 0_u32;
        for _ in 0..1_000 {
            count += u32::from(self.request().await);
        }
        f64::from(count) / 1_000.0
    }

    /// Serves requests while the first endpoint fails, until it is ejected.
    async fn eject(&mut self) {
        for _ in 0..20 {
            self.request().await;
        }
        self.failing = true;
        while self.breaker() != BreakerState::Open {
            self.request().await;
        }
    }
}

/// The share that an endpoint has which never failed.
async fn usual(strategy: &str, billing: BillingMode) -> f64 {
    Scene::new(strategy, billing).share().await
}

/// Among equals `smart_ai` prefers whom it heard of last; the simulation's proofs play it at prices.
fn strategies() -> impl Iterator<Item = &'static str> {
    let names = STRATEGIES.iter().map(|entry| entry.name);
    names.filter(|name| *name != "smart_ai")
}

/// Two recovery intervals after it was seen to work, the share must be the usual one.
async fn assert_returned(scene: &mut Scene, strategy: &str, usual: f64) {
    // One request a minute: what follows these begins when the two intervals have passed.
    for _ in 0..3 {
        scene.request().await;
    }

    let share = scene.share().await;

    assert!(
        (share - usual).abs() < 0.05,
        "{strategy}: {share}, not {usual}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_passes_a_probe_has_its_share_back_in_two_recovery_intervals() {
    for strategy in strategies() {
        let usual = usual(strategy, BillingMode::PerToken).await;
        let mut scene = Scene::new(strategy, BillingMode::PerToken);
        scene.eject().await;
        scene.failing = false;

        let (state, now) = (&scene.pool.endpoint(0).state, scene.clock.now());
        state.probed(ProbeDepth::Chat, &ProbeOutcome::Passed, now, now);

        assert_returned(&mut scene, strategy, usual).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_passes_a_trial_has_its_share_back_in_two_recovery_intervals() {
    for strategy in strategies() {
        let usual = usual(strategy, BillingMode::PerRequest).await;
        let mut scene = Scene::new(strategy, BillingMode::PerRequest);
        scene.eject().await;
        scene.failing = false;

        while scene.breaker() != BreakerState::Closed {
            scene.request().await;
        }

        assert_returned(&mut scene, strategy, usual).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_slow_before_it_failed_is_measured_anew() {
    let mut scene = Scene::new("least_latency", BillingMode::PerToken);
    scene.eject().await;
    let state = Arc::clone(&scene.pool.endpoint(0).state);
    let (before, now) = (
        state.signals(Mode::Whole, scene.clock.now(), &SMART_AI),
        scene.clock.now(),
    );
    scene.failing = false;
    state.probed(ProbeDepth::Chat, &ProbeOutcome::Passed, now, now);

    let after = state.signals(Mode::Whole, now, &SMART_AI);

    assert!(
        before
            .latency
            .is_some_and(|latency| latency > Duration::from_secs(60))
    );
    assert_eq!(after.latency, None);
    assert!(scene.request().await, "the unknown is tried first");
}

#[tokio::test(start_paused = true)]
async fn after_a_cool_down_an_endpoint_has_its_share_at_once() {
    let mut scene = Scene::new("least_latency", BillingMode::PerToken);
    for _ in 0..20 {
        scene.request().await;
    }
    let lease = first_pick(&scene.pool, &everybody(), scene.clock, &mut scene.rng).unwrap();
    assert_eq!(name(&lease), "a");

    fail(lease, Fault::cool_down(Duration::from_secs(30)));

    assert!(scene.request().await);
}
