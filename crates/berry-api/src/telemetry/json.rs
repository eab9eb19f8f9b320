//! Log lines as JSON: `{timestamp, level, target, message, fields}`.
//!
//! tracing-subscriber's own JSON puts the message among the fields, where the commands that users
//! run on these logs do not look for it.

use std::fmt;

use jiff::{Timestamp, Unit};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What most lines fit into.
const USUAL: usize = 512;

/// Formats each event as one line.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _cx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut found = Found {
            message: String::new(),
            fields: Json::default(),
        };
        event.record(&mut found);
        let now = Timestamp::now();
        let now = now.round(Unit::Microsecond).unwrap_or(now);
        let metadata = event.metadata();
        let mut line = Json::default();
        line.member("timestamp", format_args!("{now}"));
        line.member("level", metadata.level().as_str());
        line.member("target", metadata.target());
        line.member("message", &found.message);
        writeln!(
            writer,
            "{{{},\"fields\":{{{}}}}}",
            line.as_str()?,
            found.fields.as_str()?
        )
    }
}

/// Members of an object, in the order in which they are added.
struct Json(Vec<u8>);

impl Default for Json {
    fn default() -> Self {
        Self(Vec::with_capacity(USUAL))
    }
}

impl Json {
    fn member(&mut self, name: &str, value: impl Serialize) {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        // A vector takes whatever is written, and these values are all serializable.
        let _ = serde_json::to_writer(&mut self.0, name);
        self.0.push(b':');
        let _ = serde_json::to_writer(&mut self.0, &value);
    }

    fn as_str(&self) -> Result<&str, fmt::Error> {
        std::str::from_utf8(&self.0).map_err(|_| fmt::Error)
    }
}

/// An event's message and its other fields.
struct Found {
    message: String,
    fields: Json,
}

impl Found {
    fn put(&mut self, field: &Field, value: impl Serialize) {
        self.fields.member(field.name(), value);
    }
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}
