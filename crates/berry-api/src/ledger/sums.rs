//! What requests add up to.

use std::time::Duration;

use rusqlite::Row as Columns;

use super::row::Row;

/// What one row of the table `request` adds, as [`Sums::of`] says it of one that is not written yet; in the
/// order of the members.
pub(super) const COUNTS: &str = "1, status >= 400, estimated, uncached, cache_read, cache_write, \
    visible, reasoning, ifnull(nanodollars, 0), latency_us";

/// The sums of some requests. They stop at what a number can be: of tokens that takes centuries, but prices
/// may be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) requests: i64,
    /// Those that ended with a status of 400 or more.
    pub(crate) failed: i64,
    /// Those whose tokens are not the upstream's own count.
    pub(crate) estimated: i64,
    pub(crate) uncached: i64,
    pub(crate) cache_read: i64,
    pub(crate) cache_write: i64,
    pub(crate) visible: i64,
    pub(crate) reasoning: i64,
    pub(crate) nanodollars: i64,
    pub(crate) latency_us: i64,
}

impl Sums {
    /// Returns what one request adds.
    pub(super) fn of(row: &Row) -> Self {
        let usage = &row.usage;
        Self {
            requests: 1,
            failed: i64::from(row.status >= 400),
            estimated: i64::from(row.estimated),
            uncached: whole(usage.uncached),
            cache_read: whole(usage.cache_read),
            cache_write: whole(usage.cache_write),
            visible: whole(usage.visible),
            reasoning: whole(usage.reasoning),
            nanodollars: row.nanodollars.unwrap_or_default(),
            latency_us: micros(row.latency),
        }
    }

    /// Reads them, in the order of the members, from this column on.
    pub(super) fn read(columns: &Columns<'_>, first: usize) -> rusqlite::Result<Self> {
        let sum = |place: usize| columns.get(first + place);
        Ok(Self {
            requests: sum(0)?,
            failed: sum(1)?,
            estimated: sum(2)?,
            uncached: sum(3)?,
            cache_read: sum(4)?,
            cache_write: sum(5)?,
            visible: sum(6)?,
            reasoning: sum(7)?,
            nanodollars: sum(8)?,
            latency_us: sum(9)?,
        })
    }

    /// Adds others.
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, part) in [
            (&mut self.requests, other.requests),
            (&mut self.failed, other.failed),
            (&mut self.estimated, other.estimated),
            (&mut self.uncached, other.uncached),
            (&mut self.cache_read, other.cache_read),
            (&mut self.cache_write, other.cache_write),
            (&mut self.visible, other.visible),
            (&mut self.reasoning, other.reasoning),
            (&mut self.nanodollars, other.nanodollars),
            (&mut self.latency_us, other.latency_us),
        ] {
            *sum = sum.saturating_add(part);
        }
    }

    /// Returns the sum of both.
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }
}

/// Returns a count as SQLite has numbers.
pub(super) fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns a time as the ledger has it.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
