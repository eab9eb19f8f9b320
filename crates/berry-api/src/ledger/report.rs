//! What the ledger says: sums by user, model, provider or day.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::params;

use super::store::{self, StoreError};
use super::sums::{COUNTS, Sums};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// By what sums are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GroupBy {
    /// A user's id.
    User,
    /// A public model.
    Model,
    /// A provider's id; empty where nobody could be asked.
    Provider,
    /// A day in UTC.
    Day,
}

impl GroupBy {
    /// Returns its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Day => "day",
        }
    }

    fn expression(self) -> &'static str {
        match self {
            Self::Day => "date(start, 'unixepoch')",
            column => column.as_str(),
        }
    }
}

/// The whole hours that a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    from: i64,
    to: i64,
}

impl Period {
    /// Returns the hours that have any of what is between the two in them.
    pub(crate) fn covering(from: Timestamp, to: Timestamp) -> Self {
        let (from, to) = (from.as_second(), to.as_second());
        Self {
            from: from - from.rem_euclid(HOUR),
            to: to + (-to).rem_euclid(HOUR),
        }
    }

    /// Returns the whole days in it, which are summed up already; the hours before and after them are
    /// not.
    fn days(self) -> (i64, i64) {
        let first = self.from + (-self.from).rem_euclid(DAY);
        let end = self.to - self.to.rem_euclid(DAY);
        if first < end {
            (first, end)
        } else {
            (self.from, self.from)
        }
    }

    /// Returns its first instant.
    pub(crate) fn from(self) -> Timestamp {
        Timestamp::from_second(self.from).unwrap_or(Timestamp::MIN)
    }

    /// Returns the first instant after it.
    pub(crate) fn to(self) -> Timestamp {
        Timestamp::from_second(self.to).unwrap_or(Timestamp::MAX)
    }
}

/// Sums up the ledger in this file, in the order of the groups' names.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn report(
    path: &Path,
    group_by: GroupBy,
    period: Period,
) -> Result<Vec<(String, Sums)>, StoreError> {
    let file = store::reader(path)?;
    let group = group_by.expression();
    // One statement sees one state of the file: no row is in it twice, or missing. Beyond what a whole number
    // can be, `sum` fails. `total` is a float: exact up to nine million dollars, and to the cent up to where
    // the cast stops.
    let query = format!(
        "WITH part AS (
           SELECT * FROM total WHERE span = {DAY} AND start >= ?3 AND start < ?4
           UNION ALL SELECT * FROM total WHERE span = {HOUR} AND start >= ?1 AND start < ?3
           UNION ALL SELECT * FROM total WHERE span = {HOUR} AND start >= ?4 AND start < ?2
           UNION ALL SELECT 0, at / 1000, user, model, provider, upstream_model, {COUNTS}
             FROM request WHERE number > (SELECT to_row FROM rolled_up)
             AND at >= ?1 * 1000 AND at < ?2 * 1000)
         SELECT {group}, sum(requests), sum(failed), sum(estimated), sum(uncached), sum(cache_read),
           sum(cache_write), sum(visible), sum(reasoning), cast(total(nanodollars) AS INTEGER), sum(latency_us)
         FROM part GROUP BY 1 ORDER BY 1"
    );
    let mut query = file.prepare(&query)?;
    let (first, end) = period.days();
    let rows = query.query_map(params![period.from, period.to, first, end], |row| {
        Ok((row.get(0)?, Sums::read(row, 1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
