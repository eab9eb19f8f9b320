//! The file: its tables, and how rows get into and out of them.
//!
//! `request` has a row for each request; `total` has their sums by hour and by day (`span` is in
//! seconds), user, model and backend, so that a month's report reads thousands of rows and not millions.
//! Both are written in one transaction: they agree. Costs are whole billionths of a dollar, times of
//! requests milliseconds since 1970, times of totals seconds, all in UTC.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};

use super::row::Row;
use crate::folder;

/// Grows with the tables; a file of a later one is left alone.
const VERSION: i64 = 1;
/// How long another program may lock the file before the rows wait for the next try.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most rows that are deleted at once, so that new ones do not wait long.
const DELETED_AT_ONCE: i64 = 10_000;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// What is summed up.
const SPANS: [i64; 2] = [HOUR, DAY];

const TABLES: &str = "
CREATE TABLE request (
  at INTEGER NOT NULL,
  user TEXT NOT NULL,
  model TEXT NOT NULL,
  provider TEXT NOT NULL,
  upstream_model TEXT NOT NULL,
  status INTEGER NOT NULL,
  uncached INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  cache_write INTEGER NOT NULL,
  visible INTEGER NOT NULL,
  reasoning INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  nanodollars INTEGER,
  first_byte_us INTEGER,
  latency_us INTEGER NOT NULL,
  attempts INTEGER NOT NULL
);
CREATE TABLE total (
  span INTEGER NOT NULL,
  start INTEGER NOT NULL,
  user TEXT NOT NULL,
  model TEXT NOT NULL,
  provider TEXT NOT NULL,
  upstream_model TEXT NOT NULL,
  requests INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  uncached INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  cache_write INTEGER NOT NULL,
  visible INTEGER NOT NULL,
  reasoning INTEGER NOT NULL,
  nanodollars INTEGER NOT NULL,
  latency_us INTEGER NOT NULL,
  PRIMARY KEY (span, start, user, model, provider, upstream_model)
) WITHOUT ROWID;
PRAGMA user_version = 1;
";

const INSERT: &str = "INSERT INTO request VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";

// A sum beyond what a whole number can be would become a float, and stay one.
const ADD: &str = "
INSERT INTO total VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET
  requests = requests + excluded.requests,
  failed = failed + excluded.failed,
  estimated = estimated + excluded.estimated,
  uncached = uncached + excluded.uncached,
  cache_read = cache_read + excluded.cache_read,
  cache_write = cache_write + excluded.cache_write,
  visible = visible + excluded.visible,
  reasoning = reasoning + excluded.reasoning,
  nanodollars = min(nanodollars + excluded.nanodollars, 9223372036854775807),
  latency_us = latency_us + excluded.latency_us
";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// SQLite says so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The folder cannot be made.
    #[error("its folder cannot be made: {0}")]
    Folder(#[from] std::io::Error),
    /// A later Berry has written it.
    #[error("it has version {found}, this Berry knows {VERSION}")]
    Newer {
        /// Its version.
        found: i64,
    },
}

impl StoreError {
    /// Returns whether another program uses the file just now.
    pub(super) fn is_locked(&self) -> bool {
        let Self::Sqlite(error) = self else {
            return false;
        };
        let code = error.sqlite_error_code();
        matches!(
            code,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        )
    }

    /// Returns whether trying again is of no use: only people can help.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
            ),
            Self::Newer { .. } => true,
            Self::Folder(_) => false,
        }
    }
}

/// The file, open to be written.
#[derive(Debug)]
pub(crate) struct Store {
    file: Connection,
    /// Which file it is; none where that cannot be known.
    identity: Option<Identity>,
}

/// The device of a file, and its number there: its name may become another file's.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl Store {
    /// Opens the file, and makes it where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        folder::make_for(path)?.announce();
        begin(path);
        let mut file = Connection::open(path)?;
        file.busy_timeout(PATIENCE)?;
        // A killed process loses nothing that is committed; a machine that loses its power may.
        file.pragma_update(None, "journal_mode", "WAL")?;
        file.pragma_update(None, "synchronous", "NORMAL")?;
        match version(&file)? {
            0 => make_tables(&mut file)?,
            VERSION => {}
            found => return Err(StoreError::Newer { found }),
        }
        let identity = identity(path);
        Ok(Self { file, identity })
    }

    /// Returns whether the file is still where it was opened.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.identity == identity(path)
    }

    /// Puts all that was written into the file itself, so that it is whole wherever it is by now.
    pub(super) fn gather(&self) -> Result<(), StoreError> {
        let all = self
            .file
            .pragma(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()));
        Ok(all?)
    }

    /// Writes rows: all of them or none.
    pub(crate) fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let all = self.file.transaction()?;
        insert(&all, rows)?;
        add(&all, rows)?;
        Ok(all.commit()?)
    }

    /// Deletes some of what is older than `cutoff`, in seconds; returns whether that was all.
    pub(super) fn prune(&mut self, cutoff: i64) -> Result<bool, StoreError> {
        // Rows are in the order of their ends, nearly.
        let deleted = self.file.execute(
            "DELETE FROM request WHERE at < ?1 AND rowid <= ?2 + (SELECT min(rowid) FROM request)",
            params![cutoff * 1_000, DELETED_AT_ONCE],
        )?;
        for span in SPANS {
            self.file.execute(
                "DELETE FROM total WHERE span = ?1 AND start < ?2",
                params![span, cutoff - cutoff.rem_euclid(span)],
            )?;
        }
        Ok(deleted == 0)
    }
}

/// Opens a file to be read only.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags)?;
    file.busy_timeout(PATIENCE)?;
    match version(&file)? {
        VERSION => Ok(file),
        found => Err(StoreError::Newer { found }),
    }
}

/// Makes the file with our mode where there is none; those beside it have the same from SQLite. That it cannot
/// be made is for SQLite to say.
fn begin(path: &Path) {
    let mut options = OpenOptions::new();
    let _ = options
        .append(true)
        .create(true)
        .mode(folder::MODE)
        .open(path);
}

/// Makes the tables, unless another process has made them meanwhile.
fn make_tables(file: &mut Connection) -> rusqlite::Result<()> {
    let all = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if version(&all)? == 0 {
        all.execute_batch(TABLES)?;
    }
    all.commit()
}

fn version(file: &Connection) -> rusqlite::Result<i64> {
    file.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn insert(all: &Transaction<'_>, rows: &[Row]) -> rusqlite::Result<()> {
    let mut insert = all.prepare_cached(INSERT)?;
    for row in rows {
        let (provider, upstream_model) = backend(row);
        insert.execute(params![
            row.at.as_millisecond(),
            row.user,
            row.model,
            provider,
            upstream_model,
            row.status,
            whole(row.usage.uncached),
            whole(row.usage.cache_read),
            whole(row.usage.cache_write),
            whole(row.usage.visible),
            whole(row.usage.reasoning),
            row.estimated,
            row.nanodollars,
            row.first_byte.map(micros),
            micros(row.latency),
            row.attempts,
        ])?;
    }
    Ok(())
}

/// By what totals are told apart: start of the hour, user, model, provider, upstream's model.
type Key<'a> = (i64, &'a str, &'a str, &'a str, &'a str);

#[derive(Debug, Default, Clone, Copy)]
struct Total {
    requests: i64,
    failed: i64,
    estimated: i64,
    uncached: i64,
    cache_read: i64,
    cache_write: i64,
    visible: i64,
    reasoning: i64,
    nanodollars: i64,
    latency: i64,
}

impl Total {
    /// Adds a row. Sums stop at what a number can be: of tokens that takes centuries, but prices may be
    /// anything.
    fn add(&mut self, row: &Row) {
        let usage = &row.usage;
        for (sum, part) in [
            (&mut self.requests, 1),
            (&mut self.failed, i64::from(row.status >= 400)),
            (&mut self.estimated, i64::from(row.estimated)),
            (&mut self.uncached, whole(usage.uncached)),
            (&mut self.cache_read, whole(usage.cache_read)),
            (&mut self.cache_write, whole(usage.cache_write)),
            (&mut self.visible, whole(usage.visible)),
            (&mut self.reasoning, whole(usage.reasoning)),
            (&mut self.nanodollars, row.nanodollars.unwrap_or_default()),
            (&mut self.latency, micros(row.latency)),
        ] {
            *sum = sum.saturating_add(part);
        }
    }
}

/// Adds the rows to the totals, each of which is touched once.
fn add(all: &Transaction<'_>, rows: &[Row]) -> rusqlite::Result<()> {
    let mut hours: BTreeMap<Key<'_>, Total> = BTreeMap::new();
    for row in rows {
        let (provider, upstream_model) = backend(row);
        let second = row.at.as_second();
        let hour = second - second.rem_euclid(HOUR);
        let key = (hour, &*row.user, &*row.model, provider, upstream_model);
        let total = hours.entry(key).or_default();
        total.add(row);
    }
    let mut add = all.prepare_cached(ADD)?;
    for ((hour, user, model, provider, upstream_model), total) in &hours {
        for span in SPANS {
            add.execute(params![
                span,
                hour - hour.rem_euclid(span),
                user,
                model,
                provider,
                upstream_model,
                total.requests,
                total.failed,
                total.estimated,
                total.uncached,
                total.cache_read,
                total.cache_write,
                total.visible,
                total.reasoning,
                total.nanodollars,
                total.latency,
            ])?;
        }
    }
    Ok(())
}

/// Returns the provider and its model; empty where nobody was asked.
fn backend(row: &Row) -> (&str, &str) {
    let key = row.endpoint.as_ref();
    key.map_or(("", ""), |key| (key.provider.as_str(), &*key.model))
}

/// Returns a count as SQLite has numbers.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
