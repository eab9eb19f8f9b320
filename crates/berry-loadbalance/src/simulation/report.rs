//! What a simulation has shown of one strategy.

use std::time::Duration;

/// See the module's documentation. Times are of the simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Requests that arrived.
    pub requests: u64,
    /// Those that the first attempt answered.
    pub first: u64,
    /// Those that were answered at all.
    pub served: u64,
    /// The median time from arrival to first content, failed attempts and waits included.
    pub p50: Option<Duration>,
    /// The time that one in a hundred exceeds.
    pub p99: Option<Duration>,
    /// What the answers cost, in US dollars; none where a price is unknown.
    pub cost: Option<f64>,
    /// What the oracle spent on the same requests.
    pub oracle: Option<f64>,
    /// Those that the oracle answered.
    pub oracle_served: u64,
    /// What each endpoint had, in the order of the file.
    pub shares: Vec<Share>,
    /// From the beginning of a fault until the endpoint was asked last or not at all, in the mean.
    pub ejected_after: Option<Duration>,
    /// From the end of a fault until the endpoint was in use again, in the mean.
    pub readmitted_after: Option<Duration>,
    /// From then until the endpoint had its whole share again, in the mean.
    pub restored_after: Option<Duration>,
}

/// The part of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The endpoint.
    pub name: String,
    /// The requests it answered.
    pub answered: u64,
    /// The attempts it got.
    pub attempts: u64,
}

impl Report {
    /// Returns the share of requests that the first attempt answered.
    pub fn success_before_failover(&self) -> f64 {
        ratio(self.first, self.requests)
    }

    /// Returns the share of requests that were answered.
    pub fn success_after_failover(&self) -> f64 {
        ratio(self.served, self.requests)
    }

    /// Returns how many times more than the oracle's the answers cost; none where a price is unknown, or
    /// where more than one in a thousand of the requests was lost that the oracle answered: what was not
    /// served is no saving.
    pub fn regret(&self) -> Option<f64> {
        let (cost, oracle) = (self.cost?, self.oracle?);
        let is_complete = ratio(self.served, self.oracle_served) >= 0.999;
        (oracle > 0.0 && is_complete).then(|| cost / oracle)
    }

    /// Returns the share of the answers that each endpoint gave.
    pub fn answered(&self) -> impl Iterator<Item = f64> {
        self.shares
            .iter()
            .map(|share| ratio(share.answered, self.served))
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// Returns the mean of some times.
pub(super) fn mean(times: &[Duration]) -> Option<Duration> {
    let sum: Duration = times.iter().sum();
    sum.checked_div(u32::try_from(times.len()).ok()?)
}

/// Returns the time that this percentage of the sorted times does not exceed.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let place = (sorted.len() * percent).div_ceil(100);
    sorted.get(place.saturating_sub(1)).copied()
}
