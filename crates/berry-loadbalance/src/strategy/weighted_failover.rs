//! `weighted_failover`: random in proportion to weight, halved for each failure in a row.
//!
//! ```text
//! P(i) = w(i) / Σ w,   w(i) = weight(i) × 2^−n(i),   n = consecutive failures
//! ```
//!
//! A suspect endpoint keeps a share until its breaker ejects it, and one success restores it. A
//! request is never left unserved while any candidate might serve it.

use crate::strategy::{Candidate, Draw, Strategy};

/// Beyond this many failures in a row the share is as good as none, and must not become zero.
const MAX_HALVINGS: i32 = 60;

#[derive(Debug)]
pub(super) struct WeightedFailover;

impl Strategy for WeightedFailover {
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        let total: f64 = candidates.iter().map(share).sum();
        let mut point = draw.rng.f64() * total;
        for (place, candidate) in candidates.iter().enumerate() {
            point -= share(candidate);
            if point < 0.0 {
                return Some(place);
            }
        }
        // Rounding can leave the point just above the last share.
        candidates.len().checked_sub(1)
    }
}

fn share(candidate: &Candidate<'_>) -> f64 {
    let failures = i32::try_from(candidate.signals.consecutive_failures).unwrap_or(MAX_HALVINGS);
    candidate.endpoint.weight * 0.5_f64.powi(failures.min(MAX_HALVINGS))
}
