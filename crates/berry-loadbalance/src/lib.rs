//! Which endpoint a request goes to, and how well each endpoint is.
//!
//! A [`Pool`] holds the [`Endpoint`]s of one public model and a [`Strategy`]. A request begins
//! [`Attempts`] on a pool and gets a [`Lease`]: one use of one endpoint, counted while it lives.
//! What the use taught is an [`Outcome`], recorded once, by the lease. It changes the
//! [`EndpointState`], whose [`Breaker`](breaker::Breaker) alone decides whether the endpoint may
//! be used. State is shared by every pool that uses the endpoint and outlives configurations
//! through the [`Registry`]. After a failure, [`Attempts`] say where the request goes next. The
//! [`HealthMonitor`] asks the endpoints that requests say nothing about.
//!
//! Nothing here knows HTTP, JSON or a provider's protocol; time is a
//! [`Tick`](berry_core::Tick) and chance a generator, both handed in.

mod ability;
mod affinity;
mod attempts;
pub mod breaker;
mod budget;
mod clock;
mod confidence;
mod economy;
mod endpoint;
mod events;
mod health;
mod key;
mod latency;
mod lease;
mod limits;
mod meter;
mod outcome;
mod pool;
mod recovery;
mod registry;
pub mod simulation;
mod state;
pub mod strategy;
mod sync;
mod totals;

pub use ability::Abilities;
pub use affinity::AffinityKey;
pub use attempts::{Attempts, Next, Repeat};
pub use budget::RetryBudget;
pub use clock::{Clock, ManualTime};
pub use economy::{Economy, Tokens};
pub use endpoint::{Endpoint, Patience};
pub use events::{Events, Transition};
pub use health::{
    Cadence, HealthMonitor, Plan, ProbeDepth, ProbeFailure, ProbeOutcome, Prober, Roster,
};
pub use key::{Account, EndpointKey};
pub use latency::Mode;
pub use lease::Lease;
pub use limits::{Limits, RetryPolicy};
pub use meter::{LATENCIES, Meter};
pub use outcome::{FailureKind, Fault, Outcome, Verdict};
pub use pool::{EndpointView, Filter, PickError, Pool, PoolOptions};
pub use registry::Registry;
pub use state::{EndpointState, Signals, Tally};
pub use strategy::{Candidate, Draw, STRATEGIES, Strategy, StrategyEntry};
pub use totals::Totals;
