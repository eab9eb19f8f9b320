//! `weighted_failover`: random in proportion to weight, halved for each failure in a row.
//!
//! ```text
//! P(i) = w(i) / Σ w,   w(i) = weight(i) × 2^−n(i),   n = consecutive failures
//! ```
//!
//! A suspect endpoint keeps a share until its breaker ejects it, and one success restores it. A
//! request is never left unserved while any candidate might serve it.

use crate::strategy::weighted::{choose, suspect_weight};
use crate::strategy::{Candidate, Draw, Strategy};

#[derive(Debug)]
pub(super) struct WeightedFailover;

impl Strategy for WeightedFailover {
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        choose(candidates, draw.rng, suspect_weight)
    }
}
