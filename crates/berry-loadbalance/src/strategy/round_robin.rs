//! `round_robin`: each candidate in turn, exactly even over first attempts.
//!
//! ```text
//! choice = turn(set of candidates) mod n
//! ```
//!
//! Retries look at the turn and do not advance it: otherwise the endpoint after a failing one
//! would get twice its share. A request with an affinity follows it and takes no turn: then the
//! keys are spread evenly.

use crate::strategy::{Candidate, Draw, Strategy};

#[derive(Debug)]
pub(super) struct RoundRobin;

impl Strategy for RoundRobin {
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        if candidates.is_empty() {
            return None;
        }
        if draw.affinity.is_some() {
            return draw.share(candidates, |_| 1.0);
        }
        Some(draw.turns.take(candidates, draw.first) % candidates.len())
    }
}
