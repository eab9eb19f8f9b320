//! `least_latency`: the candidate that is expected to answer first.
//!
//! ```text
//! choice = argmin  cost(i),   cost(i) = peak-EWMA(i) × (1 + in-flight(i))
//! ```
//!
//! The estimate is that of the request's mode: the first content of a stream and of a whole answer
//! are different things. An endpoint whose latency is unknown is tried first, by one request at a
//! time: a burst on an endpoint nobody knows could be the slowest of all choices. Where that request
//! taught nothing (its sender was at fault, or gave up), the next comes after [`AGAIN`]; until then
//! those that are known are preferred. Where none is, all are equal.
//!
//! A request with an affinity follows it among those that cost at most [`NEAR`] times the least: a
//! prompt that is cached saves more than that, and an endpoint that is slow or busy still loses its
//! requests.

use std::time::Duration;

use crate::strategy::{Candidate, Draw, Strategy};

/// Up to this multiple of the least cost an affinity decides.
const NEAR: f64 = 2.0;
/// How long an endpoint that was asked in vain waits until it is tried first again.
const AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct LeastLatency;

impl Strategy for LeastLatency {
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        let unknown = |candidate: &Candidate<'_>| {
            let signals = &candidate.signals;
            let is_due = |at| draw.now.saturating_since(at) >= AGAIN;
            signals.latency.is_none()
                && signals.in_flight == 0
                && signals.in_vain.is_none_or(is_due)
        };
        if let Some(place) = candidates.iter().position(unknown) {
            return Some(place);
        }
        let (best, least) = candidates
            .iter()
            .map(cost)
            .enumerate()
            .min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        if least.is_infinite() {
            return draw.share(candidates, |_| 1.0);
        }
        if draw.affinity.is_none() {
            return Some(best);
        }
        let is_near = |candidate: &Candidate<'_>| cost(candidate) <= NEAR * least;
        draw.share(candidates, |candidate| {
            f64::from(u8::from(is_near(candidate)))
        })
    }
}

fn cost(candidate: &Candidate<'_>) -> f64 {
    let signals = &candidate.signals;
    // Unknown and being tried: behind everything that is known.
    let latency = signals
        .latency
        .map_or(f64::INFINITY, |latency| latency.as_secs_f64());
    latency * f64::from(signals.in_flight + 1)
}
