//! What a simulated provider saw: requests, connections, answers that nobody waited for.
//!
//! Counts live in a watch channel, so that a test can wait for "two cancellations" without polling.
//! Requests are kept whole, because tests look at their bytes; a load test turns that off.

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use parking_lot::Mutex;
use tokio::sync::watch;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// The path with the query, as on the wire.
    pub path_and_query: String,
    /// The protocol version.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Counts at one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests whose body has arrived.
    pub requests: usize,
    /// Connections accepted so far.
    pub connections: usize,
    /// Connections open now.
    pub open_connections: usize,
    /// Answers that the client abandoned before their end.
    pub cancellations: usize,
}

/// Whether requests are kept or only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recording {
    /// Kept whole.
    Whole,
    /// Counted and forgotten.
    Count,
}

/// The record of one simulated provider.
#[derive(Debug)]
pub(crate) struct Journal {
    recording: Recording,
    requests: Mutex<Vec<Recorded>>,
    tally: watch::Sender<Tally>,
}

impl Journal {
    pub(crate) fn new(recording: Recording) -> Self {
        Self {
            recording,
            requests: Mutex::default(),
            tally: watch::Sender::default(),
        }
    }

    /// Records an arrival and returns its number, counted from 1.
    pub(crate) fn record(&self, request: &Recorded) -> usize {
        if self.recording == Recording::Whole {
            self.requests.lock().push(request.clone());
        }
        let mut number = 0;
        self.tally.send_modify(|tally| {
            tally.requests += 1;
            number = tally.requests;
        });
        number
    }

    pub(crate) fn connection_opened(&self) {
        self.tally.send_modify(|tally| {
            tally.connections += 1;
            tally.open_connections += 1;
        });
    }

    pub(crate) fn connection_closed(&self) {
        self.tally.send_modify(|tally| tally.open_connections -= 1);
    }

    pub(crate) fn answer_abandoned(&self) {
        self.tally.send_modify(|tally| tally.cancellations += 1);
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().clone()
    }

    pub(crate) fn tally(&self) -> Tally {
        *self.tally.borrow()
    }

    /// Waits until the counts satisfy `condition`, at once if they do already.
    pub(crate) async fn wait_until(&self, condition: impl FnMut(&Tally) -> bool) {
        // The sender is `self`, so the channel cannot close meanwhile.
        let _ = self.tally.subscribe().wait_for(condition).await;
    }
}
