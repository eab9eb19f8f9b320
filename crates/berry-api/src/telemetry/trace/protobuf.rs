//! Protocol buffers, as much of them as OTLP takes.
//!
//! Spans are written field by field from what is known of a request: no tree of messages is built,
//! and nothing is copied but the bytes that go out.

/// Writes the fields of one message.
#[derive(Debug)]
pub(super) struct Message<'a>(&'a mut Vec<u8>);

/// How a field's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

impl<'a> Message<'a> {
    /// Writes to the end of `bytes`.
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Writes a number, a choice or a truth.
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        self.tag(field, Wire::Varint);
        varint(self.0, value);
    }

    /// Writes a number that is mostly large.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, Wire::Fixed64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// The same with 32 bits.
    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, Wire::Fixed32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes bytes or a text.
    pub(super) fn bytes(&mut self, field: u32, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.begin(field, value.len());
        self.0.extend_from_slice(value);
    }

    /// Writes a message within this one.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message<'_>)) {
        self.tag(field, Wire::Length);
        let start = self.0.len();
        write(&mut Message(self.0));
        // Its length, which nobody knew before, goes before it.
        let mut length = Vec::with_capacity(4);
        varint(&mut length, (self.0.len() - start) as u64);
        self.0.splice(start..start, length);
    }

    /// Begins a field whose bytes will follow.
    pub(super) fn begin(&mut self, field: u32, length: usize) {
        self.tag(field, Wire::Length);
        varint(self.0, length as u64);
    }

    fn tag(&mut self, field: u32, wire: Wire) {
        varint(self.0, u64::from(field) << 3 | wire as u64);
    }
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// A field's value as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Returns the value of a field that occurs once, if it does and the message can be read up to it.
pub(super) fn find(mut message: &[u8], field: u32) -> Option<Value<'_>> {
    while !message.is_empty() {
        let tag = read_varint(&mut message)?;
        let value = match tag & 7 {
            0 => Value::Number(read_varint(&mut message)?),
            1 => Value::Bytes(message.split_off(..8)?),
            2 => {
                let length = usize::try_from(read_varint(&mut message)?).ok()?;
                Value::Bytes(message.split_off(..length)?)
            }
            5 => Value::Bytes(message.split_off(..4)?),
            _ => return None,
        };
        if tag >> 3 == u64::from(field) {
            return Some(value);
        }
    }
    None
}

fn read_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *message.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Message<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut Message::new(&mut bytes));
        bytes
    }

    #[test]
    fn fields_are_written_as_the_encoding_has_them() {
        for (bytes, expected) in [
            // The examples of the encoding's documentation.
            (written(|m| m.varint(1, 150)), vec![0x08, 0x96, 0x01]),
            (
                written(|m| m.bytes(2, "testing")),
                [&[0x12, 0x07][..], b"testing"].concat(),
            ),
            (
                written(|m| m.message(3, |m| m.varint(1, 150))),
                vec![0x1a, 0x03, 0x08, 0x96, 0x01],
            ),
            (
                written(|m| m.fixed64(1, 1)),
                vec![0x09, 1, 0, 0, 0, 0, 0, 0, 0],
            ),
            (written(|m| m.fixed32(16, 2)), vec![0x85, 0x01, 2, 0, 0, 0]),
            (written(|m| m.varint(1, 0)), vec![0x08, 0]),
        ] {
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn a_long_message_has_a_long_length() {
        let bytes = written(|m| m.message(1, |m| m.bytes(2, vec![7; 300])));

        assert_eq!(bytes[..3], [0x0a, 0xaf, 0x02]);
        assert_eq!(bytes.len(), 3 + 3 + 300);
    }

    #[test]
    fn a_field_is_found_behind_others() {
        let message = written(|m| {
            m.fixed64(1, 5);
            m.fixed32(2, 5);
            m.bytes(3, "x");
            m.varint(4, u64::MAX);
        });

        assert_eq!(find(&message, 4), Some(Value::Number(u64::MAX)));
        assert_eq!(find(&message, 3), Some(Value::Bytes(b"x")));
        assert_eq!(find(&message, 5), None);
    }

    #[test]
    fn what_is_no_message_has_no_fields() {
        for bytes in [
            &[0x08][..],
            &[0x0a, 5, 1],
            &[0x09, 1],
            &[0x0b, 1],
            &[0xff; 20],
            &[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            ],
        ] {
            assert_eq!(find(bytes, 1), None, "{bytes:?}");
        }
    }
}
