//! The draw that several strategies share: random in proportion to a weight.

use crate::strategy::Candidate;

/// Beyond this many failures in a row the share is as good as none, and must not become zero.
const MAX_HALVINGS: i32 = 60;

/// Returns the place of one candidate, drawn in proportion to `weight`.
pub(super) fn choose(
    candidates: &[Candidate<'_>],
    rng: &mut fastrand::Rng,
    weight: impl Fn(&Candidate<'_>) -> f64,
) -> Option<usize> {
    let total: f64 = candidates.iter().map(&weight).sum();
    let mut point = rng.f64() * total;
    for (place, candidate) in candidates.iter().enumerate() {
        point -= weight(candidate);
        if point < 0.0 {
            return Some(place);
        }
    }
    // Rounding can leave the point just above the last share.
    candidates.len().checked_sub(1)
}

/// Returns the configured weight, halved for each failure in a row.
pub(super) fn suspect_weight(candidate: &Candidate<'_>) -> f64 {
    let failures = i32::try_from(candidate.signals.consecutive_failures).unwrap_or(MAX_HALVINGS);
    candidate.endpoint.weight * 0.5_f64.powi(failures.min(MAX_HALVINGS))
}
