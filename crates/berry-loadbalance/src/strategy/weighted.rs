//! The draw that several strategies share: random in proportion to a weight.

use smallvec::SmallVec;

use crate::strategy::Candidate;

/// Beyond this many failures in a row the share is as good as none, and must not become zero.
const MOST_HALVINGS: f64 = 60.0;

/// Returns the place of one candidate, drawn in proportion to `weight`.
pub(super) fn choose(
    candidates: &[Candidate<'_>],
    rng: &mut fastrand::Rng,
    weight: impl Fn(&Candidate<'_>) -> f64,
) -> Option<usize> {
    let weights: SmallVec<[f64; 16]> = candidates.iter().map(weight).collect();
    draw(&weights, rng)
}

/// Returns the place of one weight, drawn in proportion to it.
pub(super) fn draw(weights: &[f64], rng: &mut fastrand::Rng) -> Option<usize> {
    let total: f64 = weights.iter().sum();
    let mut point = rng.f64() * total;
    for (place, weight) in weights.iter().enumerate() {
        point -= weight;
        if point < 0.0 {
            return Some(place);
        }
    }
    // Rounding can leave the point just above the last share.
    weights.len().checked_sub(1)
}

/// Returns the configured weight, halved for each failure in a row.
pub(super) fn suspect_weight(candidate: &Candidate<'_>) -> f64 {
    candidate.endpoint.weight * halved(f64::from(candidate.signals.consecutive_failures))
}

/// Returns what so many halvings leave of one.
pub(super) fn halved(times: f64) -> f64 {
    (-times.min(MOST_HALVINGS)).exp2()
}
