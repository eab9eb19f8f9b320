//! When a line was made, as text to the microsecond: `2026-11-21T12:34:56.123456Z`.
//!
//! Of lines of the same second all but the last digits are the same, and kept.

use std::fmt::Write;

use jiff::Timestamp;

use super::piece::last_digits;

const MICROSECONDS: i64 = 1_000_000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Moment {
    second: i64,
    /// That second as text, up to its fraction; empty where none has been written.
    text: String,
}

impl Moment {
    /// Appends the moment.
    pub(super) fn write(&mut self, now: Timestamp, line: &mut Vec<u8>) {
        let now = now.as_microsecond();
        let second = now.div_euclid(MICROSECONDS);
        if self.second != second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            // Writing to a string cannot fail, and a second of a moment that exists does too.
            let whole = Timestamp::from_second(second).unwrap_or_default();
            let _ = write!(self.text, "{whole}");
            self.text.truncate(self.text.trim_end_matches('Z').len());
            self.text.push('.');
        }
        let fraction = now.rem_euclid(MICROSECONDS).unsigned_abs();
        line.extend_from_slice(self.text.as_bytes());
        line.extend_from_slice(&last_digits::<6>(fraction));
        line.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_its_timestamp_is() {
        let mut moment = Moment::default();
        for microsecond in [
            0,
            1,
            999_999,
            1_000_000,
            1_795_264_445_123_456,
            1_795_264_445_000_007,
            1_795_264_446_900_000,
            -1,
            -1_500_000,
            253_402_207_199_999_999,
        ] {
            let now = Timestamp::from_microsecond(microsecond).unwrap();
            let mut line = Vec::new();
            moment.write(now, &mut line);
            assert_eq!(String::from_utf8(line).unwrap(), format!("{now:.6}"));
        }
    }
}
