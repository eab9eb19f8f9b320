//! The file, open: how rows get into it and out of it.
//!
//! What it consists of is in [`layout`]. Whoever writes has the file locked before reading anything of it, so
//! that what was read is so until it is done.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};

use super::layout::{self, Found, VERSION};
use super::row::Row;
use super::sums::{micros, whole};
use super::tail::{SPANS, Tail};
use crate::folder;

/// How long another program may lock the file before the rows wait for the next try.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most rows that are deleted at once, so that new ones do not wait long.
const DELETED_AT_ONCE: i64 = 10_000;

const INSERT: &str = "INSERT INTO request VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// SQLite says so.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    /// The folder cannot be made.
    #[error("its folder cannot be made: {0}")]
    Folder(#[from] std::io::Error),
    /// Another Berry has written it.
    #[error("it has version {found}, this Berry knows {VERSION}")]
    Version {
        /// Its version.
        found: i64,
    },
    /// There is something else in it.
    #[error("it is the database of another program: give `[usage] database` a file of its own")]
    Foreign,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(match error {
            // Nobody can do anything about our statement.
            rusqlite::Error::SqlInputError { error, msg, .. } => {
                rusqlite::Error::SqliteFailure(error, Some(msg))
            }
            other => other,
        })
    }
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
            Self::Version { .. } | Self::Foreign => true,
            Self::Folder(_) => false,
        }
    }
}

/// The file, open to be written.
#[derive(Debug)]
pub(crate) struct Store {
    file: Connection,
    tail: Tail,
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
        let mut file = Connection::open(plain(path))?;
        file.busy_timeout(PATIENCE)?;
        // Nothing is changed in a file that is none of ours, nor its log put into it.
        file.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let found = Found::of(&file)?;
        file.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        // A killed process loses nothing that is committed; a machine that loses its power may.
        file.pragma_update(None, "journal_mode", "WAL")?;
        file.pragma_update(None, "synchronous", "NORMAL")?;
        if found != Found::Current {
            layout::prepare(&mut file)?;
        }
        let tail = Tail::read(&file)?;
        let identity = identity(path);
        Ok(Self {
            file,
            tail,
            identity,
        })
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
        let all = begin_writing(&mut self.file)?;
        self.tail.align(&all)?;
        insert(&all, rows)?;
        all.commit()?;
        self.tail.extend(rows);
        Ok(())
    }

    /// Returns whether rows are to be rolled up.
    pub(super) fn has_long_tail(&self) -> bool {
        self.tail.is_long()
    }

    /// Adds all rows to the totals that are not in them.
    pub(crate) fn roll_up(&mut self) -> Result<(), StoreError> {
        let all = begin_writing(&mut self.file)?;
        self.tail.roll_up(&all)?;
        all.commit()?;
        self.tail.restart();
        Ok(())
    }

    /// Deletes some of what is older than `cutoff`, in seconds, and is rolled up; returns whether that was all.
    pub(super) fn prune(&mut self, cutoff: i64) -> Result<bool, StoreError> {
        // Rows are in the order of their ends, nearly.
        let deleted = self.file.execute(
            "DELETE FROM request WHERE at < ?1 AND number <= ?2 + (SELECT min(number) FROM request)
               AND number <= (SELECT to_row FROM rolled_up)",
            params![cutoff * 1_000, DELETED_AT_ONCE],
        )?;
        for span in SPANS {
            self.file.execute(
                "DELETE FROM total WHERE span = ?1 AND start < ?2",
                params![span, cutoff - cutoff.rem_euclid(span)],
            )?;
        }
        if deleted > 0 {
            // That was nobody else.
            self.tail = Tail::read(&self.file)?;
        }
        Ok(deleted == 0)
    }
}

/// Begins a transaction that nobody else writes in.
fn begin_writing(file: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    file.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Returns a path that SQLite takes for nothing else: `:memory:` and `file:` mean something to it.
fn plain(path: &Path) -> PathBuf {
    Path::new(".").join(path)
}

/// Opens a file to be read only.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(plain(path), flags)?;
    file.busy_timeout(PATIENCE)?;
    match Found::of(&file)? {
        Found::Current => Ok(file),
        Found::First => Err(StoreError::Version { found: 1 }),
        Found::Nothing => Err(StoreError::Version { found: 0 }),
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

fn insert(all: &Transaction<'_>, rows: &[Row]) -> rusqlite::Result<()> {
    let mut insert = all.prepare_cached(INSERT)?;
    for row in rows {
        let (provider, upstream_model) = row.backend();
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
