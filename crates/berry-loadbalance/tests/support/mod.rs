//! A pool as a busy gateway has it, made from the crate's public parts only: for what is measured.

#![expect(clippy::unwrap_used, reason = "what cannot be set up may panic")]

use std::sync::Arc;
use std::time::Duration;

use berry_core::config::{BillingMode, Prices, SmartAi};
use berry_core::{ProviderName, User};
use berry_loadbalance::breaker::BreakerPolicy;
use berry_loadbalance::{
    Abilities, Attempts, Clock, Endpoint, EndpointKey, EndpointState, Events, Filter, Lease,
    Limits, Mode, Outcome, Patience, Pool, PoolOptions, RetryPolicy, strategy,
};

/// More than most models have.
const ENDPOINTS: u8 = 8;

/// A pool and what a request brings.
pub(crate) struct Scene {
    pool: Arc<Pool>,
    filter: Filter,
    clock: Clock,
    rng: fastrand::Rng,
}

impl Scene {
    /// Eight endpoints that have all been used, chosen among by this strategy.
    pub(crate) fn new(strategy: &str) -> Self {
        let pool = Pool::new(PoolOptions {
            endpoints: (0..ENDPOINTS).map(endpoint).collect(),
            strategy: strategy::build(strategy).unwrap(),
            limits: limits(),
        });
        let mut scene = Self {
            pool: Arc::new(pool),
            filter: filter(None),
            clock: Clock::start(),
            rng: fastrand::Rng::with_seed(7),
        };
        for number in 0..ENDPOINTS {
            scene.filter = filter(Some(name(number)));
            scene.pick().finish(Outcome::Success);
        }
        scene.filter = filter(None);
        scene.pick().finish(Outcome::Success);
        scene
    }

    /// Begins a request and returns the lease of its first attempt.
    pub(crate) fn pick(&mut self) -> Lease {
        let (rng, filter) = (self.rng.fork(), self.filter.clone());
        let begun = Attempts::begin(&self.pool, filter, self.clock, rng);
        begun.unwrap().1
    }
}

fn name(number: u8) -> ProviderName {
    ProviderName::parse(&format!("provider-{number}")).unwrap()
}

fn endpoint(number: u8) -> Endpoint {
    let key = EndpointKey {
        provider: name(number),
        base_url: "http://upstream/v1".into(),
        protocol: "openai",
        model: "m".into(),
        credential: 0,
    };
    Endpoint {
        weight: f64::from(number + 1),
        priority: number,
        tags: Box::default(),
        billing: BillingMode::PerToken,
        prices: Prices {
            request: Some(0.01),
            ..Prices::default()
        },
        patience: Patience {
            streamed: Duration::from_secs(30),
            whole: Duration::from_secs(300),
        },
        abilities: Abilities::NONE,
        provider_retries: 3,
        state: Arc::new(EndpointState::new(key, Events::to(|_| {}))),
    }
}

fn limits() -> Limits {
    Limits {
        breaker: BreakerPolicy {
            threshold: 5,
            timeout: Duration::from_secs(60),
            longest: None,
        },
        recovery: Duration::from_secs(120),
        retry: RetryPolicy {
            max_retries: 3,
            max_moves: 2,
        },
        retry_budget_ratio: 0.2,
        smart_ai: SmartAi::default(),
    }
}

fn filter(provider: Option<ProviderName>) -> Filter {
    Filter {
        user: Arc::new(User::anybody()),
        provider,
        account: None,
        needs: Abilities::NONE,
        mode: Mode::Whole,
        affinity: None,
    }
}
