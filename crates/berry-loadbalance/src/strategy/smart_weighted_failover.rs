//! `smart_weighted_failover`: random in proportion to weight and to how far an endpoint has returned.
//!
//! ```text
//! P(i) = w(i) / Σ w,   w(i) = weight(i) × 2^−n(i) × recovery share(i)
//! ```
//!
//! An endpoint that was ejected comes back in stages (10, 30, 50, 100 %) instead of at once; the
//! ramp is in [`recovery`](crate::recovery).

use berry_core::config::SmartAi;

use crate::economy::Economy;
use crate::strategy::weighted::suspect_weight;
use crate::strategy::{Candidate, Draw, Strategy};

#[derive(Debug)]
pub(super) struct SmartWeightedFailover;

impl Strategy for SmartWeightedFailover {
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        draw.share(candidates, returning_weight)
    }

    fn weights(&self, candidates: &[Candidate<'_>], _: &SmartAi, _: &Economy) -> Vec<f64> {
        candidates.iter().map(returning_weight).collect()
    }
}

fn returning_weight(candidate: &Candidate<'_>) -> f64 {
    suspect_weight(candidate) * candidate.signals.recovery
}
