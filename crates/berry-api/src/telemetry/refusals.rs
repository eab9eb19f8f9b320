//! Heads that hyper refuses: not HTTP, or too long. They never become a request, so that they have no
//! line, no count and no user of their own; what is known is counted here, and said in the log.
//!
//! Anybody can send such a head, as often as they like: one warning in a minute says how many came.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::arrival::RequestId;
use crate::telemetry::traffic::Traffic;

/// The shortest time between two warnings.
const PERIOD: Duration = Duration::from_secs(60);
/// What hyper answers; anything else counts as the first.
const STATUSES: [(&str, StatusCode); 3] = [
    ("400", StatusCode::BAD_REQUEST),
    ("414", StatusCode::URI_TOO_LONG),
    ("431", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
];

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: [AtomicU64; STATUSES.len()],
    /// When the last warning was written, and how many had come by then.
    warned: Mutex<Option<(Instant, u64)>>,
}

impl Refusals {
    /// Returns how many there were, by their status.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        STATUSES.iter().map(|(label, _)| *label).zip(counts)
    }

    /// Counts one; returns how many have come since the last warning, where it is time for another.
    fn count(&self, status: StatusCode) -> Option<u64> {
        let place = STATUSES.iter().position(|(_, known)| *known == status);
        let count = self.counts.get(place.unwrap_or_default())?;
        count.fetch_add(1, Ordering::Relaxed);
        let all = self.counts().map(|(_, count)| count).sum();
        let now = Instant::now();
        let mut warned = self.warned.lock();
        let (last, known) = warned.unzip();
        if last.is_some_and(|last| now.duration_since(last) < PERIOD) {
            return None;
        }
        *warned = Some((now, all));
        Some(all - known.unwrap_or_default())
    }
}

/// Whose heads they are.
#[derive(Debug)]
pub(crate) struct Client {
    traffic: Arc<Traffic>,
    address: IpAddr,
}

impl Client {
    /// Knows a client by its address.
    pub(crate) fn new(traffic: &Arc<Traffic>, address: IpAddr) -> Self {
        Self {
            traffic: Arc::clone(traffic),
            address,
        }
    }

    /// Notes that a head was refused.
    pub(crate) fn refused(&self, status: StatusCode, id: &RequestId) {
        let (peer, status_code, request_id) = (self.address, status.as_u16(), id.as_str());
        if let Some(refused) = self.traffic.refusals.count(status) {
            warn!(%peer, status = status_code, request_id, refused, "request refused unread");
        } else {
            debug!(%peer, status = status_code, request_id, "request refused unread");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_is_counted_and_one_warning_in_a_minute_tells_of_all() {
        let refusals = Refusals::default();

        let first = refusals.count(StatusCode::URI_TOO_LONG);
        advance(PERIOD / 2).await;
        let second = refusals.count(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        advance(PERIOD / 2).await;
        let third = refusals.count(StatusCode::IM_A_TEAPOT);

        assert_eq!((first, second, third), (Some(1), None, Some(2)));
        let counts: Vec<_> = refusals.counts().collect();
        assert_eq!(counts, [("400", 1), ("414", 1), ("431", 1)]);
    }
}
