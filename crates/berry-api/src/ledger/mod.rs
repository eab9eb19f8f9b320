//! The ledger: what every relayed request used and cost, in an SQLite file.
//!
//! A request only pushes its row into a bounded queue; one thread ([`writer`]) owns the file and
//! writes rows in batches ([`store`]), and from time to time what they add up to ([`tail`]). What cannot
//! be written now is kept for a while and tried again; what is lost in the end is counted. Readers
//! ([`report`]) have a connection of their own.

mod layout;
pub(crate) mod report;
mod row;
mod store;
mod sums;
mod tail;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use berry_core::config::Usage;
use tracing::warn;

pub(crate) use row::{Row, nanodollars};

use crate::telemetry::batch::{Gathering, Inlet, gathered};
use crate::telemetry::loss::Loss;
use report::{GroupBy, Period};
pub(crate) use store::Store;
use store::StoreError;
pub(crate) use sums::Sums;
use writer::Writer;

/// What a process that is killed loses is what came in this time.
const GATHERING: Gathering = Gathering {
    time: Duration::from_millis(50),
    enough: 1_024,
    // More than a second of the busiest gateway.
    capacity: 16_384,
};
/// How long the end of the process, or a reader, waits for rows that are not written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// See the module's documentation. Clones are the same ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    rows: Inlet<Row>,
    retention_days: Arc<AtomicU32>,
    /// How many rows the thread keeps because it cannot write them.
    kept: Arc<AtomicUsize>,
    loss: Loss,
}

impl Inner {
    fn pending(&self) -> usize {
        self.rows.len() + self.kept.load(Ordering::Relaxed)
    }
}

/// What reports say, and what is missing in them.
#[derive(Debug)]
pub(crate) struct Report {
    /// The sums by their groups' names, in the order of those.
    pub(crate) groups: Vec<(String, Sums)>,
    /// How many rows wait to be written.
    pub(crate) pending: usize,
    /// How many have been lost since the process began.
    pub(crate) lost: u64,
}

impl Ledger {
    /// Starts the thread that keeps the ledger, where one is to be kept. That its file cannot be opened
    /// is no error: it is tried again.
    ///
    /// # Errors
    /// There can be no thread.
    pub(crate) fn start(usage: &Usage) -> io::Result<Self> {
        let Some(path) = usage.database.clone() else {
            return Ok(Self(None));
        };
        let (rows, taken) = gathered(GATHERING);
        let loss = Loss::of("usage");
        let retention_days = Arc::new(AtomicU32::new(usage.retention_days));
        let days = Arc::clone(&retention_days);
        let kept = Arc::new(AtomicUsize::new(0));
        let writer = Writer::new(path.clone(), taken, days, Arc::clone(&kept), loss.clone());
        thread::Builder::new()
            .name("berry-ledger".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self(Some(Arc::new(Inner {
            path,
            rows,
            retention_days,
            kept,
            loss,
        }))))
    }

    /// Returns whether there is one.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Adds a row, or counts it as lost.
    pub(crate) fn put(&self, row: Row) {
        let Some(inner) = &self.0 else { return };
        if let Err(refused) = inner.rows.put(1, |rows| rows.push(row)) {
            inner.loss.lose(1, refused);
        }
    }

    /// Keeps rows for as many days from now on.
    pub(crate) fn retain(&self, days: u32) {
        if let Some(inner) = &self.0 {
            inner.retention_days.store(days, Ordering::Relaxed);
        }
    }

    /// Returns how many rows wait to be written; none where there is no ledger.
    pub(crate) fn pending(&self) -> Option<usize> {
        self.0.as_deref().map(Inner::pending)
    }

    /// Returns what is lost of it.
    pub(crate) fn loss(&self) -> Option<&Loss> {
        self.0.as_deref().map(|inner| &inner.loss)
    }

    /// Writes what was put before, and then nothing any more; all of it is in the file afterwards, and
    /// nothing beside it, or it is said what is not. Does not wait for ever.
    pub(crate) fn close(&self) {
        let Some(inner) = &self.0 else { return };
        let before = inner.loss.count();
        let has_ended = inner.rows.close(LAST_WORDS);
        let rows = inner.loss.count() - before;
        if !has_ended {
            warn!("usage not written in time");
        } else if rows > 0 {
            let cause = inner.loss.cause();
            warn!(rows, cause = cause.as_deref(), "usage not written");
        }
    }

    /// Sums up what was put before, as far as it could be written; none where there is no ledger. Waits for
    /// the disk.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn report(
        &self,
        group_by: GroupBy,
        period: Period,
    ) -> Option<Result<Report, StoreError>> {
        let inner = self.0.as_deref()?;
        inner.rows.flush(LAST_WORDS);
        let pending = inner.pending();
        let groups = report::report(&inner.path, group_by, period);
        Some(groups.map(|groups| Report {
            groups,
            pending,
            lost: inner.loss.count(),
        }))
    }
}

#[cfg(test)]
mod tests;
