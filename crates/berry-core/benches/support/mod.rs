//! Users of benchmarks, all of whose limits are looked at and none is reached.

use std::num::NonZeroU32;
use std::sync::Arc;

use berry_core::auth::TokenDigest;
use berry_core::config::RateLimit;
use berry_core::limit::Estimate;
use berry_core::{User, UserName};

pub(crate) const ESTIMATE: Estimate = Estimate {
    input: 100,
    output: 0,
};

pub(crate) fn users(count: u32) -> Vec<Arc<User>> {
    let most = NonZeroU32::new(u32::MAX);
    let rate_limit = RateLimit {
        requests_per_minute: most,
        requests_per_hour: most,
        requests_per_day: most,
        tokens_per_minute: most,
        max_concurrent_requests: most,
    };
    let user = |index| User {
        id: UserName::parse(&format!("user-{index}")).expect("a name"),
        token: TokenDigest::of(&format!("token-of-user-{index}-0123456789")),
        rate_limit,
        ..User::anybody()
    };
    (0..count).map(|index| Arc::new(user(index))).collect()
}
