//! The rows that are not in the totals yet, and how they get there.
//!
//! With many users and models nearly every row belongs to a total of its own: adding each batch to the totals
//! would touch a page for every row, and write it out. So rows stay by themselves for a while. The file says
//! where they begin (`rolled_up`), reports add them to the totals, and from time to time all of them are
//! *rolled up*: their totals grow and the beginning moves behind them, in one transaction.
//!
//! Their sums are known here as long as this process alone writes; it need not read then what it wrote. What
//! others wrote, or a process that was killed, is read from the file once it is rolled up. So the file
//! is right whoever writes it, and whoever stops.

use hashbrown::{Equivalent, HashMap};
use rusqlite::{Connection, Transaction, params};

use super::row::Row;
use super::sums::{COUNTS, Sums, whole};

/// So many rows are rolled up: reports read them one by one, which takes some 50 ms then.
const ROWS: i64 = 65_536;
/// So many sums are written, in some 60 ms: rows that come meanwhile are what a killed process loses. They are
/// some 5 MiB.
const KEYS: usize = 16_384;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// The spans of the totals, in seconds.
pub(super) const SPANS: [i64; 2] = [HOUR, DAY];

const EXTENT: &str = "SELECT to_row, (SELECT max(number) FROM request) FROM rolled_up";
const MOVE: &str = "UPDATE rolled_up SET to_row = ?";

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

/// Changes when another connection has changed the file: <https://sqlite.org/pragma.html#pragma_data_version>.
const CHANGES: &str = "PRAGMA data_version";

/// By what totals are told apart. The members are in the order of the table's key.
#[derive(Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Key<T> {
    /// The start of the hour.
    hour: i64,
    /// User, model, provider, upstream's model.
    names: [T; 4],
}

impl<'a> Key<&'a str> {
    fn of(second: i64, names: [&'a str; 4]) -> Self {
        let hour = second - second.rem_euclid(HOUR);
        Self { hour, names }
    }

    fn owned(&self) -> Key<Box<str>> {
        Key {
            hour: self.hour,
            names: self.names.map(Box::from),
        }
    }
}

impl Equivalent<Key<Box<str>>> for Key<&str> {
    fn equivalent(&self, key: &Key<Box<str>>) -> bool {
        self.hour == key.hour && key.names.iter().map(|name| &**name).eq(self.names)
    }
}

/// See the module's documentation. Rows are meant by their numbers.
#[derive(Debug)]
pub(super) struct Tail {
    /// It begins behind this row.
    begin: i64,
    /// Its last row.
    last: i64,
    /// What others had done to the file by then.
    changes: i64,
    /// The sums are of the rows up to this one.
    summed: i64,
    sums: HashMap<Key<Box<str>>, Sums>,
}

impl Tail {
    /// Reads which rows are not in the totals.
    pub(super) fn read(file: &Connection) -> rusqlite::Result<Self> {
        let changes = changes(file)?;
        file.prepare_cached(EXTENT)?.query_row([], |row| {
            let begin = row.get(0)?;
            Ok(Self {
                begin,
                last: row.get::<_, Option<i64>>(1)?.unwrap_or(0),
                changes,
                summed: begin,
                sums: HashMap::new(),
            })
        })
    }

    /// Reads it anew where others have changed the file: they have rolled up, or written, or deleted rows. Where
    /// the last ones are deleted, SQLite gives their numbers to others, which are in no total.
    pub(super) fn align(&mut self, all: &Transaction<'_>) -> rusqlite::Result<()> {
        if changes(all)? != self.changes {
            *self = Self::read(all)?;
        }
        if self.last < self.begin {
            (self.begin, self.summed) = (self.last, self.last);
            all.prepare_cached(MOVE)?.execute([self.begin])?;
        }
        Ok(())
    }

    /// Notes rows that were written behind it.
    pub(super) fn extend(&mut self, rows: &[Row]) {
        if self.summed == self.last {
            for row in rows {
                let (provider, upstream_model) = row.backend();
                let names = [&*row.user, &*row.model, provider, upstream_model];
                let key = Key::of(row.at.as_second(), names);
                self.add(&key, Sums::of(row));
            }
            self.summed += count(rows);
        }
        self.last += count(rows);
    }

    /// Returns whether there is enough of it.
    pub(super) fn is_long(&self) -> bool {
        self.last - self.begin >= ROWS || self.sums.len() >= KEYS
    }

    /// Adds all of it to the totals.
    pub(super) fn roll_up(&mut self, all: &Transaction<'_>) -> rusqlite::Result<()> {
        self.align(all)?;
        self.catch_up(all)?;
        if !self.sums.is_empty() {
            self.write(all)?;
            all.prepare_cached(MOVE)?.execute([self.last])?;
        }
        Ok(())
    }

    /// Begins again behind what was rolled up.
    pub(super) fn restart(&mut self) {
        self.begin = self.last;
        self.sums = HashMap::new();
    }

    /// Sums up the rows of others.
    fn catch_up(&mut self, all: &Transaction<'_>) -> rusqlite::Result<()> {
        let read = format!(
            "SELECT at, user, model, provider, upstream_model, {COUNTS} FROM request WHERE number > ?"
        );
        let mut read = all.prepare(&read)?;
        let mut rows = read.query([self.summed])?;
        while let Some(row) = rows.next()? {
            let at: i64 = row.get(0)?;
            let name = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
            let names = [name(1)?, name(2)?, name(3)?, name(4)?];
            let key = Key::of(at.div_euclid(1_000), names);
            self.add(&key, Sums::read(row, 5)?);
        }
        self.summed = self.last;
        Ok(())
    }

    fn add(&mut self, key: &Key<&str>, part: Sums) {
        match self.sums.get_mut(key) {
            Some(sums) => sums.add(&part),
            None => _ = self.sums.insert(key.owned(), part),
        }
    }

    fn write(&self, all: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut sums: Vec<_> = self.sums.iter().collect();
        // Neighbours are on one page.
        sums.sort_unstable_by_key(|(key, _)| *key);
        let mut add = all.prepare_cached(ADD)?;
        for span in SPANS {
            for (Key { hour, names }, sums) in &sums {
                let [user, model, provider, upstream_model] = names;
                add.execute(params![
                    span,
                    hour - hour.rem_euclid(span),
                    user,
                    model,
                    provider,
                    upstream_model,
                    sums.requests,
                    sums.failed,
                    sums.estimated,
                    sums.uncached,
                    sums.cache_read,
                    sums.cache_write,
                    sums.visible,
                    sums.reasoning,
                    sums.nanodollars,
                    sums.latency_us,
                ])?;
            }
        }
        Ok(())
    }
}

fn changes(file: &Connection) -> rusqlite::Result<i64> {
    let mut changes = file.prepare_cached(CHANGES)?;
    changes.query_row([], |row| row.get(0))
}

fn count(rows: &[Row]) -> i64 {
    whole(rows.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use fastrand::Rng;

    use super::*;
    use crate::ledger::report::GroupBy;
    use crate::ledger::store::Store;
    use crate::ledger::tests::{at, count, folder, requests, row};

    const WHEN: &str = "2026-11-01T10:00:00Z";

    /// Returns how many requests of each user a report finds.
    fn reported(path: &Path) -> BTreeMap<String, i64> {
        let (from, to) = ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
        requests(path, GroupBy::User, from, to)
            .into_iter()
            .collect()
    }

    fn users<const N: usize>(expected: [(&str, i64); N]) -> BTreeMap<String, i64> {
        expected
            .map(|(user, requests)| (user.to_owned(), requests))
            .into()
    }

    /// Returns the requests that are in the totals of this span, and how many of these there are.
    fn totals(path: &Path, span: i64) -> (i64, i64) {
        let file = Connection::open(path).unwrap();
        let query = "SELECT ifnull(sum(requests), 0), count(*) FROM total WHERE span = ?";
        let both = file.query_row(query, [span], |row| Ok((row.get(0)?, row.get(1)?)));
        both.unwrap()
    }

    #[test]
    fn rows_are_reported_before_they_are_in_the_totals_and_afterwards() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        let rows = [row("ada", WHEN), row("ada", "2026-11-01T11:00:00Z")];

        for rounds in 1..4 {
            store.write(&rows).unwrap();
            assert_eq!(reported(&path), users([("ada", 2 * rounds)]));
            assert_eq!(totals(&path, HOUR).0, 2 * (rounds - 1));

            store.roll_up().unwrap();

            assert_eq!(reported(&path), users([("ada", 2 * rounds)]));
            assert_eq!(totals(&path, HOUR), (2 * rounds, 2));
            assert_eq!(totals(&path, DAY), (2 * rounds, 1));
        }
    }

    #[test]
    fn what_a_killed_process_left_is_rolled_up_from_the_file() {
        let (_folder, path) = folder();
        let mut failed = row("bob", WHEN);
        (failed.status, failed.estimated, failed.nanodollars) = (502, true, None);
        let rows = [row("ada", WHEN), failed, row("ada", WHEN)];
        let mut killed = Store::open(&path).unwrap();
        killed.write(&rows).unwrap();
        drop(killed);
        let all = "SELECT group_concat(quote(user) || requests || failed || estimated || uncached || \
            cache_read || cache_write || visible || reasoning || nanodollars || latency_us) FROM total";
        let all = |path: &Path| {
            let file = Connection::open(path).unwrap();
            file.query_row(all, [], |row| row.get::<_, String>(0))
        };

        let mut next = Store::open(&path).unwrap();
        next.write(&rows).unwrap();
        next.roll_up().unwrap();

        let (_folder, other) = folder();
        let mut whole = Store::open(&other).unwrap();
        whole.write(&rows).unwrap();
        whole.write(&rows).unwrap();
        whole.roll_up().unwrap();
        assert_eq!(all(&path), all(&other));
        assert_eq!(reported(&path), users([("ada", 4), ("bob", 2)]));
    }

    #[test]
    fn a_tail_is_long_with_many_rows_and_with_many_sums() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        let same = vec![row("ada", WHEN); 1_024];
        for _ in 0..ROWS / 1_024 {
            assert!(!store.has_long_tail());
            store.write(&same).unwrap();
        }
        assert!(store.has_long_tail());
        // It is known of a file that was not read either.
        assert!(Store::open(&path).unwrap().has_long_tail());
        store.roll_up().unwrap();
        assert!(!store.has_long_tail());

        let users: Vec<_> = (0..KEYS).map(|user| row(&user.to_string(), WHEN)).collect();
        store.write(&users).unwrap();

        assert!(store.has_long_tail());
    }

    #[test]
    fn what_is_in_no_total_is_not_deleted() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        store.write(&[row("ada", WHEN)]).unwrap();
        store.roll_up().unwrap();
        store.write(&[row("ada", WHEN)]).unwrap();

        while !store.prune(at("2026-12-01T00:00:00Z").as_second()).unwrap() {}

        assert_eq!(count(&path, "request"), 1);
    }

    #[test]
    fn numbers_of_deleted_rows_count_again() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        let mut other = Store::open(&path).unwrap();
        store.write(&[row("ada", WHEN), row("ada", WHEN)]).unwrap();
        store.roll_up().unwrap();
        while !store.prune(at("2026-12-01T00:00:00Z").as_second()).unwrap() {}

        for store in [&mut other, &mut store] {
            store.write(&[row("bob", WHEN)]).unwrap();
        }

        assert_eq!(reported(&path), users([("bob", 2)]));
        other.roll_up().unwrap();
        assert_eq!(reported(&path), users([("bob", 2)]));
    }

    #[test]
    fn who_empties_the_table_by_hand_begins_anew() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        store.write(&[row("ada", WHEN), row("ada", WHEN)]).unwrap();
        let file = Connection::open(&path).unwrap();
        file.execute("DELETE FROM request", []).unwrap();

        store.write(&[row("bob", WHEN)]).unwrap();
        store.roll_up().unwrap();

        assert_eq!(reported(&path), users([("bob", 1)]));
    }

    #[test]
    fn who_deletes_a_users_rows_by_hand_does_not_see_them_again() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        store.write(&[row("bob", WHEN), row("ada", WHEN)]).unwrap();
        let file = Connection::open(&path).unwrap();
        file.execute("DELETE FROM request WHERE user = 'bob'", [])
            .unwrap();

        store.write(&[row("ada", WHEN)]).unwrap();
        store.roll_up().unwrap();

        assert_eq!(reported(&path), users([("ada", 2)]));
    }

    #[test]
    fn a_file_that_is_vacuumed_has_the_same_rows_in_its_totals() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).unwrap();
        store.write(&[row("ada", WHEN), row("ada", WHEN)]).unwrap();
        store.roll_up().unwrap();
        let file = Connection::open(&path).unwrap();
        file.execute("DELETE FROM request WHERE number = 1", [])
            .unwrap();
        store.write(&[row("bob", WHEN), row("bob", WHEN)]).unwrap();

        file.execute("VACUUM", []).unwrap();

        assert_eq!(reported(&path), users([("ada", 2), ("bob", 2)]));
        store.roll_up().unwrap();
        assert_eq!(reported(&path), users([("ada", 2), ("bob", 2)]));
    }

    /// Two processes write, roll up, delete and are killed in any order.
    #[test]
    fn no_row_is_counted_twice_or_missed_whoever_writes_and_stops() {
        let users = ["ada", "bob", "cy"];
        for seed in 0..8 {
            let mut random = Rng::with_seed(seed);
            let (_folder, path) = folder();
            let mut stores = [Store::open(&path).unwrap(), Store::open(&path).unwrap()];
            let mut written = BTreeMap::new();
            for step in 0..60 {
                let store = &mut stores[random.usize(0..2)];
                match random.u8(0..10) {
                    0..6 => {
                        let batch: Vec<_> = (0..random.usize(1..5))
                            .map(|_| row(users[random.usize(0..3)], WHEN))
                            .collect();
                        for row in &batch {
                            *written.entry(row.user.to_string()).or_default() += 1;
                        }
                        store.write(&batch).unwrap();
                    }
                    6 | 7 => store.roll_up().unwrap(),
                    8 => *store = Store::open(&path).unwrap(),
                    _ => {
                        // As when pruning, but what they add up to stays.
                        let file = Connection::open(&path).unwrap();
                        let old =
                            "DELETE FROM request WHERE number <= (SELECT to_row FROM rolled_up)";
                        file.execute(old, []).unwrap();
                    }
                }

                assert_eq!(reported(&path), written, "seed {seed}, step {step}");
            }
        }
    }
}
