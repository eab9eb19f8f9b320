//! `least_latency`: the candidate that is expected to answer first.
//!
//! ```text
//! choice = argmin  peak-EWMA(i) × (1 + in-flight(i))
//! ```
//!
//! The estimate is that of the request's mode: the first content of a stream and of a whole answer
//! are different things. An endpoint whose latency is unknown is tried first, by one request at a
//! time: a burst on an endpoint nobody knows could be the slowest of all choices.

use crate::strategy::{Candidate, Draw, Strategy};

#[derive(Debug)]
pub(super) struct LeastLatency;

impl Strategy for LeastLatency {
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        let places = 0..candidates.len();
        let unknown = |&place: &usize| {
            let signals = &candidates[place].signals;
            signals.latency.is_none() && signals.in_flight == 0
        };
        if let Some(place) = places.clone().find(unknown) {
            return Some(place);
        }
        let cost = |place: usize| {
            let signals = &candidates[place].signals;
            // Unknown and being tried: behind everything that is known.
            let latency = signals
                .latency
                .map_or(f64::INFINITY, |latency| latency.as_secs_f64());
            latency * f64::from(signals.in_flight + 1)
        };
        let best = places
            .clone()
            .min_by(|&a, &b| cost(a).total_cmp(&cost(b)))?;
        if cost(best).is_finite() {
            return Some(best);
        }
        Some(draw.rng.usize(places))
    }
}
