//! Pieces of the JSON that lines of the log are made of, written as `serde_json` does, but in less time.

use std::fmt::{self, Write};

use serde::Serialize;

use super::sought::MARKS;

/// A piece of JSON being written. A vector takes whatever it is given, and all values here can be
/// serialized: nothing fails.
#[derive(Default)]
pub(super) struct Json(pub(super) Vec<u8>);

impl Json {
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn value(&mut self, value: impl Serialize) {
        let _ = serde_json::to_writer(&mut self.0, &value);
    }

    /// Writes the rest of a text whose first quote is there; most have nothing to escape.
    pub(super) fn text(&mut self, text: &str) -> Written {
        let from = self.0.len().saturating_sub(1);
        let marks = marks(text.as_bytes());
        if marks & ESCAPED == 0 {
            self.plain_text(text);
        } else {
            self.0.truncate(from);
            self.value(text);
        }
        Written { from, marks }
    }

    /// Writes so many of the bytes.
    pub(super) fn put_start<const ALL: usize>(&mut self, bytes: &[u8; ALL], length: usize) {
        let end = self.0.len() + length;
        self.0.extend_from_slice(bytes);
        self.0.truncate(end);
    }

    /// Writes a whole number; most are short.
    pub(super) fn whole(&mut self, value: u64) {
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
        reason = "the cast saturates, and what comes of it is compared with the number"
    )]
    pub(super) fn real(&mut self, value: f64) {
        let thousandths = (value * 1000.0 + 0.5) as i64;
        let is_same = (thousandths as f64 / 1000.0).to_bits() == value.to_bits();
        if !(0..1 << 50).contains(&thousandths) || !is_same {
            return self.value(value);
        }
        let thousandths = thousandths.unsigned_abs();
        self.whole(thousandths / 1000);
        match last_digits(thousandths) {
            [tenths, b'0', b'0'] => self.put(&[b'.', tenths]),
            [tenths, hundredths, b'0'] => self.put(&[b'.', tenths, hundredths]),
            [tenths, hundredths, rest] => self.put(&[b'.', tenths, hundredths, rest]),
        }
    }

    /// The same of a text that has nothing to escape.
    #[inline]
    pub(super) fn plain_text(&mut self, text: &str) {
        debug_assert!(marks(text.as_bytes()) & ESCAPED == 0, "{text:?}");
        self.put(text.as_bytes());
        self.0.push(b'"');
    }

    /// Writes the text of a value, and once more where something in it is to be escaped.
    pub(super) fn debug(&mut self, value: &dyn fmt::Debug) -> Written {
        let from = self.0.len();
        self.0.push(b'"');
        let _ = write!(self, "{value:?}");
        let marks = marks(self.0.get(from + 1..).unwrap_or_default());
        if marks & ESCAPED == 0 {
            self.0.push(b'"');
        } else {
            self.0.truncate(from);
            self.value(format_args!("{value:?}"));
        }
        Written { from, marks }
    }

    /// Returns what is between the quotes of the text that has been written last.
    pub(super) fn written(&self, text: Written) -> Option<&[u8]> {
        let end = self.0.len().checked_sub(1)?;
        self.0.get(text.from + 1..end)
    }
}

/// A text that has been written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    /// Where its first quote is.
    pub(super) from: usize,
    /// What is in it: a bit for each of [`MARKS`].
    pub(super) marks: u8,
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

/// The bit of the bytes that are to be escaped, beside those of [`MARKS`].
const ESCAPED: u8 = 1 << 7;

/// So many bytes are looked at together.
type Block = [u8; 16];

/// Returns what is in a text.
fn marks(text: &[u8]) -> u8 {
    let (blocks, rest) = text.as_chunks();
    let mut all = 0;
    for block in blocks {
        all |= marks_of(block);
    }
    if !rest.is_empty() {
        all |= marks_of(&last(text));
    }
    all
}

/// Returns the last bytes, whether or not others of a whole block are among them, and nothing odd beside them.
fn last(text: &[u8]) -> Block {
    if let Some(last) = text.last_chunk() {
        return *last;
    }
    let mut block = [b'x'; 16];
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        let both = [*first, *last];
        return both.as_flattened().first_chunk().copied().unwrap_or(block);
    }
    for (to, from) in block.iter_mut().zip(text) {
        *to = *from;
    }
    block
}

/// Returns what is in a block. Most have nothing odd, which takes a few instructions for all of it to see.
#[inline]
fn marks_of(block: &Block) -> u8 {
    let [space, low_line, r, y] = MARKS.map(|mark| move |byte| u8::from(byte == mark));
    let is_odd = |byte| is_escaped(byte) | space(byte) | low_line(byte) | r(byte) | y(byte);
    if !any(block, is_odd) {
        return 0;
    }
    let mut marks = if any(block, is_escaped) { ESCAPED } else { 0 };
    for (bit, is) in [space, low_line, r, y].into_iter().enumerate() {
        marks |= u8::from(any(block, is)) << bit;
    }
    marks
}

/// Returns whether a byte is such a one, without a branch.
#[inline]
fn any(block: &Block, is: impl Fn(u8) -> u8) -> bool {
    block.iter().fold(0, |any, byte| any | is(*byte)) != 0
}

/// Returns 1 where a byte is to be escaped.
#[inline]
fn is_escaped(byte: u8) -> u8 {
    u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_in_a_text_is_seen_wherever_it_is() {
        let odd = MARKS
            .iter()
            .enumerate()
            .map(|(bit, mark)| (*mark, 1 << bit));
        let escaped = b"\"\\\n\0\x1f".iter().map(|byte| (*byte, ESCAPED));
        let others = b"!#[]~\x7f\x80\xff".iter().map(|byte| (*byte, 0));
        for (byte, expected) in odd.chain(escaped).chain(others) {
            for length in 1..40 {
                for at in 0..length {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    assert_eq!(marks(&text), expected, "{byte:#x} at {at} of {length}");
                }
            }
        }
        assert_eq!(marks(b"why ERROR_\n"), 0b1111 | ESCAPED);
        assert_eq!(marks(b""), 0);
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
