//! Log lines as JSON: `{timestamp, level, target, message, fields}`, on stdout, in the file, or both.
//!
//! tracing-subscriber's own JSON puts the message among the fields, where the commands that users
//! run on these logs do not look for it. A line is made once, without a tree, whoever gets it.

use std::fmt::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::log_file::LogFile;
use super::queue::Queue;

/// What the fields of most lines fit into.
const USUAL: usize = 1024;
/// What else is in a line, at most usually.
const AROUND: usize = 256;

/// Makes each event a line and gives it to the outputs.
#[derive(Debug)]
pub(super) struct JsonLines {
    /// None where stdout has another form.
    pub(super) stdout: Option<Queue>,
    pub(super) file: LogFile,
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _cx: Context<'_, S>) {
        let file = self.file.queue().filter(|_| self.file.is_on());
        if self.stdout.is_none() && file.is_none() {
            return;
        }
        let line = line(event);
        for queue in self.stdout.iter().chain(file) {
            queue.put(&line);
        }
    }
}

/// Returns the line, with its end.
fn line(event: &Event<'_>) -> Vec<u8> {
    let mut found = Found {
        message: String::new(),
        fields: Json(Vec::with_capacity(USUAL)),
    };
    event.record(&mut found);
    let metadata = event.metadata();
    let mut line = Json(Vec::with_capacity(found.fields.0.len() + AROUND));
    line.put("{\"timestamp\":\"");
    // To the microsecond.
    let _ = write!(line, "{:.6}", Timestamp::now());
    line.put("\",\"level\":\"");
    line.put(metadata.level().as_str());
    line.put("\",\"target\":");
    line.text(metadata.target());
    line.put(",\"message\":");
    line.text(&found.message);
    line.put(",\"fields\":{");
    line.0.extend_from_slice(&found.fields.0);
    line.put("}}\n");
    line.0
}

/// A piece of JSON being written. A vector takes whatever it is given, and all values here can be
/// serialized: nothing fails.
struct Json(Vec<u8>);

impl Json {
    fn put(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn value(&mut self, value: impl Serialize) {
        let _ = serde_json::to_writer(&mut self.0, &value);
    }

    /// Writes a text; most have nothing to escape, which the compiler sees many bytes at a time.
    fn text(&mut self, text: &str) {
        let is_special = |byte| byte < 0x20 || byte == b'"' || byte == b'\\';
        if text.bytes().fold(false, |any, byte| any | is_special(byte)) {
            return self.value(text);
        }
        self.0.reserve(text.len() + 2);
        self.0.push(b'"');
        self.put(text);
        self.0.push(b'"');
    }

    fn name(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        self.text(name);
        self.0.push(b':');
    }

    fn member(&mut self, name: &str, value: impl Serialize) {
        self.name(name);
        self.value(value);
    }
}

impl Write for Json {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text);
        Ok(())
    }
}

/// An event's message and its other fields.
struct Found {
    message: String,
    fields: Json,
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string cannot fail.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.fields.member(field.name(), format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.fields.name(field.name());
            self.fields.text(value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.member(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.member(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.member(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.member(field.name(), value);
    }
}
