//! Log lines as JSON: `{timestamp, level, target, message, fields}`, on stdout, in the file, or both.
//!
//! tracing-subscriber's own JSON puts the message among the fields, where the commands that users
//! run on these logs do not look for it. A line is made once, without a tree, whoever gets it, and in
//! room that its thread keeps: each request has a line, and its making is part of what a request costs.

use std::cell::Cell;
use std::fmt::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
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
    static ROOM: Cell<Making> = Cell::default();
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
    let mut making = ROOM.try_with(Cell::take).unwrap_or_default();
    making.make(event, now);
    show(&making.line.0);
    if making.line.0.capacity() <= USUAL {
        let _ = ROOM.try_with(|room| room.set(making));
    }
}

/// A line that is being made. Fields stand behind the message, which may come after them.
#[derive(Default)]
struct Making {
    moment: Moment,
    line: Json,
    fields: Json,
    has_message: bool,
}

impl Making {
    fn make(&mut self, event: &Event<'_>, now: Timestamp) {
        self.line.0.clear();
        self.fields.0.clear();
        self.has_message = false;
        let metadata = event.metadata();
        self.line.put("{\"timestamp\":\"");
        self.moment.write(now, &mut self.line.0);
        self.line.put("\",\"level\":\"");
        self.line.put(metadata.level().as_str());
        self.line.put("\",\"target\":");
        self.line.text(metadata.target());
        self.line.put(",\"message\":");
        event.record(self);
        if !self.has_message {
            self.line.text("");
        }
        self.line.put(",\"fields\":{");
        let fields = self.fields.0.get(1..).unwrap_or_default();
        self.line.0.extend_from_slice(fields);
        self.line.put("}}\n");
    }

    /// Returns where the value of this field is to be written.
    fn place(&mut self, field: &Field) -> &mut Json {
        if field.name() == "message" {
            self.has_message = true;
            return &mut self.line;
        }
        self.fields.name(field.name());
        &mut self.fields
    }
}

impl Visit for Making {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.place(field).debug(value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.place(field).text(value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.place(field).value(value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.place(field).value(value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.place(field).value(value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.place(field).real(value);
    }
}

/// A piece of JSON being written. A vector takes whatever it is given, and all values here can be
/// serialized: nothing fails.
#[derive(Default)]
struct Json(Vec<u8>);

impl Json {
    fn put(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn value(&mut self, value: impl Serialize) {
        let _ = serde_json::to_writer(&mut self.0, &value);
    }

    /// Writes a text; most have nothing to escape.
    fn text(&mut self, text: &str) {
        if is_plain(text.as_bytes()) {
            self.0.push(b'"');
            self.put(text);
            self.0.push(b'"');
        } else {
            self.value(text);
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
        self.value(thousandths / 1000);
        let mut digits = *b".000";
        let [_, fraction @ ..] = &mut digits;
        let mut rest = thousandths % 1000;
        for digit in fraction.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        let mut text = &digits[..];
        while let [shorter @ .., b'0'] = text
            && shorter.len() > 1
        {
            text = shorter;
        }
        self.0.extend_from_slice(text);
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

    /// Writes a comma and the name of a field: a word of the code, in which nothing is to be escaped.
    fn name(&mut self, name: &str) {
        debug_assert!(is_plain(name.as_bytes()), "{name}");
        self.put(",\"");
        self.put(name);
        self.put("\":");
    }
}

impl Write for Json {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text);
        Ok(())
    }
}

/// Returns whether no byte is to be escaped. Texts here are short: eight bytes are looked at together,
/// and the last eight however many of them have been seen.
fn is_plain(text: &[u8]) -> bool {
    let (words, _) = text.as_chunks();
    if let Some(last) = text.last_chunk() {
        let is_plain = |word: &[u8; 8]| is_plain_word(u64::from_le_bytes(*word));
        return is_plain(last) && words.iter().all(is_plain);
    }
    match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => {
            let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
            is_plain_word((half(last) << 32) | half(first))
        }
        _ => text
            .iter()
            .all(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\')),
    }
}

/// The same of eight bytes. The high bit of each is raised where it is below 0x20 or equals one of the
/// two (Anderson, "Bit Twiddling Hacks": `hasless`, `haszero`); others are raised behind such a one only.
fn is_plain_word(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES * 0x80;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & HIGHS == 0
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
