//! `usage`: what was used and what it cost, from the ledger of a running gateway.

use anyhow::Context;
use clap::ValueEnum;
use serde_json::Value;

use crate::args;
use crate::output::{self, Table};
use crate::running::{GatewayArg, Running};

/// What there is in any report.
const REPORT: [&str; 5] = ["group_by", "from", "to", "rows", "total"];

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    gateway: GatewayArg,
    /// By what the sums are told apart
    #[arg(long, value_enum, default_value_t)]
    group_by: GroupBy,
    /// A date (its beginning, in UTC) or an instant; without it, 30 days before `--to`
    #[arg(long, value_name = "WHEN", value_parser = args::text)]
    from: Option<String>,
    /// A date (its end) or an instant; without it, now
    #[arg(long, value_name = "WHEN", value_parser = args::text)]
    to: Option<String>,
    /// How the sums are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Options {
    /// Returns for whom failures are told.
    pub(crate) fn reader(&self) -> args::Format {
        match self.format {
            Format::Json => args::Format::Json,
            Format::Text | Format::Csv => args::Format::Text,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum GroupBy {
    #[default]
    User,
    Model,
    Provider,
    Day,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// A table for people
    #[default]
    Text,
    /// For spreadsheets
    Csv,
    /// For programs: one JSON value
    Json,
}

/// Asks the gateway, and prints what it says.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let gateway = Running::find(&options.gateway)?;
    gateway.require_admin()?;
    let path = path(&options);
    match options.format {
        Format::Csv => {
            let path = format!("{path}&format=csv");
            let table = gateway.ask(&path).await?;
            let table = std::str::from_utf8(&table).ok();
            let is_ours = |table: &&str| table.lines().next().is_some_and(is_head);
            let table = table.filter(is_ours);
            Ok(output::text(
                table.with_context(|| gateway.stranger(&path))?,
            )?)
        }
        Format::Json => output::json(&gateway.ask_json(&path, &REPORT).await?),
        Format::Text => print(&gateway.ask_json(&path, &REPORT).await?),
    }
}

/// Whether a line is the head of our tables for spreadsheets.
fn is_head(line: &str) -> bool {
    let mut names = line.split(',').skip(1);
    names.next() == Some("requests") && names.next() == Some("failed")
}

fn path(options: &Options) -> String {
    let group_by = options.group_by.to_possible_value();
    let group_by = group_by.as_ref().map_or("user", |value| value.get_name());
    let member = |name, value: &Option<String>| match value {
        Some(value) => format!("&{name}={}", escaped(value)),
        None => String::new(),
    };
    let (from, to) = (member("from", &options.from), member("to", &options.to));
    format!("/admin/usage?group_by={group_by}{from}{to}")
}

/// Escapes what would end the value, or be read as something else.
fn escaped(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b':' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    bytes.collect()
}

fn print(report: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let group_by = text(&report["group_by"]);
    output::line(&format!(
        "Usage from {} to {}",
        text(&report["from"]),
        text(&report["to"])
    ))?;
    let mut table = Table::indented();
    let heads = [
        &*group_by,
        "requests",
        "failed",
        "estimated",
        "input",
        "cached",
        "output",
        "reasoning",
        "USD",
        "ms",
    ];
    table.row(heads);
    let rows = report["rows"].as_array().into_iter().flatten();
    for row in rows {
        table.row(cells(&text(&row[&group_by]), row));
    }
    table.row(cells("total", &report["total"]));
    output::text(&table.to_string())?;
    if report["total"]["estimated"] != 0 {
        output::line("  estimated: of those requests, whose tokens no provider counted")?;
    }
    // Older gateways do not say.
    let missing = |member: &str| report[member].as_u64().unwrap_or_default();
    let (pending, lost) = (missing("pending"), missing("lost"));
    if pending + lost > 0 {
        output::line(&format!(
            "  incomplete: {pending} requests wait to be written, {lost} were lost since the gateway began; its log says why"
        ))?;
    }
    Ok(())
}

fn cells(name: &str, sums: &Value) -> [String; 10] {
    let number = |member: &str| sums[member].to_string();
    let cost = sums["cost_usd"].as_f64().unwrap_or_default();
    [
        if name.is_empty() { "(none)" } else { name }.to_owned(),
        number("requests"),
        number("failed"),
        number("estimated"),
        number("input_tokens"),
        number("cached_input_tokens"),
        number("output_tokens"),
        number("reasoning_tokens"),
        format!("{cost:.4}"),
        number("average_latency_ms"),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_estimated_has_a_column_of_its_own() {
        let sums = json!({ "requests": 5, "failed": 1, "estimated": 2, "cost_usd": 0.5 });

        let row = cells("ada", &sums);

        assert_eq!(row[..4], ["ada", "5", "1", "2"]);
    }

    #[test]
    fn a_value_stays_one_value() {
        assert_eq!(escaped("2026-11-01T10:00:00Z"), "2026-11-01T10:00:00Z");
        assert_eq!(escaped("a&b=c d+e"), "a%26b%3Dc%20d%2Be");
    }
}
