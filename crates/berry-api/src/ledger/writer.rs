//! The thread that owns the file.
//!
//! It opens the file, which takes longer than the rest of a start, and then writes rows in batches.
//! Where the file cannot be opened or written, the rows stay in memory and it is tried again every
//! second: a disk that is full or a file that is locked for a while costs nothing. Beyond a bound, rows
//! are lost and counted; at once where the file is none of ours, or broken. A file that is moved away
//! keeps what is in it, and a new one is begun in its place.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::row::Row;
use super::store::{Store, StoreError};
use crate::telemetry::batch::Outlet;
use crate::telemetry::loss::Loss;

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// So long another program may have the file locked before that is a failure; meanwhile it is tried again
/// [`SOON`].
const USUAL_LOCK: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(20);
/// The most rows that are kept while nothing can be written: some 20 MiB.
const KEPT: usize = 65_536;
/// Room for rows that is kept: more than a batch of a busy gateway.
const USUAL: usize = 1_024;
/// How often old rows are looked for.
const PRUNING: Duration = Duration::from_secs(3_600);
const SECONDS_A_DAY: i64 = 86_400;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    taken: Outlet<Row>,
    retention_days: Arc<AtomicU32>,
    /// How many rows are kept after a try, for whoever asks.
    kept: Arc<AtomicUsize>,
    loss: Loss,
    store: Option<Store>,
    rows: Vec<Row>,
    /// Since when another program has had the file locked.
    locked_since: Option<Instant>,
    /// Not before this.
    next_try: Instant,
    next_pruning: Instant,
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        taken: Outlet<Row>,
        retention_days: Arc<AtomicU32>,
        kept: Arc<AtomicUsize>,
        loss: Loss,
    ) -> Self {
        let now = Instant::now();
        Self {
            path,
            taken,
            retention_days,
            kept,
            loss,
            store: None,
            rows: Vec::new(),
            locked_since: None,
            next_try: now,
            next_pruning: now,
        }
    }

    /// Works until the ledger is dropped.
    pub(super) fn run(mut self) {
        // The file is there before it is read, for readers flush.
        self.write();
        loop {
            let due = if self.rows.is_empty() {
                self.next_pruning.max(self.next_try)
            } else {
                self.next_try
            };
            let patience = due.saturating_duration_since(Instant::now());
            let batch = self.taken.take(&mut self.rows, patience);
            if let Some(excess) = self.rows.len().checked_sub(KEPT).filter(|rows| *rows > 0) {
                self.rows.truncate(KEPT);
                self.loss.lose(excess as u64, "the file cannot be written");
            }
            if batch.is_last || Instant::now() >= self.next_try {
                self.write();
            }
            self.kept.store(self.rows.len(), Ordering::Relaxed);
            if batch.is_last {
                if !self.rows.is_empty() {
                    self.lose_all("the process ends");
                }
                self.end();
                return;
            }
        }
    }

    /// Writes what waits and deletes what is old.
    fn write(&mut self) {
        let now = Instant::now();
        match self.try_write() {
            Ok(()) => {
                self.locked_since = None;
                self.loss.works();
            }
            // Of two processes that begin one file, each waits for the other.
            Err(error)
                if error.is_locked()
                    && now - *self.locked_since.get_or_insert(now) < USUAL_LOCK =>
            {
                self.store = None;
                self.next_try = Instant::now() + SOON;
            }
            Err(error) => {
                // It may be another file by then.
                self.store = None;
                self.next_try = Instant::now() + RETRY;
                let cause = format!("`{}`: {error}", self.path.display());
                if error.is_lasting() {
                    self.lose_all(&cause);
                } else {
                    self.loss.lose(0, cause);
                }
            }
        }
    }

    /// Closes the file, which may be copied then: SQLite puts what is in its log into it, and for whoever looks
    /// at the tables the totals are of all rows.
    fn end(&mut self) {
        if let Some(mut store) = self.store.take() {
            // It is made good by whoever opens the file next.
            let _ = store.roll_up();
        }
    }

    fn lose_all(&mut self, cause: &str) {
        self.loss.lose(self.rows.len() as u64, cause);
        self.rows.clear();
    }

    /// Returns the file, open; where it is not in its place any more, a new one.
    fn open(&mut self) -> Result<Store, StoreError> {
        match self.store.take() {
            Some(store) if store.is_at(&self.path) => return Ok(store),
            Some(store) => {
                let path = self.path.display();
                warn!(%path, "usage database gone: a new one is begun");
                // It may be deleted, or its disk gone: nothing is left to be done for it.
                let _ = store.gather();
            }
            None => {}
        }
        Store::open(&self.path)
    }

    fn try_write(&mut self) -> Result<(), StoreError> {
        let mut store = self.open()?;
        if !self.rows.is_empty() {
            store.write(&self.rows)?;
            self.rows.clear();
            self.rows.shrink_to(USUAL);
        }
        if store.has_long_tail() {
            store.roll_up()?;
        }
        let now = Instant::now();
        if now >= self.next_pruning {
            // What is not in the totals is not deleted.
            store.roll_up()?;
            let days = i64::from(self.retention_days.load(Ordering::Relaxed));
            let cutoff = Timestamp::now().as_second() - days * SECONDS_A_DAY;
            if store.prune(cutoff)? {
                self.next_pruning = now + PRUNING;
            }
        }
        self.store = Some(store);
        Ok(())
    }
}
