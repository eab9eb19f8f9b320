//! `GET /admin/usage`: what was used and what it cost, from the ledger; JSON, or CSV for tables.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Json, Response};
use http::header::CONTENT_TYPE;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tracing::error;

use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::ledger::report::{GroupBy, Period};
use crate::ledger::{Report, Sums};
use crate::telemetry::loss::Loss;

/// How much is shown where nothing is said.
const USUAL: SignedDuration = SignedDuration::from_hours(30 * 24);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const NANODOLLARS: f64 = 1e9;
const COLUMNS: &str = "requests,failed,estimated,input_tokens,cached_input_tokens,\
    cache_write_tokens,output_tokens,reasoning_tokens,cost_usd,average_latency_ms";

/// What is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Wish {
    group_by: Option<GroupBy>,
    /// A date or an instant; a date is its beginning.
    from: Option<Box<str>>,
    /// The same; a date is its end.
    to: Option<Box<str>>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Csv,
}

/// The route's handler.
pub(crate) async fn show(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<Wish>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(wish) = query.map_err(|_| ApiError::invalid_query())?;
    let group_by = wish.group_by.unwrap_or(GroupBy::User);
    let period = period(&wish).ok_or_else(ApiError::invalid_query)?;
    let ledger = gateway.ledger.clone();
    let read = spawn_blocking(move || ledger.report(group_by, period)).await;
    let read = read.map_err(|_| ApiError::internal())?;
    let report = read.ok_or_else(ApiError::no_ledger)?.map_err(|error| {
        error!(%error, "the ledger cannot be read");
        let lost = gateway.ledger.loss().map_or(0, Loss::count);
        ApiError::ledger_unreadable(gateway.ledger.pending().unwrap_or_default(), lost)
    })?;
    Ok(match wish.format {
        Format::Json => Json(shown(group_by, period, &report)).into_response(),
        Format::Csv => {
            let kind = [(CONTENT_TYPE, "text/csv; charset=utf-8")];
            (kind, table(group_by, &report.groups)).into_response()
        }
    })
}

/// Returns the period that is asked for; none where it cannot be read or is empty.
fn period(wish: &Wish) -> Option<Period> {
    let to = match &wish.to {
        Some(text) => instant(text, DAY)?,
        None => Timestamp::now(),
    };
    let from = match &wish.from {
        Some(text) => instant(text, SignedDuration::ZERO)?,
        None => to.checked_sub(USUAL).ok()?,
    };
    (from < to).then(|| Period::covering(from, to))
}

/// Reads an instant, or a date, which is `after` its beginning in UTC.
fn instant(text: &str, after: SignedDuration) -> Option<Timestamp> {
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let date: Date = text.parse().ok()?;
    let begins = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    begins.checked_add(after).ok()
}

fn shown(group_by: GroupBy, period: Period, report: &Report) -> Value {
    let groups = &report.groups;
    let all = groups
        .iter()
        .fold(Sums::default(), |all, (_, sums)| all.plus(sums));
    let rows = groups.iter().map(|(name, sums)| {
        let mut row = json!({ group_by.as_str(): name });
        if let (Some(row), Value::Object(members)) = (row.as_object_mut(), members(sums)) {
            row.extend(members);
        }
        row
    });
    json!({
        "group_by": group_by.as_str(),
        "from": period.from().to_string(),
        "to": period.to().to_string(),
        "rows": rows.collect::<Vec<_>>(),
        "total": members(&all),
        "pending": report.pending,
        "lost": report.lost,
        "timestamp": Timestamp::now().to_string(),
    })
}

fn members(sums: &Sums) -> Value {
    json!({
        "requests": sums.requests,
        "failed": sums.failed,
        "estimated": sums.estimated,
        "input_tokens": input(sums),
        "cached_input_tokens": sums.cache_read,
        "cache_write_tokens": sums.cache_write,
        "output_tokens": output(sums),
        "reasoning_tokens": sums.reasoning,
        "cost_usd": dollars(sums),
        "average_latency_ms": latency(sums),
    })
}

fn table(group_by: GroupBy, groups: &[(String, Sums)]) -> String {
    let mut table = format!("{},{COLUMNS}\n", group_by.as_str());
    for (name, sums) in groups {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{},{},{},{},{},{},{},{},{},{},{}",
            cell(name),
            sums.requests,
            sums.failed,
            sums.estimated,
            input(sums),
            sums.cache_read,
            sums.cache_write,
            output(sums),
            sums.reasoning,
            dollars(sums),
            latency(sums),
        );
    }
    table
}

/// Quotes what would be more than one cell, or a formula where the table is opened.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@']);
    if formula || text.contains(['"', ',', '\n', '\r']) {
        let guard = if formula { "'" } else { "" };
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn input(sums: &Sums) -> i64 {
    sums.uncached + sums.cache_read + sums.cache_write
}

fn output(sums: &Sums) -> i64 {
    sums.visible + sums.reasoning
}

fn dollars(sums: &Sums) -> f64 {
    sums.nanodollars as f64 / NANODOLLARS
}

/// Milliseconds to the microsecond.
fn latency(sums: &Sums) -> f64 {
    (sums.latency_us / sums.requests.max(1)) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(from: Option<&str>, to: Option<&str>) -> Wish {
        Wish {
            group_by: None,
            from: from.map(Into::into),
            to: to.map(Into::into),
            format: Format::Json,
        }
    }

    #[test]
    fn a_period_is_said_in_days_or_instants() {
        for (from, to, expected) in [
            (
                "2026-11-01",
                "2026-11-30",
                ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ),
            (
                "2026-11-01",
                "2026-11-01",
                ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
            ),
            (
                "2026-11-01T10:20:30Z",
                "2026-11-01T11:00:01Z",
                ("2026-11-01T10:00:00Z", "2026-11-01T12:00:00Z"),
            ),
        ] {
            let period = period(&wish(Some(from), Some(to))).expect(from);
            let found = (period.from().to_string(), period.to().to_string());
            assert_eq!(found, (expected.0.to_owned(), expected.1.to_owned()));
        }
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for (from, to) in [
            ("2026-11-02", "2026-11-01"),
            ("yesterday", "2026-11-01"),
            ("2026-11-01", "2026-13-01"),
            ("", ""),
        ] {
            assert_eq!(period(&wish(Some(from), Some(to))), None, "{from} {to}");
        }
    }

    #[test]
    fn a_cell_is_one_cell_and_no_formula() {
        for (text, expected) in [
            ("ada", "ada"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("=1+1", "\"'=1+1\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
