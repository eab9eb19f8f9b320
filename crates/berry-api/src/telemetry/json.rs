//! Log lines as JSON: `{timestamp, level, target, message, fields}`, on stdout, in the file, or both.
//!
//! tracing-subscriber's own JSON puts the message among the fields, where the commands that users
//! run on these logs do not look for it. A line is made once, without a tree, whoever gets it, and in
//! room that its thread keeps: each request has a line, and its making is part of what a request costs.

use std::cell::Cell;
use std::fmt::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::log_file::LogFile;
use super::moment::Moment;
use super::queue::Queue;

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
            Some(Name::Short(name, length)) => {
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
        self.place(field, Begin::Bare).debug(value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.place(field, Begin::Text).text(value);
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
}

/// A field's name as it stands before a text: `,"name":"`.
enum Name {
    /// So many of the bytes. As many are copied of each: that takes less than to call what copies any number.
    Short([u8; 24], usize),
    Long(Box<[u8]>),
    /// It has no name: it is the message.
    Message,
}

impl Name {
    fn new(name: &str) -> Self {
        if name == "message" {
            return Self::Message;
        }
        let whole = format!(",{}:\"", Value::from(name));
        let mut short = [0; 24];
        match short.get_mut(..whole.len()) {
            Some(start) => {
                start.copy_from_slice(whole.as_bytes());
                Self::Short(short, whole.len())
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
        let names = metadata.fields().iter();
        self.names = names.map(|field| Name::new(field.name())).collect();
    }
}

/// A piece of JSON being written. A vector takes whatever it is given, and all values here can be
/// serialized: nothing fails.
#[derive(Default)]
struct Json(Vec<u8>);

impl Json {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn value(&mut self, value: impl Serialize) {
        let _ = serde_json::to_writer(&mut self.0, &value);
    }

    /// Writes the rest of a text whose first quote is there; most have nothing to escape.
    fn text(&mut self, text: &str) {
        if is_plain(text.as_bytes()) {
            self.put(text.as_bytes());
            self.0.push(b'"');
        } else {
            self.0.pop();
            self.value(text);
        }
    }

    /// Writes so many of the bytes.
    fn put_start<const ALL: usize>(&mut self, bytes: &[u8; ALL], length: usize) {
        let end = self.0.len() + length;
        self.0.extend_from_slice(bytes);
        self.0.truncate(end);
    }

    /// Writes a whole number; most are short.
    fn whole(&mut self, value: u64) {
        match value {
            0..10 => self.put(&last_digits::<1>(value)),
            10..100 => self.put(&last_digits::<2>(value)),
            100..1000 => self.put(&last_digits::<3>(value)),
            1000.. => {
                self.whole(value / 1000);
                self.put(&last_digits::<3>(value));
            }
        }
    }

    /// Writes a number. Most are times of whole thousandths, whose text is found in less time than the
    /// shortest one of any number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and what comes of it is compared with the number"
    )]
    fn real(&mut self, value: f64) {
        let thousandths = (value * 1000.0 + 0.5) as u64;
        let is_same = (thousandths as f64 / 1000.0).to_bits() == value.to_bits();
        if thousandths >= 1 << 50 || !is_same {
            return self.value(value);
        }
        self.whole(thousandths / 1000);
        match last_digits(thousandths) {
            [tenths, b'0', b'0'] => self.put(&[b'.', tenths]),
            [tenths, hundredths, b'0'] => self.put(&[b'.', tenths, hundredths]),
            [tenths, hundredths, rest] => self.put(&[b'.', tenths, hundredths, rest]),
        }
    }

    /// Writes the text of a value, and once more where something in it is to be escaped.
    fn debug(&mut self, value: &dyn fmt::Debug) {
        let before = self.0.len();
        self.0.push(b'"');
        let _ = write!(self, "{value:?}");
        if self.0.get(before + 1..).is_some_and(is_plain) {
            self.0.push(b'"');
        } else {
            self.0.truncate(before);
            self.value(format_args!("{value:?}"));
        }
    }
}

impl Write for Json {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// Returns the last digits of a number.
#[inline]
pub(super) fn last_digits<const COUNT: usize>(mut number: u64) -> [u8; COUNT] {
    let mut digits = [b'0'; COUNT];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    digits
}

/// Returns whether no byte is to be escaped. Bytes are looked at together, and the last ones again however
/// many of them have been seen.
fn is_plain(text: &[u8]) -> bool {
    let (blocks, rest) = text.as_chunks();
    if let Some(last) = text.last_chunk::<16>() {
        blocks.iter().all(is_plain_block::<16>) && (rest.is_empty() || is_plain_block(last))
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        is_plain_block(first) & is_plain_block(last)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        is_plain_block(first) & is_plain_block(last)
    } else {
        text.iter().all(|byte| is_plain_block(&[*byte]))
    }
}

/// The same of so many bytes, without a branch: in a few instructions for all of them.
#[inline]
fn is_plain_block<const LENGTH: usize>(block: &[u8; LENGTH]) -> bool {
    let odd = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    block.iter().fold(0, |any, byte| any | odd(*byte)) == 0
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

    #[test]
    fn whole_numbers_are_written_as_serde_json_does() {
        for value in (0..12_000).chain([999_999, 1_000_000, 10_000_001, u64::MAX]) {
            let mut json = Json::default();
            json.whole(value);
            assert_eq!(json.0, serde_json::to_vec(&value).unwrap());
        }
    }

    #[test]
    fn numbers_are_written_as_serde_json_does() {
        let times = (0..5_000).map(|number| f64::from(number) / 1000.0);
        let others = [
            0.0005,
            1.2345,
            12.0,
            600_000.125,
            1e9,
            1e12,
            1e15,
            1e16,
            1e300,
            -0.0,
            -1.5,
            0.1 + 0.2,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            1_125_899_906_842.624,
        ];
        for value in times.chain(others) {
            let mut json = Json::default();
            json.real(value);
            assert_eq!(json.0, serde_json::to_vec(&value).unwrap(), "{value}");
        }
    }

    #[test]
    fn texts_are_escaped_as_serde_json_does() {
        let specials = [
            "\"", "\\", "\n", "\u{1}", "\u{1f}", " ", "!", "#", "[", "]", "\u{7f}", "é",
            "\u{2028}", "😀",
        ];
        for special in specials {
            for length in 0..20 {
                for at in 0..=length {
                    let text =
                        ["x".repeat(at).as_str(), special, &"x".repeat(length - at)].concat();
                    let mut json = Json::default();
                    json.put(b"\"");
                    json.text(&text);
                    assert_eq!(json.0, serde_json::to_vec(&text).unwrap(), "{text:?}");
                    let mut json = Json::default();
                    json.debug(&format_args!("{text}"));
                    assert_eq!(json.0, serde_json::to_vec(&text).unwrap(), "{text:?}");
                }
            }
        }
    }
}
