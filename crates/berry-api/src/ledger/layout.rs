//! What is in the file: its tables, and whose it is.
//!
//! `request` has a row for each request; `total` has their sums by hour and by day (`span` is in
//! seconds), user, model and backend, so that a month's report reads thousands of rows and not millions.
//! The totals are of the rows up to the number in `rolled_up` ([`super::tail`]). Costs are whole
//! billionths of a dollar, times of requests milliseconds since 1970, times of totals seconds, all in UTC.

use berry_relay::files::LEDGER;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::store::StoreError;

/// Grows with the tables; a file of a later one is left alone.
pub(super) const VERSION: i64 = 2;
/// Says whose file it is.
const APPLICATION: i64 = LEDGER as i64;

// Numbers that have no name may become others when somebody vacuums the file.
const REQUEST: &str = "
CREATE TABLE request (
  number INTEGER PRIMARY KEY,
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
";

const TOTAL: &str = "
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
";

// In files of the first version every row was added to the totals with the row itself.
const ROLLED_UP: &str = "
CREATE TABLE rolled_up (to_row INTEGER NOT NULL);
INSERT INTO rolled_up SELECT ifnull(max(number), 0) FROM request;
";

/// Takes the first version's rows over.
const TAKE_OVER: &str = "
INSERT INTO request SELECT rowid, * FROM first_request;
DROP TABLE first_request;
";

const HEADER: &str = "
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
FROM pragma_application_id, pragma_user_version
";
const COLUMNS: &str = "
SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info(?) ORDER BY cid)
";
/// What the tables of the first version began with; it did not say whose they are.
const FIRST_COLUMNS: [(&str, &str); 2] = [
    ("request", "at,user,model,provider,upstream_model,status,"),
    ("total", "span,start,user,model,provider,upstream_model,"),
];

/// What a file is that a ledger may be kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There is nothing in it.
    Nothing,
    /// It is a ledger of the first version.
    First,
    /// It is a ledger as it is written now.
    Current,
}

impl Found {
    /// Looks at a file, and changes nothing.
    ///
    /// # Errors
    /// It is another's, or cannot be read.
    pub(super) fn of(file: &Connection) -> Result<Self, StoreError> {
        let header = file.query_row(HEADER, [], |row| {
            Ok::<(i64, i64, i64), _>((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
        match header {
            (APPLICATION, VERSION, _) => Ok(Self::Current),
            (APPLICATION, found, _) => Err(StoreError::Version { found }),
            (0, 0, 0) => Ok(Self::Nothing),
            (0, 1, _) if is_first(file)? => Ok(Self::First),
            _ => Err(StoreError::Foreign),
        }
    }
}

fn is_first(file: &Connection) -> rusqlite::Result<bool> {
    for (table, begin) in FIRST_COLUMNS {
        let columns = |row: &rusqlite::Row<'_>| row.get::<_, Option<String>>(0);
        let columns = file.query_row(COLUMNS, [table], columns)?;
        if !columns.is_some_and(|columns| columns.starts_with(begin)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Brings a file that was looked at up to date, unless another process has done so meanwhile.
pub(super) fn prepare(file: &mut Connection) -> Result<(), StoreError> {
    let all = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match Found::of(&all)? {
        Found::Nothing => {
            all.execute_batch(REQUEST)?;
            all.execute_batch(TOTAL)?;
        }
        Found::First => {
            all.execute_batch("ALTER TABLE request RENAME TO first_request")?;
            all.execute_batch(REQUEST)?;
            all.execute_batch(TAKE_OVER)?;
        }
        Found::Current => return Ok(()),
    }
    all.execute_batch(ROLLED_UP)?;
    sign(&all)?;
    Ok(all.commit()?)
}

fn sign(all: &Transaction<'_>) -> rusqlite::Result<()> {
    all.pragma_update(None, "application_id", APPLICATION)?;
    all.pragma_update(None, "user_version", VERSION)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::ledger::report::GroupBy;
    use crate::ledger::store::{Store, reader};
    use crate::ledger::tests::{count, folder, requests, row};

    use super::*;

    const MONTH: [&str; 2] = ["2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"];

    #[test]
    fn a_file_of_the_first_version_is_carried_on() {
        let (_folder, path) = folder();
        let when = "2026-11-01T10:00:00Z";
        let mut store = Store::open(&path).unwrap();
        store.write(&[row("ada", when), row("ada", when)]).unwrap();
        store.roll_up().unwrap();
        drop(store);
        let file = Connection::open(&path).unwrap();
        file.execute_batch(
            "CREATE TABLE first AS SELECT * FROM request; ALTER TABLE first DROP COLUMN number;
             DROP TABLE request; ALTER TABLE first RENAME TO request;
             DROP TABLE rolled_up; PRAGMA application_id = 0; PRAGMA user_version = 1;",
        )
        .unwrap();
        assert_eq!(Found::of(&file).unwrap(), Found::First);
        assert!(reader(&path).is_err());

        let mut store = Store::open(&path).unwrap();
        store.write(&[row("ada", when)]).unwrap();

        let ada = [("ada".to_owned(), 3)];
        assert_eq!(requests(&path, GroupBy::User, MONTH[0], MONTH[1]), ada);
        store.roll_up().unwrap();
        assert_eq!(requests(&path, GroupBy::User, MONTH[0], MONTH[1]), ada);
        assert_eq!(count(&path, "request"), 3);
    }

    #[test]
    fn a_file_of_a_later_version_is_left_alone() {
        let (_folder, path) = folder();
        drop(Store::open(&path).unwrap());
        let file = Connection::open(&path).unwrap();
        file.pragma_update(None, "user_version", 7).unwrap();

        for error in [Store::open(&path).unwrap_err(), reader(&path).unwrap_err()] {
            assert_eq!(error.to_string(), "it has version 7, this Berry knows 2");
            assert!(error.is_lasting());
        }
    }

    #[test]
    fn the_database_of_another_program_is_left_as_it_is() {
        for (tables, version, application) in [
            ("CREATE TABLE note (text TEXT)", 0, 0),
            ("CREATE TABLE note (text TEXT)", 1, 0),
            ("CREATE TABLE note (text TEXT)", 2, 0),
            ("CREATE TABLE note (text TEXT)", 2, 77),
            (
                "CREATE TABLE request (id INTEGER); CREATE TABLE total (id INTEGER)",
                1,
                0,
            ),
            ("", 3, 0),
        ] {
            let (folder, path) = folder();
            let file = Connection::open(&path).unwrap();
            file.execute_batch(tables).unwrap();
            file.pragma_update(None, "user_version", version).unwrap();
            file.pragma_update(None, "application_id", application)
                .unwrap();
            drop(file);
            let before = fs::read(&path).unwrap();

            for error in [Store::open(&path).unwrap_err(), reader(&path).unwrap_err()] {
                assert_eq!(
                    error.to_string(),
                    "it is the database of another program: give `[usage] database` a file of its own"
                );
                assert!(error.is_lasting());
            }

            assert_eq!(fs::read(&path).unwrap(), before, "{tables} {version}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
