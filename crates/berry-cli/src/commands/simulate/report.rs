//! How the results of simulations are written.

use std::fmt::Write;
use std::time::Duration;

use berry_loadbalance::simulation::Report;
use serde::Serialize;

use crate::output::Table;

/// One scenario, played with one model's endpoints.
#[derive(Debug, Serialize)]
pub(super) struct Played {
    pub(super) scenario: String,
    pub(super) description: String,
    /// The public name; none where the endpoints are the scenario's own.
    pub(super) model: Option<String>,
    pub(super) endpoints: Vec<String>,
    pub(super) strategies: Vec<Row>,
}

/// What one strategy made of it. Shares are from 0 to 1, times in seconds, costs in US dollars.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    strategy: &'static str,
    requests: u64,
    success_before_failover: f64,
    success_after_failover: f64,
    p50_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    cost_usd: Option<f64>,
    /// The cost in the oracle's.
    cost_by_oracle: Option<f64>,
    /// The answers that each endpoint gave, in their order.
    shares: Vec<f64>,
    /// The attempts that each endpoint got.
    attempts: Vec<u64>,
    ejected_after_seconds: Option<f64>,
    readmitted_after_seconds: Option<f64>,
    restored_after_seconds: Option<f64>,
}

impl Row {
    pub(super) fn new(strategy: &'static str, report: &Report) -> Self {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        Self {
            strategy,
            requests: report.requests,
            success_before_failover: report.success_before_failover(),
            success_after_failover: report.success_after_failover(),
            p50_seconds: seconds(report.p50),
            p99_seconds: seconds(report.p99),
            cost_usd: report.cost,
            cost_by_oracle: report.regret(),
            shares: report.answered().collect(),
            attempts: report.shares.iter().map(|share| share.attempts).collect(),
            ejected_after_seconds: seconds(report.ejected_after),
            readmitted_after_seconds: seconds(report.readmitted_after),
            restored_after_seconds: seconds(report.restored_after),
        }
    }

    fn cells(&self) -> [String; 10] {
        let shares: Vec<String> = self
            .shares
            .iter()
            .map(|s| format!("{:.0}", s * 100.0))
            .collect();
        [
            self.strategy.to_owned(),
            percent(self.success_before_failover),
            percent(self.success_after_failover),
            time(self.p50_seconds),
            time(self.p99_seconds),
            number(self.cost_usd),
            number(self.cost_by_oracle),
            time(self.ejected_after_seconds),
            time(self.readmitted_after_seconds),
            shares.join(" : "),
        ]
    }
}

impl Played {
    /// Returns a heading and a table with a row per strategy.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.title(), self.description);
        let requests = self.strategies.first().map_or(0, |row| row.requests);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{requests} requests to {}\n",
            self.endpoints.join(", ")
        );
        let mut table = Table::default();
        table.row([
            "strategy",
            "1st try %",
            "served %",
            "p50",
            "p99",
            "cost $",
            "x oracle",
            "ejected",
            "back",
            "shares %",
        ]);
        for row in &self.strategies {
            table.row(row.cells());
        }
        let _ = writeln!(text, "{table}");
        text
    }

    fn title(&self) -> String {
        match &self.model {
            Some(model) => format!("{} with {model}", self.scenario),
            None => self.scenario.clone(),
        }
    }
}

/// Returns one table of all that was played: costs in the oracle's, by strategy.
pub(super) fn summary(played: &[Played]) -> String {
    let mut table = Table::default();
    let Some(first) = played.first() else {
        return String::new();
    };
    let names = first.strategies.iter().map(|row| row.strategy.to_owned());
    table.row(std::iter::once("cost x oracle".to_owned()).chain(names));
    for one in played {
        let cells = one.strategies.iter().map(|row| number(row.cost_by_oracle));
        table.row(std::iter::once(one.title()).chain(cells));
    }
    let means = (0..first.strategies.len()).map(|column| {
        let costs = played
            .iter()
            .map(|one| one.strategies.get(column)?.cost_by_oracle);
        let sum: Option<f64> = costs.sum();
        number(sum.map(|sum| sum / played.len() as f64))
    });
    table.row(std::iter::once("mean".to_owned()).chain(means));
    table.to_string()
}

fn percent(share: f64) -> String {
    format!("{:.2}", share * 100.0)
}

/// Writes a time with a unit that suits its length.
fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 100.0 => format!("{seconds:.1} s"),
        Some(seconds) => format!("{:.0} min", seconds / 60.0),
    }
}

fn number(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.2}"))
}
