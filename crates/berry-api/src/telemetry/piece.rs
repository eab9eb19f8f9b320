//! Pieces of the JSON that lines of the log are made of, written as `serde_json` does, but in less time.

use std::fmt::{self, Write};

use serde::Serialize;

use super::sought::is_mark;

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

    /// Writes the rest of a text whose first quote is there; most have nothing to escape. Returns where it
    /// begins if it is to be looked at.
    pub(super) fn text(&mut self, text: &str) -> Option<usize> {
        let from = self.0.len().saturating_sub(1);
        let is_plain = is_plain(text.as_bytes());
        if is_plain || has_none(text.as_bytes(), is_escaped) {
            self.put(text.as_bytes());
            self.0.push(b'"');
        } else {
            self.0.truncate(from);
            self.value(text);
        }
        (!is_plain).then_some(from)
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
        clippy::cast_sign_loss,
        reason = "the cast saturates, and what comes of it is compared with the number"
    )]
    pub(super) fn real(&mut self, value: f64) {
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

    /// Writes the text of a value, and once more where something in it is to be escaped. Returns where it
    /// begins if it is to be looked at.
    pub(super) fn debug(&mut self, value: &dyn fmt::Debug) -> Option<usize> {
        let before = self.0.len();
        self.0.push(b'"');
        let _ = write!(self, "{value:?}");
        let text = self.0.get(before + 1..).unwrap_or_default();
        let is_plain = is_plain(text);
        if is_plain || has_none(text, is_escaped) {
            self.0.push(b'"');
        } else {
            self.0.truncate(before);
            self.value(format_args!("{value:?}"));
        }
        (!is_plain).then_some(before)
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

/// Returns whether no byte is to be escaped, or marks what is looked for.
fn is_plain(text: &[u8]) -> bool {
    has_none(text, |byte| is_escaped(byte) | is_mark(byte))
}

/// Returns 1 where a byte is to be escaped, without a branch.
#[inline]
fn is_escaped(byte: u8) -> u8 {
    u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
}

/// Returns whether no byte is odd. Bytes are looked at together, and the last ones again however many of them
/// have been seen.
#[inline]
fn has_none(text: &[u8], odd: impl Fn(u8) -> u8 + Copy) -> bool {
    let (blocks, rest) = text.as_chunks::<16>();
    if let Some(last) = text.last_chunk::<16>() {
        let is_clear = |block| none_of_block(block, odd);
        blocks.iter().all(is_clear) && (rest.is_empty() || none_of_block(last, odd))
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        none_of_block(first, odd) & none_of_block(last, odd)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        none_of_block(first, odd) & none_of_block(last, odd)
    } else {
        text.iter().all(|byte| odd(*byte) == 0)
    }
}

/// The same of so many bytes, without a branch: in a few instructions for all of them.
#[inline]
fn none_of_block<const LENGTH: usize>(block: &[u8; LENGTH], odd: impl Fn(u8) -> u8) -> bool {
    block.iter().fold(0, |any, byte| any | odd(*byte)) == 0
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
