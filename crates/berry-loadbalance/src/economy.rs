//! What the requests of a pool cost, and how much of that may be spent on looking around.
//!
//! Prices are per token and per request; what a backend costs depends on the requests. So the pool
//! keeps the size of its average request, and a price means what that request costs.
//!
//! Looking at a costly endpoint is paid from a budget: in all at most [`SHARE`] of what the pool has
//! spent, and at most once in an interval. Pure: takes `now`.

use std::time::Duration;

use berry_core::Tick;
use berry_core::config::Prices;

use crate::sync::Mutex;

/// The part of the spending that costly exploration may add.
const SHARE: f64 = 0.02;
/// How much one request moves the average: about the last twenty count.
const WEIGHT: f64 = 0.05;
/// Prices are per this many tokens.
const PER: f64 = 1e6;

/// How much more an entry of the cache costs that is kept for an hour: Anthropic, the one provider that has
/// such, asks 2 times its input price for it and 1.25 times for one of five minutes
/// (<https://docs.claude.com/en/docs/build-with-claude/prompt-caching#pricing>).
const HOUR_RATIO: f64 = 1.6;

/// Tokens of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tokens {
    /// Tokens read.
    pub input: f64,
    /// Those of them that the provider had in its cache.
    pub cached: f64,
    /// Those of them that it put there.
    pub cache_write: f64,
    /// Those of these that it keeps there for an hour.
    pub cache_write_1h: f64,
    /// Tokens written.
    pub output: f64,
}

impl Default for Tokens {
    /// A chat of some turns and a few paragraphs for an answer; it only has to do until the first
    /// requests have been counted.
    fn default() -> Self {
        Self {
            input: 1000.0,
            cached: 0.0,
            cache_write: 0.0,
            cache_write_1h: 0.0,
            output: 300.0,
        }
    }
}

impl Tokens {
    /// Returns what a request of this size costs; none where a price that matters is unknown. Where
    /// reading the cache, or writing to it, has no price of its own, it has that of all input.
    pub fn cost(self, prices: &Prices) -> Option<f64> {
        let written = prices.output.or((self.output == 0.0).then_some(0.0));
        let tokens = match (prices.input, written) {
            (Some(input), Some(output)) => {
                let cached = prices.cached_input.unwrap_or(input);
                let cache_write = prices.cache_write.unwrap_or(input);
                let kept = prices.cache_write.unwrap_or_default() * (HOUR_RATIO - 1.0);
                let uncached = self.input - self.cached - self.cache_write;
                let put = self.cache_write * cache_write + self.cache_write_1h * kept;
                let read = uncached * input + self.cached * cached + put;
                Some((read + self.output * output) / PER)
            }
            _ => None,
        };
        match (tokens, prices.request) {
            (None, None) => None,
            (tokens, request) => Some(tokens.unwrap_or_default() + request.unwrap_or_default()),
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Economy(Mutex<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    average: Tokens,
    spent: f64,
    explored: f64,
    last_costly: Option<Tick>,
}

impl Economy {
    /// Takes the size of a request that was answered, and what it cost.
    pub(crate) fn record(&self, tokens: Tokens, cost: Option<f64>) {
        let mut ledger = self.0.lock();
        let average = ledger.average;
        ledger.average = Tokens {
            input: average.input + (tokens.input - average.input) * WEIGHT,
            cached: average.cached + (tokens.cached - average.cached) * WEIGHT,
            cache_write: average.cache_write + (tokens.cache_write - average.cache_write) * WEIGHT,
            cache_write_1h: average.cache_write_1h
                + (tokens.cache_write_1h - average.cache_write_1h) * WEIGHT,
            output: average.output + (tokens.output - average.output) * WEIGHT,
        };
        ledger.spent += cost.unwrap_or_default();
    }

    /// Takes a request of unknown size that was answered, and where that was.
    pub(crate) fn record_average(&self, prices: &Prices) {
        let mut ledger = self.0.lock();
        ledger.spent += ledger.average.cost(prices).unwrap_or_default();
    }

    /// Returns the size of an average request.
    pub(crate) fn average(&self) -> Tokens {
        self.0.lock().average
    }

    /// Returns whether costly endpoints may join an exploration that could cost `extra` more than
    /// the cheapest way; if so, that is this interval's.
    pub(crate) fn admit_costly(&self, extra: f64, interval: Duration, now: Tick) -> bool {
        let mut ledger = self.0.lock();
        let due = ledger
            .last_costly
            .is_none_or(|last| now.saturating_since(last) >= interval);
        let affordable = ledger.explored + extra <= SHARE * ledger.spent;
        if due && affordable {
            ledger.last_costly = Some(now);
        }
        due && affordable
    }

    /// Books what an exploration cost more than the cheapest way.
    pub(crate) fn explored(&self, extra: f64) {
        self.0.lock().explored += extra.max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: Prices = Prices {
        input: Some(2.0),
        output: Some(10.0),
        cached_input: None,
        cache_write: None,
        request: None,
    };

    fn at(seconds: u64) -> Tick {
        Tick::from(Duration::from_secs(seconds))
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_price_means_what_an_average_request_costs() {
        let tokens = Tokens {
            input: 1000.0,
            cached: 0.0,
            cache_write: 0.0,
            cache_write_1h: 0.0,
            output: 500.0,
        };
        let per_request = Prices {
            request: Some(0.04),
            ..Prices::default()
        };

        assert!(close(tokens.cost(&PRICES).unwrap(), 0.007));
        assert!(close(tokens.cost(&per_request).unwrap(), 0.04));
        assert_eq!(
            tokens.cost(&Prices {
                input: Some(1.0),
                ..Prices::default()
            }),
            None
        );
        assert_eq!(tokens.cost(&Prices::default()), None);
    }

    #[test]
    fn what_was_cached_has_its_own_price_where_one_is_known() {
        let tokens = Tokens {
            input: 1000.0,
            cached: 400.0,
            cache_write: 0.0,
            cache_write_1h: 0.0,
            output: 500.0,
        };
        let cached = Prices {
            cached_input: Some(0.5),
            ..PRICES
        };

        assert!(close(tokens.cost(&PRICES).unwrap(), 0.007));
        assert!(close(tokens.cost(&cached).unwrap(), 0.0064));
    }

    #[test]
    fn what_was_put_into_the_cache_has_its_own_price_where_one_is_known() {
        let tokens = Tokens {
            input: 1000.0,
            cached: 400.0,
            cache_write: 200.0,
            cache_write_1h: 0.0,
            output: 500.0,
        };
        let written = Prices {
            cached_input: Some(0.5),
            cache_write: Some(2.5),
            ..PRICES
        };

        assert!(close(tokens.cost(&PRICES).unwrap(), 0.007));
        assert!(close(tokens.cost(&written).unwrap(), 0.0065));

        let kept = Tokens {
            cache_write_1h: 100.0,
            ..tokens
        };
        assert!(close(kept.cost(&PRICES).unwrap(), 0.007));
        assert!(close(kept.cost(&written).unwrap(), 0.006_65));
    }

    #[test]
    fn what_nothing_was_written_for_needs_no_price_of_output() {
        let embedded = Tokens {
            input: 1000.0,
            cached: 0.0,
            cache_write: 0.0,
            cache_write_1h: 0.0,
            output: 0.0,
        };
        let prices = Prices {
            input: Some(1.0),
            ..Prices::default()
        };

        assert!(close(embedded.cost(&prices).unwrap(), 0.001));
    }

    #[test]
    fn the_average_follows_the_requests() {
        let economy = Economy::default();
        for _ in 0..200 {
            economy.record(
                Tokens {
                    input: 10.0,
                    cached: 0.0,
                    cache_write: 0.0,
                    cache_write_1h: 0.0,
                    output: 20.0,
                },
                None,
            );
        }

        let average = economy.average();

        assert!((average.input - 10.0).abs() < 1.0 && (average.output - 20.0).abs() < 1.0);
    }

    #[test]
    fn a_request_of_unknown_size_counts_as_an_average_one() {
        let economy = Economy::default();
        for _ in 0..100 {
            economy.record_average(&Prices {
                request: Some(0.01),
                ..Prices::default()
            });
        }

        assert!(economy.admit_costly(0.0199, Duration::ZERO, at(0)));
        assert!(!economy.admit_costly(0.0201, Duration::ZERO, at(0)));
    }

    #[test]
    fn costly_exploration_is_bounded_by_spending_and_by_time() {
        let economy = Economy::default();
        let interval = Duration::from_secs(600);
        assert!(!economy.admit_costly(0.01, interval, at(0)));
        for _ in 0..1000 {
            economy.record(Tokens::default(), Some(0.002));
        }

        assert!(economy.admit_costly(0.03, interval, at(0)));
        assert!(!economy.admit_costly(0.0, interval, at(599)));
        economy.explored(0.03);
        assert!(!economy.admit_costly(0.02, interval, at(600)));
        assert!(economy.admit_costly(0.01, interval, at(600)));
    }
}
