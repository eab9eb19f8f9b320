//! `GET /admin/usage`: what was used and what it cost, from the ledger; JSON, or CSV for tables.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use http::header::CONTENT_TYPE;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tracing::error;

use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::ledger::report::{GroupBy, Period};
use crate::ledger::{Report, Sums};
use crate::query::{Parameter, Parameters};
use crate::telemetry::loss::Loss;

/// How much is shown where nothing is said.
const USUAL: SignedDuration = SignedDuration::from_hours(30 * 24);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const NANODOLLARS: f64 = 1e9;
const COLUMNS: &str = "requests,failed,estimated,input_tokens,cached_input_tokens,\
    cache_write_tokens,output_tokens,reasoning_tokens,cost_usd,average_latency_ms";

/// What is asked for.
#[derive(Debug)]
struct Wish {
    group_by: GroupBy,
    period: Period,
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
    query: Parameters,
) -> Result<Response, ApiError> {
    let wish = Wish::read(query, Timestamp::now())?;
    let Wish {
        group_by, period, ..
    } = wish;
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

/// What can be read of one end of a period.
const INSTANT: &str = "a date like `2026-11-01` or an instant like `2026-11-01T10:00:00Z`";

impl Wish {
    fn read(query: Parameters, now: Timestamp) -> Result<Self, ApiError> {
        let [group_by, from, to, format] = query.named(["group_by", "from", "to", "format"])?;
        let group_by = group_by.map(|it| it.read("`user`, `model`, `provider` or `day`", named));
        let format = format.map(|it| it.read("`json` or `csv`", named));
        Ok(Self {
            group_by: group_by.transpose()?.unwrap_or(GroupBy::User),
            period: period(from.as_ref(), to.as_ref(), now)?,
            format: format.transpose()?.unwrap_or_default(),
        })
    }
}

/// Reads a name.
fn named<T: DeserializeOwned>(name: &str) -> Option<T> {
    let name: StrDeserializer<'_, Error> = name.into_deserializer();
    T::deserialize(name).ok()
}

/// Returns the period that is asked for: from a date's beginning, to a date's end.
fn period(
    from: Option<&Parameter>,
    to: Option<&Parameter>,
    now: Timestamp,
) -> Result<Period, ApiError> {
    let end = to.map(|to| to.read(INSTANT, |text| instant(text, DAY)));
    let end = end.transpose()?.unwrap_or(now);
    let Some(from) = from else {
        // So long before all time nothing can have been used.
        let begin = end.checked_sub(USUAL).unwrap_or(Timestamp::MIN);
        return Ok(Period::covering(begin, end));
    };
    let begin = from.read(INSTANT, |text| instant(text, SignedDuration::ZERO))?;
    let before = format!("before the end, which is {end}");
    from.read(&before, |_| {
        (begin < end).then(|| Period::covering(begin, end))
    })
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

    fn read(query: &str) -> Result<Wish, ApiError> {
        let uri = format!("/admin/usage?{query}").parse().unwrap();
        Wish::read(Parameters::of(&uri)?, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_period_is_said_in_days_or_instants() {
        for (query, expected) in [
            (
                "from=2026-11-01&to=2026-11-30",
                ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ),
            (
                "to=2026-11-01&from=2026-11-01",
                ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
            ),
            (
                "from=2026-11-01T10:20:30Z&to=2026-11-01T11:00:01Z",
                ("2026-11-01T10:00:00Z", "2026-11-01T12:00:00Z"),
            ),
            ("", ("1969-12-02T00:00:00Z", "1970-01-01T00:00:00Z")),
        ] {
            let period = read(query).expect(query).period;
            let found = (period.from().to_string(), period.to().to_string());
            assert_eq!(found, (expected.0.to_owned(), expected.1.to_owned()));
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
