//! `round_robin`: each candidate in turn, exactly even over first attempts.
//!
//! ```text
//! choice = turn(set of candidates) mod n
//! ```
//!
//! Retries look at the turn and do not advance it: otherwise the endpoint after a failing one
//! would get twice its share.

use crate::strategy::{Candidate, Draw, Strategy};

#[derive(Debug)]
pub(super) struct RoundRobin;

impl Strategy for RoundRobin {
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        if candidates.is_empty() {
            return None;
        }
        Some(draw.turns.take(candidates, draw.first) % candidates.len())
    }
}
