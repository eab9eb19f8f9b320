//! A day of traffic in a second: real pools, breakers, strategies and health checks, imagined
//! providers.
//!
//! Time is virtual and chance seeded, so a run is the same each time. What an endpoint does to a
//! request (`site`) depends on the seed, the request and the endpoint, and not on the strategy: all
//! strategies, and the oracle they are measured by, meet the same luck.
//!
//! Everything between the request and the provider's answer is the code that serves requests:
//! [`Attempts`](crate::Attempts) begin, move and repeat; leases record; probes are planned by the
//! same schedule. Only the clock and the wire are imagined.

mod fleet;
mod oracle;
mod recoveries;
mod report;
mod site;
mod world;

#[cfg(test)]
mod proofs;
#[cfg(test)]
mod tests;

pub use fleet::{Fleet, FleetError};
pub use report::{Report, Share};

use berry_core::Tick;
use berry_core::config::scenario::Scenario;

use crate::strategy::Strategy;
use world::World;

/// A scenario that ships with Berry.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// What it is called.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

/// Lists the scenarios that ship with Berry.
macro_rules! built_in {
    ($($name:literal,)+) => {
        &[$(BuiltIn {
            name: $name,
            text: include_str!(concat!("scenarios/", $name, ".toml")),
        }),+]
    };
}

/// All scenarios that ship with Berry.
pub const SCENARIOS: &[BuiltIn] = built_in![
    "steady",
    "premium-first",
    "outage",
    "hanging",
    "brownout",
    "flapping",
    "slow",
    "rate-capped",
    "expensive-but-solid",
    "one-a-minute",
    "busy",
    "far-apart",
    "close-prices",
    "per-request",
];

/// One simulation: who serves, and what happens.
#[derive(Debug, Clone, Copy)]
pub struct Simulation<'a> {
    /// The endpoints and the rules.
    pub fleet: &'a Fleet,
    /// What happens.
    pub scenario: &'a Scenario,
    /// Which luck.
    pub seed: u64,
}

impl Simulation<'_> {
    /// Plays the scenario to its end with this strategy.
    pub fn run(&self, strategy: Box<dyn Strategy>) -> Report {
        self.watch(strategy, |_, _| {})
    }

    /// The same, telling when each request began and with which endpoint, by its place.
    pub fn watch(&self, strategy: Box<dyn Strategy>, seen: impl FnMut(Tick, usize)) -> Report {
        World::new(self, strategy, seen).play()
    }
}
