//! How one of several candidates is chosen.
//!
//! A strategy is pure: the same candidates and the same [`Draw`] give the same choice. What may be
//! chosen at all (health, permissions, what was tried already) is decided before, in the pool, and
//! the same for all strategies. A request with an [`AffinityKey`] is drawn by it instead of by
//! chance, with the same shares; a strategy that leaves nothing to chance says what it does.
//!
//! [`STRATEGIES`] is the vocabulary: configuration errors, the reference and the command line print
//! names and descriptions from it.

mod failover;
mod least_latency;
mod random;
mod round_robin;
mod smart_ai;
mod smart_weighted_failover;
mod weighted;
mod weighted_failover;
mod weighted_random;

use std::fmt;

use berry_core::config::SmartAi;
use berry_core::{Term, Tick};
use hashbrown::HashMap;

use crate::affinity::AffinityKey;
use crate::economy::Economy;
use crate::endpoint::Endpoint;
use crate::state::Signals;
use crate::sync::Mutex;

/// An endpoint that may be chosen now.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its place in the pool, which is the order of the file.
    pub index: usize,
    /// What is configured.
    pub endpoint: &'a Endpoint,
    /// What is known.
    pub signals: Signals,
}

/// Chance and time of one choice.
#[derive(Debug)]
pub struct Draw<'a> {
    /// The present.
    pub now: Tick,
    /// Seeded once per process; each request forks its own.
    pub rng: &'a mut fastrand::Rng,
    /// Whose turn it is, for strategies that go round.
    pub turns: &'a Turns,
    /// What this request shares with others that should go where it goes.
    pub affinity: Option<AffinityKey>,
    /// Whether this is the request's first attempt; only those advance a turn.
    pub first: bool,
    /// What `smart_ai` is told to do.
    pub smart_ai: &'a SmartAi,
    /// What requests cost, and what exploring may.
    pub economy: &'a Economy,
}

impl Draw<'_> {
    /// Returns the place of one candidate, in proportion to `weight`: by the request's affinity
    /// where it has one, else by chance. What weighs nothing does not take part.
    fn share(
        &mut self,
        candidates: &[Candidate<'_>],
        weight: impl Fn(&Candidate<'_>) -> f64,
    ) -> Option<usize> {
        let Some(key) = self.affinity else {
            return weighted::choose(candidates, self.rng, weight);
        };
        let runners = candidates.iter();
        key.race(runners.map(|candidate| (candidate.endpoint.state.lane(), weight(candidate))))
    }
}

/// Chooses among candidates that are all allowed.
pub trait Strategy: fmt::Debug + Send + Sync {
    /// Returns the place in `candidates` of the one chosen; none only where there are none.
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize>;

    /// Returns what each candidate weighs in a choice now, in their order. For people, who are to
    /// see the numbers that selection uses; where it uses none, that is the configured weight.
    fn weights(
        &self,
        candidates: &[Candidate<'_>],
        _settings: &SmartAi,
        _economy: &Economy,
    ) -> Vec<f64> {
        let weights = candidates.iter().map(|candidate| candidate.endpoint.weight);
        weights.collect()
    }

    /// Returns whether a recovering endpoint may be given a first pick although healthy ones
    /// exist. A strategy that keeps endpoints in reserve says no for those.
    fn may_try_recovering(&self, recovering: &Endpoint, healthy: &[Candidate<'_>]) -> bool {
        let _ = (recovering, healthy);
        true
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct StrategyEntry {
    /// The name in configuration, logs and metrics.
    pub name: &'static str,
    /// What it does, in one phrase.
    pub description: &'static str,
    /// Keys of a backend that it does not look at.
    ignores: &'static [&'static str],
    build: fn() -> Box<dyn Strategy>,
}

impl StrategyEntry {
    /// Returns whether `text` is its name, in any spelling that a configuration may use.
    pub fn is_called(&self, text: &str) -> bool {
        self.term().is_called(text)
    }

    fn term(&self) -> Term {
        Term {
            name: self.name,
            aliases: &[],
            ignores: self.ignores,
            available: true,
        }
    }
}

/// All strategies there are.
pub const STRATEGIES: &[StrategyEntry] = &[
    StrategyEntry {
        name: "weighted_random",
        description: "random in proportion to weight",
        ignores: &["priority"],
        build: || Box::new(weighted_random::WeightedRandom),
    },
    StrategyEntry {
        name: "random",
        description: "random, all alike",
        ignores: &["weight", "priority"],
        build: || Box::new(random::Random),
    },
    StrategyEntry {
        name: "round_robin",
        description: "each in turn, exactly even",
        ignores: &["weight", "priority"],
        build: || Box::new(round_robin::RoundRobin),
    },
    StrategyEntry {
        name: "least_latency",
        description: "the one that is expected to answer first",
        ignores: &["weight", "priority"],
        build: || Box::new(least_latency::LeastLatency),
    },
    StrategyEntry {
        name: "failover",
        description: "the lowest priority number that works; file order on ties",
        ignores: &["weight"],
        build: || Box::new(failover::Failover),
    },
    StrategyEntry {
        name: "weighted_failover",
        description: "random in proportion to weight; the others stand in when one fails",
        ignores: &["priority"],
        build: || Box::new(weighted_failover::WeightedFailover),
    },
    StrategyEntry {
        name: "smart_weighted_failover",
        description: "like weighted_failover; what was ejected returns in stages",
        ignores: &["priority"],
        build: || Box::new(smart_weighted_failover::SmartWeightedFailover),
    },
    StrategyEntry {
        name: "smart_ai",
        description: "what is cheap and has lately worked, for small and costly traffic",
        ignores: &["priority"],
        build: || Box::new(smart_ai::SmartAi),
    },
];

/// Returns the names as the configuration checks them.
pub fn vocabulary() -> Vec<Term> {
    STRATEGIES.iter().map(StrategyEntry::term).collect()
}

/// Makes the strategy of this name.
pub fn build(name: &str) -> Option<Box<dyn Strategy>> {
    STRATEGIES
        .iter()
        .find(|entry| entry.name == name)
        .map(|entry| (entry.build)())
}

/// One turn counter per set of candidates.
///
/// A single counter would be uneven where users with different permissions alternate: one user's
/// set might be served on the even turns only.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<u64, usize>>);

/// More sets than this are not worth remembering: at that point every set starts again.
const MAX_SETS: usize = 1024;

impl Turns {
    /// Returns whose turn it is among these candidates; `advance` passes it on.
    fn take(&self, candidates: &[Candidate<'_>], advance: bool) -> usize {
        let mut turns = self.0.lock();
        if turns.len() >= MAX_SETS {
            turns.clear();
        }
        let turn = turns.entry(fingerprint(candidates)).or_default();
        let current = *turn;
        if advance {
            *turn = current.wrapping_add(1);
        }
        current
    }
}

/// A hash (FNV-1a) of which endpoints these are. A collision makes two sets share a counter, which
/// costs evenness and nothing else.
fn fingerprint(candidates: &[Candidate<'_>]) -> u64 {
    candidates
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, candidate| {
            (hash ^ candidate.index as u64).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

#[cfg(test)]
mod shares;
#[cfg(test)]
mod tests;
