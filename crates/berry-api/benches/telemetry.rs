//! Instructions of counting a request, and of writing rows of the ledger, which its own thread does.
//! `scripts/count-instructions.sh` compares them with those of an earlier commit. What a request's line costs
//! is the difference of the two benchmarks of requests in `request.rs`.

#![expect(
    missing_docs,
    unused_qualifications,
    clippy::exit,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "gungraun's macros write such code, and what cannot be set up may panic"
)]

use std::hint::black_box;

use berry_api::bench::{Batch, Counters};
use gungraun::prelude::*;
use tempfile::TempDir;

#[library_benchmark]
#[bench::one(Box::new(Counters::new()))]
fn increment(counters: Box<Counters>) -> Box<Counters> {
    black_box(&counters).increment();
    counters
}

#[library_benchmark]
#[bench::one(Box::new(Counters::new()))]
fn record(counters: Box<Counters>) -> Box<Counters> {
    black_box(&counters).record();
    counters
}

fn batch(rows: usize, users: usize) -> (TempDir, Batch) {
    let folder = tempfile::tempdir().unwrap();
    let batch = Batch::begin(&folder.path().join("usage.db"), rows, users).unwrap();
    (folder, batch)
}

// A quiet gateway writes one row at a time, a busy one many.
#[library_benchmark]
#[bench::one(batch(1, 1))]
#[bench::hundred(batch(100, 10))]
#[bench::many_users(batch(1_000, 1_000))]
fn rows((folder, mut batch): (TempDir, Batch)) -> (TempDir, Batch) {
    assert!(black_box(&mut batch).write(), "the rows are not written");
    (folder, batch)
}

// What takes the place of an addition to a total with every row: once for some 65,000 rows.
#[library_benchmark]
#[bench::ten_users(batch(100, 10))]
#[bench::many_users(batch(1_000, 1_000))]
fn roll_up((folder, mut batch): (TempDir, Batch)) -> (TempDir, Batch) {
    assert!(black_box(&mut batch).roll_up(), "nothing is rolled up");
    (folder, batch)
}

library_benchmark_group!(
    name = telemetry,
    benchmarks = [increment, record, rows, roll_up]
);
main!(library_benchmark_groups = telemetry);
