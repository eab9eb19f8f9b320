use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berry_core::config::{Prices, Usage as Configured};
use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

use super::report::{GroupBy, Period, report};
use super::row::{Row, nanodollars};
use super::store::Store;
use super::*;

pub(super) fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");
    (folder, path)
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A request of 10 tokens in and 5 out, which ended then.
pub(super) fn row(user: &str, when: &str) -> Row {
    Row {
        at: at(when),
        user: user.into(),
        model: "chat".into(),
        endpoint: None,
        status: 200,
        usage: berry_relay::Usage {
            uncached: 6,
            cache_read: 3,
            cache_write: 1,
            cache_write_1h: 0,
            visible: 4,
            reasoning: 1,
        },
        estimated: false,
        nanodollars: Some(1_500),
        first_byte: None,
        latency: Duration::from_millis(2),
        attempts: 1,
    }
}

fn ledger(path: &Path) -> Ledger {
    Ledger::start(&Configured {
        database: Some(path.to_owned()),
        // A row of any day is kept.
        retention_days: 100_000,
    })
    .unwrap()
}

fn flush(ledger: &Ledger) {
    ledger.0.as_ref().unwrap().rows.flush(LAST_WORDS);
}

pub(super) fn count(path: &Path, table: &str) -> i64 {
    let file = Connection::open(path).unwrap();
    let query = format!("SELECT count(*) FROM {table}");
    file.query_row(&query, [], |row| row.get(0)).unwrap()
}

/// Returns the groups and their requests.
pub(super) fn requests(path: &Path, group_by: GroupBy, from: &str, to: &str) -> Vec<(String, i64)> {
    let groups = report(path, group_by, Period::covering(at(from), at(to))).unwrap();
    let groups = groups.into_iter();
    groups.map(|(name, sums)| (name, sums.requests)).collect()
}

#[test]
fn rows_are_summed_up_by_whom_and_by_day() {
    let (_folder, path) = folder();
    let ledger = ledger(&path);
    ledger.put(row("ada", "2026-11-01T10:59:59Z"));
    ledger.put(row("ada", "2026-11-01T11:00:00Z"));
    ledger.put(row("bob", "2026-11-02T00:00:00Z"));
    let mut failed = row("bob", "2026-11-02T00:00:01Z");
    (failed.status, failed.estimated, failed.nanodollars) = (502, true, None);
    ledger.put(failed);
    flush(&ledger);

    let month = Period::covering(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    let users = report(&path, GroupBy::User, month).unwrap();

    let sums = |failed, nanodollars| Sums {
        requests: 2,
        failed,
        estimated: failed,
        uncached: 12,
        cache_read: 6,
        cache_write: 2,
        visible: 8,
        reasoning: 2,
        nanodollars,
        latency_us: 4_000,
    };
    let expected = [
        ("ada".to_owned(), sums(0, 3_000)),
        ("bob".to_owned(), sums(1, 1_500)),
    ];
    assert_eq!(users, expected);
    let days = requests(
        &path,
        GroupBy::Day,
        "2026-11-01T00:00:00Z",
        "2026-12-01T00:00:00Z",
    );
    let expected = [("2026-11-01".to_owned(), 2), ("2026-11-02".to_owned(), 2)];
    assert_eq!(days, expected);
    assert_eq!(count(&path, "request"), 4);
}

#[test]
fn a_report_has_what_was_put_before() {
    let (_folder, path) = folder();
    let ledger = ledger(&path);
    let month = Period::covering(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));

    for requests in 0..3 {
        let report = ledger.report(GroupBy::User, month).unwrap().unwrap();

        let found: i64 = report.groups.iter().map(|(_, sums)| sums.requests).sum();
        assert_eq!(found, requests);
        ledger.put(row("ada", "2026-11-01T10:00:00Z"));
    }
}

#[test]
fn with_many_users_and_at_the_end_all_is_in_the_totals() {
    let (_folder, path) = folder();
    let ledger = ledger(&path);
    for batch in 0..20 {
        for user in 0..1_000 {
            let user = format!("{batch}-{user}");
            ledger.put(row(&user, "2026-11-01T10:00:00Z"));
        }
        flush(&ledger);
    }
    flush(&ledger);
    let rolled_up = count(&path, "total");
    assert!((1..40_000).contains(&rolled_up), "{rolled_up}");

    ledger.close();

    assert_eq!(count(&path, "total"), 40_000);
}

#[test]
fn a_period_takes_whole_days_from_their_sums_and_the_rest_by_the_hour() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    // One request in each hour of four days.
    let first = at("2026-11-01T00:30:00Z").as_second();
    for hour in 0..96 {
        // The last day is not in the totals.
        if hour == 72 {
            store.roll_up().unwrap();
        }
        let when = Timestamp::from_second(first + hour * 3_600).unwrap();
        store.write(&[row("ada", &when.to_string())]).unwrap();
    }

    for (from, to, expected) in [
        ("2026-11-01T00:00:00Z", "2026-11-05T00:00:00Z", 96),
        ("2026-11-01T05:00:00Z", "2026-11-04T07:00:00Z", 74),
        ("2026-11-01T05:00:00Z", "2026-11-02T07:00:00Z", 26),
        ("2026-11-02T05:00:00Z", "2026-11-02T07:00:00Z", 2),
        ("2026-11-02T05:20:00Z", "2026-11-02T05:40:00Z", 1),
        ("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", 24),
        ("2026-12-01T00:00:00Z", "2026-12-03T00:00:00Z", 0),
    ] {
        let found = requests(&path, GroupBy::User, from, to);
        let found = found.first().map_or(0, |(_, requests)| *requests);
        assert_eq!(found, expected, "{from} {to}");
    }
}

#[test]
fn what_is_old_is_deleted() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    let days = [
        "2026-11-01T10:00:00Z",
        "2026-11-02T10:00:00Z",
        "2026-11-03T10:00:00Z",
    ];
    store.write(&days.map(|day| row("ada", day))).unwrap();
    store.roll_up().unwrap();

    let cutoff = at("2026-11-02T10:30:00Z").as_second();
    while !store.prune(cutoff).unwrap() {}

    assert_eq!(count(&path, "request"), 1);
    // The day that is cut in two is kept as long as any of it.
    let left = requests(
        &path,
        GroupBy::Day,
        "2026-11-01T00:00:00Z",
        "2026-12-01T00:00:00Z",
    );
    let left: Vec<_> = left.iter().map(|(day, _)| day.as_str()).collect();
    assert_eq!(left, ["2026-11-02", "2026-11-03"]);
}

#[test]
fn a_file_that_is_locked_for_a_while_costs_no_row() {
    let (_folder, path) = folder();
    let ledger = ledger(&path);
    flush(&ledger);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    for _ in 0..10 {
        ledger.put(row("ada", "2026-11-01T10:00:00Z"));
    }
    flush(&ledger);
    assert_eq!(count(&path, "request"), 0);
    other.execute_batch("COMMIT").unwrap();

    // It is tried again every second, by itself.
    while count(&path, "request") < 10 {}
    assert_eq!(ledger.loss().unwrap().count(), 0);
}

#[test]
fn what_can_never_be_written_is_counted_and_nobody_waits() {
    let (_folder, path) = folder();
    std::fs::write(
        &path,
        "this is no database, but it is long enough to be taken for one",
    )
    .unwrap();
    let ledger = ledger(&path);

    let put = 100_000;
    for _ in 0..put {
        ledger.put(row("ada", "2026-11-01T10:00:00Z"));
    }
    flush(&ledger);

    // It is tried again every second, and all that waits is lost at once.
    while ledger.loss().unwrap().count() < put {}
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept.starts_with("this is no database"), "{kept}");
}

#[test]
fn what_cannot_be_written_for_now_is_kept_up_to_a_bound() {
    let (_folder, path) = folder();
    std::fs::create_dir(&path).unwrap();
    let ledger = ledger(&path);

    let put = 100_000;
    for _ in 0..put {
        ledger.put(row("ada", "2026-11-01T10:00:00Z"));
    }
    flush(&ledger);
    let lost = ledger.loss().unwrap().count();
    assert!((1..put).contains(&lost), "{lost}");
    ledger.close();

    assert_eq!(ledger.loss().unwrap().count(), put);
}

#[test]
fn a_report_says_what_is_missing_in_it() {
    let (_folder, path) = folder();
    let ledger = ledger(&path);
    flush(&ledger);
    let month = Period::covering(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    let missing = || {
        let report = ledger.report(GroupBy::User, month).unwrap().unwrap();
        (report.groups.len(), report.pending, report.lost)
    };
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    ledger.put(row("ada", "2026-11-01T10:00:00Z"));
    ledger.put(row("ada", "2026-11-01T10:00:00Z"));

    assert_eq!(missing(), (0, 2, 0));

    other.execute_batch("COMMIT").unwrap();
    while missing() != (1, 0, 0) {}
    ledger.0.as_ref().unwrap().loss.lose(3, "a test");
    assert_eq!(missing(), (1, 0, 3));
}

#[test]
fn of_processes_that_begin_one_file_none_has_anything_to_tell() {
    let (_folder, path) = folder();
    let ledgers: Vec<_> = (0..8).map(|_| ledger(&path)).collect();
    for ledger in &ledgers {
        ledger.put(row("ada", "2026-11-01T10:00:00Z"));
    }

    let day = Period::covering(at("2026-11-01T00:00:00Z"), at("2026-11-02T00:00:00Z"));
    // Until there are tables it cannot be read.
    let written = || {
        report(&path, GroupBy::User, day)
            .is_ok_and(|users| users[..].iter().any(|(_, sums)| sums.requests == 8))
    };
    while !written() {}

    for ledger in &ledgers {
        ledger.close();
        let loss = ledger.loss().unwrap();
        assert_eq!((loss.cause(), loss.count()), (None, 0));
    }
}

#[test]
fn who_is_in_another_group_cannot_read_what_was_used() {
    let (_folder, path) = folder();
    let ledger = ledger(&path);
    ledger.put(row("ada", "2026-11-01T10:00:00Z"));
    flush(&ledger);

    for file in [path.clone(), path.with_extension("db-wal")] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{file:?}");
    }
}

#[test]
fn what_is_locked_until_the_end_is_lost_and_counted() {
    let (_folder, path) = folder();
    let ledger = ledger(&path);
    flush(&ledger);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    ledger.put(row("ada", "2026-11-01T10:00:00Z"));
    ledger.close();

    assert_eq!(ledger.loss().unwrap().count(), 1);
}

#[test]
fn a_file_that_is_moved_away_is_whole_and_a_new_one_is_begun() {
    let (folder, path) = folder();
    let moved = folder.path().join("moved.db");
    let ledger = ledger(&path);
    ledger.put(row("ada", "2026-11-01T10:00:00Z"));
    flush(&ledger);

    std::fs::rename(&path, &moved).unwrap();
    ledger.put(row("bob", "2026-11-01T10:00:00Z"));
    flush(&ledger);

    let (from, to) = ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    assert_eq!(
        requests(&path, GroupBy::User, from, to),
        [("bob".to_owned(), 1)]
    );
    std::fs::remove_file(&path).unwrap();
    flush(&ledger);
    assert_eq!(requests(&path, GroupBy::User, from, to), []);
    ledger.close();
    assert_eq!(
        requests(&moved, GroupBy::User, from, to),
        [("ada".to_owned(), 1)]
    );
}

#[test]
fn sums_stop_at_what_a_number_can_be() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).unwrap();
    let mut dear = row("ada", "2026-11-01T10:00:00Z");
    dear.nanodollars = Some(i64::MAX - 1);

    store.write(&[dear.clone(), dear.clone()]).unwrap();
    store.write(&[dear.clone()]).unwrap();
    dear.model = "other".into();
    store.write(&[dear.clone()]).unwrap();
    store.roll_up().unwrap();
    store.write(&[dear]).unwrap();
    store.roll_up().unwrap();

    let month = Period::covering(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    let users = report(&path, GroupBy::User, month).unwrap();
    assert_eq!((users[0].1.requests, users[0].1.nanodollars), (5, i64::MAX));
}

#[test]
fn a_cost_is_exact_to_the_billionth_of_a_dollar() {
    let usage = |uncached, cache_read, cache_write, visible, reasoning| berry_relay::Usage {
        uncached,
        cache_read,
        cache_write,
        cache_write_1h: 0,
        visible,
        reasoning,
    };
    let prices = |input, output, cached_input, request| Prices {
        input,
        output,
        cached_input,
        cache_write: None,
        request,
    };
    let with_writes = Prices {
        cache_write: Some(3.125),
        ..prices(Some(2.5), Some(10.0), Some(1.25), None)
    };
    let tokens = prices(Some(2.5), Some(10.0), Some(1.25), None);
    for (usage, prices, expected) in [
        (usage(1_000, 0, 0, 500, 0), tokens, Some(7_500_000)),
        // What is cached has its own price, what is put there that of all input, and reasoning that of
        // all output.
        (usage(600, 400, 0, 300, 200), tokens, Some(7_000_000)),
        (usage(500, 400, 100, 300, 200), tokens, Some(7_000_000)),
        (usage(500, 400, 100, 300, 200), with_writes, Some(7_062_500)),
        (usage(1, 0, 0, 0, 0), tokens, Some(2_500)),
        (
            usage(1_000, 0, 0, 500, 0),
            prices(None, None, None, Some(0.02)),
            Some(20_000_000),
        ),
        (
            usage(1_000, 0, 0, 500, 0),
            prices(Some(2.5), None, None, None),
            None,
        ),
        (
            usage(1_000, 0, 0, 0, 0),
            prices(Some(0.02), None, None, None),
            Some(20_000),
        ),
        (usage(1_000, 0, 0, 500, 0), Prices::default(), None),
    ] {
        assert_eq!(
            nanodollars(usage, &prices),
            expected,
            "{usage:?} {prices:?}"
        );
    }
}
