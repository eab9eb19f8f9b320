//! What is measured of an endpoint for whoever draws it: distributions and sums.
//!
//! Nothing here decides anything. It is kept with the endpoint's state so that a use finds it
//! without a look-up, it survives reloads, and it vanishes with the endpoint.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use berry_core::Histogram;
use berry_core::config::Prices;

use crate::economy::Tokens;

/// From a cache's answer to minutes of reasoning.
pub const LATENCIES: &[Duration] = &[
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(600),
];

/// A billionth of a dollar: a token of the cheapest model costs more than ten.
const NANODOLLARS: f64 = 1e9;

/// See the module's documentation.
#[derive(Debug)]
pub struct Meter {
    /// How long attempts took to their end.
    pub latency: Histogram,
    /// How long they took to their first content.
    pub first_content: Histogram,
    input: AtomicU64,
    output: AtomicU64,
    nanodollars: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            latency: Histogram::new(LATENCIES),
            first_content: Histogram::new(LATENCIES),
            input: AtomicU64::new(0),
            output: AtomicU64::new(0),
            nanodollars: AtomicU64::new(0),
        }
    }
}

impl Meter {
    /// Adds what one request cost in the end, as far as prices are known.
    pub fn charge(&self, tokens: Tokens, prices: &Prices) {
        let cost = tokens.cost(prices).unwrap_or_default();
        add(&self.input, tokens.input);
        add(&self.output, tokens.output);
        add(&self.nanodollars, cost * NANODOLLARS);
    }

    /// Returns the tokens read.
    pub fn input(&self) -> u64 {
        self.input.load(Ordering::Relaxed)
    }

    /// Returns the tokens written.
    pub fn output(&self) -> u64 {
        self.output.load(Ordering::Relaxed)
    }

    /// Returns the dollars spent, as far as prices are known.
    pub fn dollars(&self) -> f64 {
        self.nanodollars.load(Ordering::Relaxed) as f64 / NANODOLLARS
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sums are not negative, and the cast saturates"
)]
fn add(sum: &AtomicU64, amount: f64) {
    sum.fetch_add(amount.round() as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_costs_add_up() {
        let meter = Meter::default();
        let tokens = Tokens {
            input: 3.0,
            cached: 1.0,
            cache_write: 0.0,
            cache_write_1h: 0.0,
            output: 2.0,
        };

        let prices = Prices {
            input: Some(0.1),
            output: Some(0.6),
            ..Prices::default()
        };

        for _ in 0..1000 {
            meter.charge(tokens, &prices);
        }
        meter.charge(tokens, &Prices::default());

        assert_eq!((meter.input(), meter.output()), (3003, 2002));
        assert!((meter.dollars() - 0.001_5).abs() < 1e-12);
    }
}
