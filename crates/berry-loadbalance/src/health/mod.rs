//! Which endpoints are asked how they are, how often, and what the answer changes.
//!
//! Traffic is the better teacher: it is free, and it asks what users ask. Probes are for what
//! traffic cannot show: an endpoint that no request has gone to yet or for long, and one that gets
//! none because it is unhealthy. Two depths:
//!
//! - *models*: one list of models per provider, at start and every interval. Costs nothing and
//!   shows that the provider is there and takes our key.
//! - *chat*: one token from one endpoint, once at start, then after a long time without a request,
//!   and while it is unhealthy. Shows that the model answers.
//!
//! Only endpoints that bill by token are asked. Where each request has a price, a real one finds out:
//! the breaker's trial, protected by failover.
//!
//! A failed probe makes an endpoint unhealthy, which is to be asked last, and never ejects it; it
//! counts in no total. A passed chat brings back what was ejected.

mod monitor;
mod plan;
mod prober;
mod record;
mod roster;
mod rounds;
mod schedule;

pub use monitor::HealthMonitor;
pub use plan::Plan;
pub use prober::{ProbeDepth, ProbeFailure, ProbeOutcome, Prober};
pub(crate) use record::ProbeRecord;
pub use roster::Roster;
pub(crate) use rounds::Rounds;

pub use schedule::Cadence;
pub(crate) use schedule::{Check, Standing, Vitals};

#[cfg(test)]
mod tests;
