//! What is written of one request.

use std::time::Duration;

use berry_core::config::Prices;
use berry_loadbalance::{EndpointKey, Tokens};
use berry_relay::{Spent, Usage};
use jiff::Timestamp;

/// A billionth of a dollar: sums of whole ones are exact.
const NANODOLLARS: f64 = 1e9;

/// One request, as it ended.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// When it ended.
    pub(crate) at: Timestamp,
    pub(crate) user: Box<str>,
    /// The public model.
    pub(crate) model: Box<str>,
    /// Who was asked last; none where nobody could be.
    pub(crate) endpoint: Option<EndpointKey>,
    pub(crate) status: u16,
    pub(crate) usage: Usage,
    /// The usage is not the upstream's own count.
    pub(crate) estimated: bool,
    /// None where prices are unknown.
    pub(crate) nanodollars: Option<i64>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) latency: Duration,
    pub(crate) attempts: u32,
}

impl Row {
    /// Returns the provider and its model; empty where nobody was asked.
    pub(super) fn backend(&self) -> (&str, &str) {
        let key = self.endpoint.as_ref();
        key.map_or(("", ""), |key| (key.provider.as_str(), &*key.model))
    }

    /// Adds what failed attempts had counted. Nobody knows whether that was all.
    pub(crate) fn add(&mut self, spent: &Spent) {
        let own = self.nanodollars.filter(|_| self.usage != Usage::default());
        let dollars = spent.dollars.map(whole);
        self.nanodollars = own.into_iter().chain(dollars).reduce(i64::saturating_add);
        self.usage = self.usage.plus(spent.usage);
        self.estimated = true;
    }
}

/// Returns what this usage costs, as far as prices are known.
pub(crate) fn nanodollars(usage: Usage, prices: &Prices) -> Option<i64> {
    Tokens::from(usage).cost(prices).map(whole)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, at more dollars than there are"
)]
fn whole(dollars: f64) -> i64 {
    (dollars * NANODOLLARS).round() as i64
}
