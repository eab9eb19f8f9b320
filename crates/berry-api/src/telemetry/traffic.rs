//! What is counted of requests as clients see them.
//!
//! Every counter there can be exists from the beginning, in arrays that fixed labels index: counting
//! takes no look-up, no lock and no memory, and hostile requests add no series.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use berry_core::{Distribution, Histogram};
use berry_loadbalance::LATENCIES;

use super::gauge::Gauge;
use super::label::{self, Place, STATUSES};
use super::refusals::Refusals;

/// From a few microseconds, which is what a request costs, to what nobody should see.
const OVERHEADS: &[Duration] = &[
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
];

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// By path, method and status.
    requests: Box<[AtomicU64]>,
    /// By path and method.
    durations: Box<[Histogram]>,
    overhead: Histogram,
    rate_limited: AtomicU64,
    /// Requests that have not been answered to their end.
    pub(crate) in_flight: Gauge,
    /// Open connections of clients.
    pub(crate) connections: Gauge,
    /// Heads that became no request.
    pub(crate) refusals: Refusals,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            requests: (0..Place::COUNT * STATUSES.len())
                .map(|_| AtomicU64::new(0))
                .collect(),
            durations: (0..Place::COUNT)
                .map(|_| Histogram::new(LATENCIES))
                .collect(),
            overhead: Histogram::new(OVERHEADS),
            rate_limited: AtomicU64::new(0),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            refusals: Refusals::default(),
        }
    }
}

/// Where requests were counted, as labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) path: &'static str,
    pub(crate) method: &'static str,
}

impl From<Place> for Labels {
    fn from(place: Place) -> Self {
        Self {
            path: place.path(),
            method: place.method(),
        }
    }
}

impl Traffic {
    /// Counts a request.
    pub(crate) fn ended(&self, place: Place, status: u16, elapsed: Duration) {
        let counter = place.index() * STATUSES.len() + label::status(status);
        if let Some(counter) = self.requests.get(counter) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(durations) = self.durations.get(place.index()) {
            durations.observe(elapsed);
        }
    }

    /// Counts a request that was refused because its user has had enough.
    pub(crate) fn rate_limited(&self) {
        self.rate_limited.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what Berry itself has spent on a relayed request.
    pub(crate) fn relayed(&self, overhead: Duration) {
        self.overhead.observe(overhead);
    }

    /// Returns the counters that have counted, with their status.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (Labels, &'static str, u64)> {
        let counted = labels().flat_map(|labels| STATUSES.map(|status| (labels, status)));
        let counted = counted.zip(&self.requests);
        counted
            .map(|((labels, status), count)| (labels, status, count.load(Ordering::Relaxed)))
            .filter(|(_, _, count)| *count > 0)
    }

    /// Returns how long requests took, where there were any.
    pub(crate) fn durations(&self) -> impl Iterator<Item = (Labels, Distribution)> {
        let read = self.durations.iter().map(Histogram::read);
        labels().zip(read).filter(|(_, read)| read.count > 0)
    }

    /// Returns what Berry itself has spent on requests.
    pub(crate) fn overhead(&self) -> Distribution {
        self.overhead.read()
    }

    /// Returns how many requests were refused because their user had had enough.
    pub(crate) fn refused_by_rate(&self) -> u64 {
        self.rate_limited.load(Ordering::Relaxed)
    }
}

/// Every place, in order.
fn labels() -> impl Iterator<Item = Labels> {
    Place::all().map(Labels::from)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use super::*;
    use crate::telemetry::visit::Visit;

    #[test]
    fn a_request_is_counted_where_it_belongs() {
        let traffic = Arc::new(Traffic::default());

        Visit::begin(&traffic, "/v1/chat/completions", &Method::POST).ended(200);
        Visit::begin(&traffic, "/v1/chat/completions", &Method::POST).ended(502);
        Visit::begin(&traffic, "/v1/models/x", &Method::GET).ended(418);

        let requests: Vec<_> = traffic.requests().collect();
        let visit = Visit::begin(&traffic, "/v1/models/x", &Method::GET);
        let chat = Labels {
            path: "/v1/chat/completions",
            method: "POST",
        };
        let model = Labels {
            path: "/v1/models/{id}",
            method: "GET",
        };
        assert_eq!(visit.labels(), model);
        assert_eq!(
            requests,
            [(chat, "200", 1), (chat, "502", 1), (model, "4xx", 1)]
        );
        let durations: Vec<_> = traffic
            .durations()
            .map(|(labels, read)| (labels, read.count))
            .collect();
        assert_eq!(durations, [(chat, 2), (model, 1)]);
    }
}
