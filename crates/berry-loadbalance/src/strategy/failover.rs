//! `failover`: the candidate with the lowest priority number; file order on ties.
//!
//! ```text
//! choice = argmin (priority, place in the file)
//! ```
//!
//! Suspects are not spared: only the breaker's threshold ejects, so that a standby is not loaded
//! for one failure of the primary. A recovering standby is never tried in place of a healthy
//! primary. Affinity changes nothing: all requests prefer the same endpoint as it is.

use crate::endpoint::Endpoint;
use crate::strategy::{Candidate, Draw, Strategy};

#[derive(Debug)]
pub(super) struct Failover;

impl Strategy for Failover {
    fn choose(&self, candidates: &[Candidate<'_>], _draw: &mut Draw<'_>) -> Option<usize> {
        (0..candidates.len()).min_by_key(|&place| {
            let candidate = &candidates[place];
            (candidate.endpoint.priority, candidate.index)
        })
    }

    fn may_try_recovering(&self, recovering: &Endpoint, healthy: &[Candidate<'_>]) -> bool {
        healthy
            .iter()
            .all(|candidate| recovering.priority <= candidate.endpoint.priority)
    }
}
