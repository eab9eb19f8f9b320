//! Pools for tests: endpoints named by letters, users by tags.

use std::sync::Arc;
use std::time::Duration;

use berry_core::config::{
    AllowedModels, BillingMode, ConfidenceAdjustments, Prices, RateLimit, SmartAi,
};
use berry_core::{ProviderName, Tag, TokenDigest, User, name::UserName};

use super::*;
use crate::breaker::BreakerPolicy;
use crate::endpoint::Patience;
use crate::events::Events;
use crate::key::EndpointKey;
use crate::limits::RetryPolicy;
use crate::outcome::{Fault, Outcome};
use crate::state::EndpointState;
use crate::strategy;

pub(crate) const LIMITS: Limits = Limits {
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
    smart_ai: SMART_AI,
};

pub(crate) const SMART_AI: SmartAi = SmartAi {
    initial_confidence: 0.8,
    min_confidence: 0.05,
    exploration_ratio: 0.2,
    enable_time_decay: true,
    lightweight_check_interval: Duration::from_secs(600),
    non_premium_stability_bonus: 1.1,
    confidence_adjustments: ConfidenceAdjustments {
        success_boost: 0.1,
        network_error_penalty: 0.3,
        auth_error_penalty: 0.8,
        rate_limit_penalty: 0.1,
        server_error_penalty: 0.2,
        model_error_penalty: 0.3,
        timeout_penalty: 0.2,
    },
};

pub(crate) fn key(provider: &str) -> EndpointKey {
    EndpointKey {
        provider: ProviderName::parse(provider).unwrap(),
        base_url: "http://upstream/v1".into(),
        protocol: "openai",
        model: "m".into(),
        credential: 0,
    }
}

pub(crate) fn endpoint(provider: &str) -> Endpoint {
    Endpoint {
        weight: 1.0,
        priority: 0,
        tags: Box::default(),
        billing: BillingMode::PerToken,
        prices: Prices::default(),
        patience: Patience {
            streamed: Duration::from_secs(30),
            whole: Duration::from_secs(300),
        },
        provider_retries: 3,
        abilities: Abilities::NONE,
        state: Arc::new(EndpointState::new(key(provider), Events::to(|_| {}))),
    }
}

pub(crate) fn tags(tags: &[&str]) -> Vec<Tag> {
    tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect()
}

pub(crate) fn pool(strategy: &str, endpoints: Vec<Endpoint>) -> Arc<Pool> {
    pool_with(strategy, endpoints, LIMITS)
}

pub(crate) fn pool_with(strategy: &str, endpoints: Vec<Endpoint>, limits: Limits) -> Arc<Pool> {
    let strategy = strategy::build(strategy).unwrap();
    Arc::new(Pool::new(PoolOptions {
        endpoints,
        strategy,
        limits,
    }))
}

pub(crate) fn user(user_tags: &[&str]) -> Arc<User> {
    Arc::new(User {
        id: UserName::parse("u").unwrap(),
        name: "u".into(),
        token: TokenDigest::of("token"),
        enabled: true,
        tags: tags(user_tags),
        allowed_models: AllowedModels::All,
        allowed_ips: Vec::new(),
        expires_at: None,
        rate_limit: RateLimit::default(),
    })
}

pub(crate) fn everybody() -> Filter {
    Filter {
        user: user(&[]),
        provider: None,
        account: None,
        needs: Abilities::NONE,
        mode: Mode::Whole,
        affinity: None,
    }
}

/// The first pick of a new request.
pub(crate) fn first_pick(
    pool: &Arc<Pool>,
    filter: &Filter,
    clock: Clock,
    rng: &mut fastrand::Rng,
) -> Result<Lease, PickError> {
    pool.pick(
        filter,
        |_| false,
        clock,
        Pick {
            order: Order::First,
            rng,
            now: clock.now(),
        },
    )
}

pub(crate) fn name(lease: &Lease) -> String {
    lease.endpoint().key().provider.to_string()
}

pub(crate) fn fail(lease: Lease, fault: Fault) {
    lease.finish(Outcome::Failure(fault));
}
