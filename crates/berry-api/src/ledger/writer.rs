//! The thread that owns the file.
//!
//! It gathers rows for a twentieth of a second and writes them together. Where the file cannot be
//! opened or written, the rows stay in memory and it is tried again every second: a disk that is full
//! or a file that is locked for a while costs nothing. Beyond a bound, rows are lost and counted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::row::Row;
use super::store::{Store, StoreError};
use crate::telemetry::loss::Loss;

/// How long a row waits for others.
const GATHERING: Duration = Duration::from_millis(50);
/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The most rows that are kept while nothing can be written: some 20 MiB.
const KEPT: usize = 65_536;
/// How often old rows are looked for.
const PRUNING: Duration = Duration::from_secs(3_600);
const SECONDS_A_DAY: i64 = 86_400;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    Row(Box<Row>),
    /// Write what there is, close the file, and say so.
    Flush(SyncSender<()>),
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    messages: Receiver<Message>,
    retention_days: Arc<AtomicU32>,
    loss: Loss,
    store: Option<Store>,
    rows: Vec<Row>,
    flushes: Vec<SyncSender<()>>,
    /// Not before this.
    next_try: Instant,
    next_pruning: Instant,
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        messages: Receiver<Message>,
        retention_days: Arc<AtomicU32>,
        loss: Loss,
    ) -> Self {
        let now = Instant::now();
        Self {
            path,
            messages,
            retention_days,
            loss,
            store: None,
            rows: Vec::new(),
            flushes: Vec::new(),
            next_try: now,
            next_pruning: now,
        }
    }

    /// Works until the ledger is dropped.
    pub(super) fn run(mut self) {
        loop {
            let now = Instant::now();
            let due = if self.rows.is_empty() {
                self.next_pruning.max(self.next_try)
            } else {
                self.next_try
            };
            match self
                .messages
                .recv_timeout(due.saturating_duration_since(now))
            {
                Ok(message) => {
                    self.take(message);
                    self.gather();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.write();
                    return;
                }
            }
            if Instant::now() >= self.next_try {
                self.write();
            }
            if !self.flushes.is_empty() {
                // SQLite puts what is in its log into the file, which may be copied then.
                self.store = None;
            }
            for done in self.flushes.drain(..) {
                // Whoever asked may have lost its patience.
                let _ = done.try_send(());
            }
        }
    }

    /// Takes what comes while the first row waits. Waking for each of them would cost as much as writing
    /// it: they wait in the queue.
    fn gather(&mut self) {
        if self.flushes.is_empty() {
            thread::park_timeout(GATHERING);
        }
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Row(row) if self.rows.len() < KEPT => self.rows.push(*row),
            Message::Row(_) => self.loss.lose(1, "the file cannot be written"),
            Message::Flush(done) => self.flushes.push(done),
        }
    }

    /// Writes what waits and deletes what is old.
    pub(super) fn write(&mut self) {
        match self.try_write() {
            Ok(()) => self.loss.works(),
            Err(error) => {
                // It may be another file by then.
                self.store = None;
                self.next_try = Instant::now() + RETRY;
                let path = self.path.display();
                self.loss.lose(0, format_args!("`{path}`: {error}"));
            }
        }
    }

    fn try_write(&mut self) -> Result<(), StoreError> {
        let mut store = match self.store.take() {
            Some(store) => store,
            None => Store::open(&self.path)?,
        };
        if !self.rows.is_empty() {
            store.write(&self.rows)?;
            self.rows.clear();
        }
        let now = Instant::now();
        if now >= self.next_pruning {
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
