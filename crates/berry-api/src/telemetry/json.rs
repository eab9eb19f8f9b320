//! Log lines as JSON: `{timestamp, level, target, message, fields}`, on stdout, in the file, or both.
//!
//! tracing-subscriber's own JSON puts the message among the fields, where the commands that users
//! run on these logs do not look for it. A line is made once, without a tree, whoever gets it, and in
//! room that its thread keeps: each request has a line, and its making is part of what a request costs.
//! What others have written does not make it a line that somebody looks for ([`super::sought`]).

use std::cell::Cell;
use std::fmt;

use jiff::Timestamp;
use serde_json::Value;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::log_file::LogFile;
use super::moment::Moment;
use super::piece::{Json, Written};
use super::queue::Queue;
use super::sought::{self, Word};

/// The longest line whose room is kept for the next one; with bodies in them lines may be very long.
const USUAL: usize = 4 * 1024;

thread_local! {
    /// Empty while a line is being made: what is logged meanwhile, while a value says what it is, takes
    /// room of its own.
    static ROOM: Cell<Option<Box<Making>>> = Cell::default();
}

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
        with_line(event, Timestamp::now(), |line| {
            for queue in self.stdout.iter().chain(file) {
                queue.put(line);
            }
        });
    }
}

/// Makes the line, with its end, and shows it.
fn with_line(event: &Event<'_>, now: Timestamp, show: impl FnOnce(&[u8])) {
    // A thread that ends has nothing to keep.
    let kept = ROOM.try_with(Cell::take).unwrap_or_default();
    let mut making = kept.unwrap_or_default();
    making.make(event, now);
    show(&making.line.0);
    if making.line.0.capacity() <= USUAL {
        let _ = ROOM.try_with(|room| room.set(Some(making)));
    }
}

/// A line that is being made. Fields stand behind the message, which may come after them.
#[derive(Default)]
struct Making {
    moment: Moment,
    shape: Shape,
    line: Json,
    fields: Json,
    has_message: bool,
}

impl Making {
    fn make(&mut self, event: &Event<'_>, now: Timestamp) {
        self.line.0.clear();
        self.fields.0.clear();
        self.has_message = false;
        self.shape.fit(event.metadata());
        self.line.put(b"{\"timestamp\":\"");
        self.moment.write(now, &mut self.line.0);
        self.line.put(&self.shape.head);
        event.record(self);
        if !self.has_message {
            self.line.put(b"\"\"");
        }
        self.line.put(b",\"fields\":{");
        let fields = self.fields.0.get(1..).unwrap_or_default();
        self.line.put(fields);
        self.line.put(b"}}\n");
    }

    /// Returns where the value of this field is to be written, behind its name and what begins the value.
    #[inline]
    fn place(&mut self, field: &Field, begin: Begin) -> &mut Json {
        match self.shape.names.get(field.index()) {
            Some(Name::Short { name, length, .. }) => {
                let without = usize::from(begin == Begin::Bare);
                self.fields.put_start(name, length - without);
                &mut self.fields
            }
            _ => self.unusual_place(field.index(), begin),
        }
    }

    #[cold]
    fn unusual_place(&mut self, index: usize, begin: Begin) -> &mut Json {
        let json = if let Some(Name::Long(name)) = self.shape.names.get(index) {
            self.fields.put(name);
            &mut self.fields
        } else {
            self.has_message = true;
            self.line.0.push(b'"');
            &mut self.line
        };
        if begin == Begin::Bare {
            json.0.pop();
        }
        json
    }

    /// Returns whether this text of the field is our own: it is meant, and has nothing to escape.
    #[inline]
    fn is_own(&self, field: &Field, text: &str) -> bool {
        match self.shape.names.get(field.index()) {
            Some(Name::Short { is_own, .. }) => *is_own,
            Some(Name::Message) => sought::is_meant(text.as_bytes()),
            _ => false,
        }
    }

    /// Hides what others look for in the text that has been written last, as this field.
    #[inline]
    fn look_at(&mut self, field: &Field, text: Written) {
        if text.marks & self.shape.marks != 0 {
            self.look_closer(field, text);
        }
    }

    #[cold]
    fn look_closer(&mut self, field: &Field, text: Written) {
        let json = match self.shape.names.get(field.index()) {
            Some(Name::Message) => {
                if self.line.written(text).is_some_and(sought::is_meant) {
                    return;
                }
                &mut self.line
            }
            _ => &mut self.fields,
        };
        sought::hide(&self.shape.strange, &mut json.0, text);
    }
}

/// How a value begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    Bare,
    /// With the quote.
    Text,
}

impl Visit for Making {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = self.place(field, Begin::Bare).debug(value);
        self.look_at(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let is_own = self.is_own(field, value);
        let json = self.place(field, Begin::Text);
        if is_own {
            json.plain_text(value);
        } else {
            let text = json.text(value);
            self.look_at(field, text);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.place(field, Begin::Bare).value(value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.place(field, Begin::Bare).value(value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.place(field, Begin::Bare).whole(value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.place(field, Begin::Bare).real(value);
    }
}

/// What all lines of one place in the code have in common. Most come from the same place as the one before.
#[derive(Default)]
struct Shape {
    of: Option<Identifier>,
    /// What stands between the moment and the message.
    head: Vec<u8>,
    names: Vec<Name>,
    /// What is looked for in other lines.
    strange: Vec<&'static Word>,
    /// Their marks.
    marks: u8,
}

/// A field's name as it stands before a text: `,"name":"`.
enum Name {
    Short {
        /// As many bytes are copied of each: that takes less than to call what copies any number.
        name: [u8; 24],
        /// So many of them are the name.
        length: usize,
        /// The texts of the field are our own.
        is_own: bool,
    },
    Long(Box<[u8]>),
    /// It has no name: it is the message.
    Message,
}

impl Name {
    /// Texts of our own are in lines that are `ours`.
    fn new(field: &str, is_ours: bool) -> Self {
        if field == "message" {
            return Self::Message;
        }
        let whole = format!(",{}:\"", Value::from(field));
        let mut name = [0; 24];
        match name.get_mut(..whole.len()) {
            Some(start) => {
                start.copy_from_slice(whole.as_bytes());
                Self::Short {
                    name,
                    length: whole.len(),
                    is_own: is_ours && sought::is_own(field),
                }
            }
            None => Self::Long(whole.into_bytes().into()),
        }
    }
}

impl Shape {
    /// Makes it that of the place which this describes.
    fn fit(&mut self, metadata: &Metadata<'_>) {
        let of = Some(metadata.callsite());
        if self.of == of {
            return;
        }
        self.of = of;
        let mut head = Json::default();
        head.put(b"\",\"level\":");
        head.value(metadata.level().as_str());
        head.put(b",\"target\":");
        head.value(metadata.target());
        head.put(b",\"message\":");
        self.head = head.0;
        let is_ours = metadata.target().starts_with("berry_");
        let names = metadata.fields().iter().map(|field| field.name());
        self.names = names.map(|name| Name::new(name, is_ours)).collect();
        self.strange = Word::strange_to(metadata);
        let marks = self.strange.iter().map(|word| word.mark());
        self.marks = marks.fold(0, |all, mark| all | mark);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::{error, info, subscriber};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Keeps lines of one moment.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _cx: Context<'_, S>) {
            with_line(event, Timestamp::UNIX_EPOCH, |line| {
                let line = String::from_utf8(line.to_owned()).unwrap();
                self.0.lock().push(line);
            });
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<String> {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(kept.clone());
        subscriber::with_default(subscriber, log);
        std::mem::take(&mut kept.0.lock())
    }

    fn line(level: &str, rest: &str) -> String {
        let time = "1970-01-01T00:00:00.000000Z";
        format!("{{\"timestamp\":\"{time}\",\"level\":\"{level}\",\"target\":\"t\",{rest}}}\n")
    }

    #[test]
    fn a_line_has_its_fields_behind_its_message() {
        let none: Option<u64> = None;
        let logged = lines(|| {
            info!(target: "t", text = "a", none, number = 7_u16, less = -7, real = 2.0, yes = true, "said");
            error!(target: "t", part = 1.25, endless = f64::NAN, shown = %"b", debug = ?"c", "said {}", "\"it\"");
            info!(target: "t", alone = 1);
            info!(target: "t", after = 1, message = "last");
            info!(target: "t", "alone");
        });

        let said =
            r#""message":"said","fields":{"text":"a","number":7,"less":-7,"real":2.0,"yes":true}"#;
        let quoted = r#""message":"said \"it\"","fields":{"part":1.25,"endless":null,"shown":"b","debug":"\"c\""}"#;
        let expected = [
            line("INFO", said),
            line("ERROR", quoted),
            line("INFO", r#""message":"","fields":{"alone":1}"#),
            line("INFO", r#""message":"last","fields":{"after":1}"#),
            line("INFO", r#""message":"alone","fields":{}"#),
        ];
        assert_eq!(logged, expected);
    }

    #[test]
    fn a_line_has_no_word_that_is_looked_for_in_others() {
        let user = "/ERROR/latency/health_check";
        let logged = lines(|| {
            info!(target: "t", user, shown = %user, debug = ?["ERROR"], "Starting Berry API");
            error!(target: "t", user, latency_ms = 1.5, "the latency");
            info!(target: "health_check", user);
            info!(target: "berry_api", event = "selected backend", request_id = "selected backend");
            info!(target: "another", event = "selected backend");
            info!(target: "t", "no latency {}", "Authentication failed");
        });

        let hidden = r"/\u0045RROR/\u006catency/\u0068ealth_check";
        let expected = [
            line(
                "INFO",
                &format!(
                    r#""message":"Starting Berry API","fields":{{"user":"{hidden}","shown":"{hidden}","debug":"[\"\u0045RROR\"]"}}"#
                ),
            ),
            line(
                "ERROR",
                r#""message":"the latency","fields":{"user":"/ERROR/latency/\u0068ealth_check","latency_ms":1.5}"#,
            ),
            line(
                "INFO",
                r#""message":"","fields":{"user":"/\u0045RROR/\u006catency/health_check"}"#,
            )
            .replace("\"t\"", "\"health_check\""),
            line(
                "INFO",
                r#""message":"","fields":{"event":"selected backend","request_id":"\u0073elected backend"}"#,
            )
            .replace("\"t\"", "\"berry_api\""),
            line(
                "INFO",
                r#""message":"","fields":{"event":"\u0073elected backend"}"#,
            )
            .replace("\"t\"", "\"another\""),
            line(
                "INFO",
                r#""message":"no \u006catency \u0041uthentication failed","fields":{}"#,
            ),
        ];
        assert_eq!(logged, expected);
    }

    /// Makes each line again while it is being shown.
    struct Nested;

    impl<S: Subscriber> Layer<S> for Nested {
        fn on_event(&self, event: &Event<'_>, _cx: Context<'_, S>) {
            with_line(event, Timestamp::UNIX_EPOCH, |outer| {
                let before = outer.to_owned();
                with_line(event, Timestamp::UNIX_EPOCH, |inner| {
                    assert_eq!(inner, outer);
                });
                assert_eq!(outer, before);
            });
        }
    }

    #[test]
    fn a_line_may_be_made_while_another_is() {
        let subscriber = tracing_subscriber::registry().with(Nested);
        subscriber::with_default(subscriber, || info!(target: "t", number = 1, "said"));
    }

    #[test]
    fn a_field_may_have_a_long_name() {
        let logged = lines(|| {
            info!(target: "t", a_name_of_as_many_bytes = 1, a_name_that_is_longer_than_most_are = "b", "said");
        });

        let expected = r#""message":"said","fields":{"a_name_of_as_many_bytes":1,"a_name_that_is_longer_than_most_are":"b"}"#;
        assert_eq!(logged, [line("INFO", expected)]);
    }
}
