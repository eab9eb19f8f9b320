//! An HTTP/1.1 answer as it arrives, compared with what it must be.
//!
//! It takes bytes in any pieces and keeps none of them but an unfinished line.

use crate::answer::Expected;

use super::Error;

/// One answer being read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    expected: &'a Expected,
    state: State,
    /// The line that has not ended.
    line: Vec<u8>,
    body: Framing,
    /// How much of the body has come.
    read: usize,
    /// How many chunks have come whole.
    chunks: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Status,
    Header,
    Length(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    Complete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Unknown,
    Length(usize),
    Chunked,
}

impl<'a> Reading<'a> {
    /// Begins to read an answer.
    pub(super) fn new(expected: &'a Expected) -> Self {
        Self {
            expected,
            state: State::Status,
            line: Vec::new(),
            body: Framing::Unknown,
            read: 0,
            chunks: 0,
        }
    }

    /// Returns whether all of the answer has come.
    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Returns how many chunks have come whole.
    pub(super) fn chunks(&self) -> usize {
        self.chunks
    }

    /// Returns whether the first content has come.
    pub(super) fn has_content(&self) -> bool {
        self.read >= self.expected.first
    }

    /// Takes more of the answer.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            match self.state {
                State::Complete => {
                    return Err(format!("bytes after the answer: {}", shown(bytes)).into());
                }
                State::Length(left) | State::Chunk(left) => {
                    let (now, rest) = bytes.split_at(left.min(bytes.len()));
                    self.compare(now)?;
                    bytes = rest;
                    self.state = match (self.state, left - now.len()) {
                        (State::Length(_), 0) => State::Complete,
                        (State::Length(_), left) => State::Length(left),
                        (_, 0) => State::ChunkEnd,
                        (_, left) => State::Chunk(left),
                    };
                }
                _ => {
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        self.line.extend_from_slice(bytes);
                        return Ok(());
                    };
                    let (now, rest) = bytes.split_at(end + 1);
                    bytes = rest;
                    if self.line.is_empty() {
                        self.state = self.after_line(now)?;
                    } else {
                        let mut line = std::mem::take(&mut self.line);
                        line.extend_from_slice(now);
                        self.state = self.after_line(&line)?;
                    }
                }
            }
        }
        if self.is_complete() && self.read != self.expected.body.len() {
            let whole = self.expected.body.len();
            return Err(format!("the answer ends after {} of {whole} bytes", self.read).into());
        }
        Ok(())
    }

    fn after_line(&mut self, line: &[u8]) -> Result<State, Error> {
        let line = line.trim_ascii_end();
        Ok(match self.state {
            State::Status if line.starts_with(b"HTTP/1.1 200") => State::Header,
            State::Header if line.is_empty() => match self.body {
                Framing::Length(length) => State::Length(length),
                Framing::Chunked => State::ChunkSize,
                Framing::Unknown => return Err("an answer without a length".into()),
            },
            State::Header => {
                self.header(line)?;
                State::Header
            }
            State::ChunkSize => match number(line, 16)? {
                0 => State::Trailer,
                size => State::Chunk(size),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailer if line.is_empty() => State::Complete,
            _ => return Err(format!("an answer with the line {}", shown(line)).into()),
        })
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Error> {
        let colon = memchr::memchr(b':', line).ok_or("a header without a colon")?;
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            self.body = Framing::Length(number(value[1..].trim_ascii(), 10)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.body = Framing::Chunked;
        }
        Ok(())
    }

    fn compare(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let end = self.read + bytes.len();
        if self.expected.body.get(self.read..end) != Some(bytes) {
            return Err(format!("other bytes at {}: {}", self.read, shown(bytes)).into());
        }
        self.read = end;
        while self
            .expected
            .ends
            .get(self.chunks)
            .is_some_and(|chunk| *chunk <= end)
        {
            self.chunks += 1;
        }
        Ok(())
    }
}

fn number(text: &[u8], radix: u32) -> Result<usize, Error> {
    let text = std::str::from_utf8(text)?;
    Ok(usize::from_str_radix(text, radix)?)
}

fn shown(bytes: &[u8]) -> String {
    format!(
        "`{}`",
        String::from_utf8_lossy(&bytes[..bytes.len().min(400)])
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;

    fn expected() -> Expected {
        Expected::of(Answer::of("burst-2").expect("an answer"))
    }

    /// Frames a body in chunks of other sizes than its events.
    fn chunked(body: &[u8]) -> Vec<u8> {
        let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for part in body.chunks(300) {
            wire.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            wire.extend_from_slice(part);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire
    }

    fn whole(body: &[u8]) -> Vec<u8> {
        let mut wire =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        wire.extend_from_slice(body);
        wire
    }

    #[test]
    fn an_answer_is_read_in_pieces_of_any_length() {
        let expected = expected();
        for wire in [chunked(&expected.body), whole(&expected.body)] {
            for length in [1, 2, 7, 100, 10_000] {
                let mut reading = Reading::new(&expected);
                for piece in wire.chunks(length) {
                    assert!(!reading.is_complete());
                    reading.take(piece).expect("a right answer");
                }
                assert!(reading.is_complete());
                assert!(reading.has_content());
                assert_eq!(reading.chunks(), 5);
            }
        }
    }

    #[test]
    fn a_chunk_counts_when_it_is_whole() {
        let expected = expected();
        let mut reading = Reading::new(&expected);
        let wire = whole(&expected.body);
        let head = wire.len() - expected.body.len();
        reading
            .take(&wire[..head + expected.ends[0]])
            .expect("a right answer");
        assert_eq!((reading.chunks(), reading.has_content()), (1, false));
        reading
            .take(&wire[head + expected.ends[0]..head + expected.ends[1] - 1])
            .expect("more");
        assert_eq!((reading.chunks(), reading.has_content()), (1, false));
        reading
            .take(&wire[head + expected.ends[1] - 1..][..1])
            .expect("more");
        assert_eq!((reading.chunks(), reading.has_content()), (2, true));
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let expected = expected();
        let body = &expected.body[..];
        let mut other = body.to_vec();
        other[700] ^= 1;
        let longer = [body, b"data: more\n\n"].concat();
        let cases: [(&str, Vec<u8>); 8] = [
            (
                "another status",
                b"HTTP/1.1 502 Bad Gateway\r\n\r\n".to_vec(),
            ),
            ("no length", b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
            ("another byte", chunked(&other)),
            ("too long", chunked(&longer)),
            ("cut off", chunked(&body[..body.len() - 1])),
            ("cut off, with a length", whole(&body[..body.len() - 1])),
            (
                "a broken chunk",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n".to_vec(),
            ),
            (
                "bytes after the end",
                [whole(body), b"more".to_vec()].concat(),
            ),
        ];
        for (name, wire) in cases {
            assert!(Reading::new(&expected).take(&wire).is_err(), "{name}");
        }
    }
}
