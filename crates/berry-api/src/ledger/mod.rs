//! The ledger: what every relayed request used and cost, in an SQLite file.
//!
//! A request only pushes its row into a bounded queue; one thread ([`writer`]) owns the file and
//! writes rows in batches ([`store`]). What cannot be written now is kept for a while and tried again;
//! what is lost in the end is counted. Readers ([`report`]) have a connection of their own.

pub(crate) mod report;
mod row;
mod store;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use berry_core::config::Usage;

pub(crate) use row::{Row, nanodollars};

use crate::telemetry::loss::Loss;
use writer::{Message, Writer};

/// Rows that may wait for the thread: more than a second of the busiest gateway.
const CAPACITY: usize = 16_384;
/// How long the end of the process waits for rows that are not written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// See the module's documentation. Clones are the same ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    messages: SyncSender<Message>,
    retention_days: Arc<AtomicU32>,
    loss: Loss,
}

impl Ledger {
    /// Opens the file and starts the thread, where a ledger is to be kept. That the file cannot be
    /// opened is no error: it is tried again.
    ///
    /// # Errors
    /// There can be no thread.
    pub(crate) fn start(usage: &Usage) -> io::Result<Self> {
        let Some(path) = usage.database.clone() else {
            return Ok(Self(None));
        };
        let (messages, received) = sync_channel(CAPACITY);
        let loss = Loss::of("usage");
        let retention_days = Arc::new(AtomicU32::new(usage.retention_days));
        let mut writer = Writer::new(
            path.clone(),
            received,
            Arc::clone(&retention_days),
            loss.clone(),
        );
        // The file is there before anybody reads it.
        writer.write();
        thread::Builder::new()
            .name("berry-ledger".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self(Some(Arc::new(Inner {
            path,
            messages,
            retention_days,
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
        match inner.messages.try_send(Message::Row(Box::new(row))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => inner.loss.lose(1, "the disk is too slow"),
            Err(TrySendError::Disconnected(_)) => inner.loss.lose(1, "the thread has ended"),
        }
    }

    /// Keeps rows for as many days from now on.
    pub(crate) fn retain(&self, days: u32) {
        if let Some(inner) = &self.0 {
            inner.retention_days.store(days, Ordering::Relaxed);
        }
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.0.as_deref().map(|inner| inner.path.as_path())
    }

    /// Returns what is lost of it.
    pub(crate) fn loss(&self) -> Option<&Loss> {
        self.0.as_deref().map(|inner| &inner.loss)
    }

    /// Waits until what was put before is in the file, and nothing beside it, but not for ever.
    pub(crate) fn flush(&self) {
        let Some(inner) = &self.0 else { return };
        let (done, written) = sync_channel(1);
        if inner.messages.try_send(Message::Flush(done)).is_ok() {
            // A disk that does not answer has been told of.
            let _ = written.recv_timeout(LAST_WORDS);
        }
    }
}

#[cfg(test)]
mod tests;
