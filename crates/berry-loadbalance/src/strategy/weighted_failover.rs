//! `weighted_failover`: random in proportion to weight, halved for each failure in a row.
//!
//! ```text
//! P(i) = w(i) / Σ w,   w(i) = weight(i) × 2^−n(i),   n = consecutive failures
//! ```
//!
//! A suspect endpoint keeps a share until its breaker ejects it, and one success restores it. A
//! request is never left unserved while any candidate might serve it.

use berry_core::config::SmartAi;

use crate::economy::Economy;
use crate::strategy::weighted::suspect_weight;
use crate::strategy::{Candidate, Draw, Strategy};

#[derive(Debug)]
pub(super) struct WeightedFailover;

impl Strategy for WeightedFailover {
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        draw.share(candidates, suspect_weight)
    }

    fn weights(&self, candidates: &[Candidate<'_>], _: &SmartAi, _: &Economy) -> Vec<f64> {
        candidates.iter().map(suspect_weight).collect()
    }
}
