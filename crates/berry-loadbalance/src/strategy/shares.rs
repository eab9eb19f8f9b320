//! Who gets how much: for each strategy that shares, the shares its module promises, within one
//! percentage point over 100,000 draws from a fixed seed.

use super::tests::{candidates, counts, weighted};
use crate::breaker::Admission;

const DRAWS: usize = 100_000;

/// What is known of one endpoint: its weight, its failures in a row, and how far it has returned.
type Row = (f64, u32, f64);

const PATTERNS: &[&[Row]] = &[
    // Weights alone.
    &[(1.0, 0, 1.0)],
    &[(1.0, 0, 1.0), (1.0, 0, 1.0)],
    &[(3.0, 0, 1.0), (1.0, 0, 1.0)],
    &[(1.0, 0, 1.0), (2.0, 0, 1.0), (3.0, 0, 1.0)],
    &[(0.1, 0, 1.0), (0.2, 0, 1.0), (0.7, 0, 1.0)],
    &[(1.0, 0, 1.0), (99.0, 0, 1.0)],
    &[(0.01, 0, 1.0), (100.0, 0, 1.0)],
    &[(100.0, 0, 1.0), (1.0, 0, 1.0), (1.0, 0, 1.0), (1.0, 0, 1.0)],
    &[(0.3, 0, 1.0); 8],
    &[
        (1.0, 0, 1.0),
        (2.0, 0, 1.0),
        (4.0, 0, 1.0),
        (8.0, 0, 1.0),
        (16.0, 0, 1.0),
        (32.0, 0, 1.0),
        (64.0, 0, 1.0),
        (100.0, 0, 1.0),
    ],
    // Suspects.
    &[(1.0, 2, 1.0), (1.0, 0, 1.0)],
    &[(4.0, 1, 1.0), (2.0, 0, 1.0), (8.0, 3, 1.0)],
    &[(1.0, 4, 1.0), (1.0, 4, 1.0)],
    // The stages of the way back, alone and with failures.
    &[(1.0, 0, 0.1), (1.0, 0, 1.0)],
    &[(1.0, 0, 0.3), (1.0, 0, 1.0), (1.0, 0, 0.5)],
    &[(2.0, 1, 0.5), (1.0, 0, 1.0)],
];

/// What the endpoint weighs in its strategy's draw.
type Weigh = fn(&Row) -> f64;

const RULES: &[(&str, Weigh)] = &[
    ("random", |_| 1.0),
    ("weighted_random", suspect),
    ("weighted_failover", suspect),
    ("smart_weighted_failover", |row| suspect(row) * row.2),
];

/// The weight, halved for each failure in a row.
fn suspect(&(weight, failures, _): &Row) -> f64 {
    weight / f64::from(1_u32 << failures)
}

fn drawn(strategy: &str, rows: &[Row]) -> Vec<usize> {
    let weights: Vec<f64> = rows.iter().map(|row| row.0).collect();
    let endpoints = weighted(&weights);
    let mut candidates = candidates(&endpoints);
    for (candidate, &(_, failures, recovery)) in candidates.iter_mut().zip(rows) {
        candidate.signals.admission = Admission::Closed;
        candidate.signals.consecutive_failures = failures;
        candidate.signals.recovery = recovery;
    }
    counts(strategy, &candidates, DRAWS)
}

#[test]
fn shares_are_as_promised_within_a_percentage_point() {
    for (strategy, weigh) in RULES {
        for rows in PATTERNS {
            let total: f64 = rows.iter().map(weigh).sum();

            let counts = drawn(strategy, rows);

            for (row, &count) in rows.iter().zip(&counts) {
                let (share, promised) = (count as f64 / DRAWS as f64, weigh(row) / total);
                assert!(
                    (share - promised).abs() < 0.01,
                    "{strategy} {rows:?}: {counts:?}"
                );
            }
        }
    }
}

#[test]
fn round_robin_is_exactly_even_whatever_is_known() {
    for rows in PATTERNS {
        let counts = drawn("round_robin", rows);

        let (least, most) = (DRAWS / rows.len(), DRAWS.div_ceil(rows.len()));
        assert!(
            counts.iter().all(|count| (least..=most).contains(count)),
            "{counts:?}"
        );
    }
}
