//! What telemetry does for a request, for the benchmarks in `benches/`, which count each part by itself.

use std::path::Path;
use std::time::Duration;

use berry_relay::Usage;
use http::Method;
use jiff::Timestamp;

use crate::ledger::{Row, Store};
use crate::telemetry::label::Place;
use crate::telemetry::traffic::Traffic;

/// What is counted of requests.
#[derive(Debug)]
pub struct Counters {
    traffic: Traffic,
    place: Place,
}

impl Counters {
    /// Makes all there are.
    pub fn new() -> Self {
        Self {
            traffic: Traffic::default(),
            place: Place::of("/v1/chat/completions", &Method::POST),
        }
    }

    /// Adds one to one counter.
    pub fn increment(&self) {
        self.traffic.rate_limited();
    }

    /// Counts a request that is over, with its histograms.
    pub fn record(&self) {
        let (elapsed, overhead) = (Duration::from_millis(700), Duration::from_micros(40));
        self.traffic.ended(self.place, 200, elapsed);
        self.traffic.relayed(overhead);
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

/// A ledger and rows that wait for it.
#[derive(Debug)]
pub struct Batch {
    store: Store,
    rows: Vec<Row>,
}

impl Batch {
    /// Opens the file, in which there are rows of the same users already; none where it cannot be opened.
    pub fn begin(path: &Path, rows: usize, users: usize) -> Option<Self> {
        let store = Store::open(path).ok()?;
        let rows = (0..rows).map(|number| row(number % users)).collect();
        let mut batch = Self { store, rows };
        (batch.write() && batch.roll_up() && batch.write()).then_some(batch)
    }

    /// Writes the rows; returns whether that succeeded.
    pub fn write(&mut self) -> bool {
        self.store.write(&self.rows).is_ok()
    }

    /// Adds what was written to the totals; returns whether that succeeded.
    pub fn roll_up(&mut self) -> bool {
        self.store.roll_up().is_ok()
    }
}

/// A request of this user to one of two models.
fn row(user: usize) -> Row {
    Row {
        at: Timestamp::UNIX_EPOCH,
        user: format!("user-{user}").into(),
        model: format!("model-{}", user % 2).into(),
        endpoint: None,
        status: 200,
        usage: Usage {
            uncached: 900,
            cache_read: 100,
            visible: 200,
            reasoning: 50,
            ..Usage::default()
        },
        estimated: false,
        nanodollars: Some(4_500_000),
        first_byte: Some(Duration::from_millis(300)),
        latency: Duration::from_millis(2_000),
        attempts: 1,
    }
}
