//! Takes the content out of a chunked body.
//!
//! It works in the place where the bytes were read to: what is content moves to the front, over the
//! sizes before it, so that all chunks of a read become one piece.

use crate::upstream::http1::NotHttp;

/// The most that may stand beside a size, as extensions, or behind all content, as trailers: nobody
/// reads them.
const EXTRA: u32 = 16 * 1024;
/// The digits of the greatest size.
const DIGITS: u8 = 16;

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A size, of which this many digits were read.
    Size(u8),
    /// Blanks behind a size.
    Blank,
    Extension,
    /// The end of a size's line.
    SizeLf,
    Content,
    /// The ends of a chunk.
    ContentCr,
    ContentLf,
    /// A trailer, or the end of them.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    End,
    /// What came makes no sense, and neither does what follows.
    Nowhere(NotHttp),
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Chunks {
    place: Place,
    /// Of the chunk's content.
    left: u64,
    /// What has come beside the size, or of the trailers.
    extra: u32,
}

impl Chunks {
    /// Stands at the beginning of a body.
    pub(super) fn begin() -> Self {
        Self {
            place: Place::Size(0),
            left: 0,
            extra: 0,
        }
    }

    /// Returns how much content follows before anything else.
    pub(super) fn run(&self) -> u64 {
        match self.place {
            Place::Content => self.left,
            _ => 0,
        }
    }

    /// Notes that as much content, of a [`run`](Self::run), was read elsewhere.
    pub(super) fn skip(&mut self, content: u64) {
        self.left = self.left.saturating_sub(content);
        if self.left == 0 {
            self.place = Place::ContentCr;
        }
    }

    /// Returns whether the body is at its end.
    pub(super) fn at_end(&self) -> bool {
        self.place == Place::End
    }

    /// Returns what is wrong with the body, behind all content that was taken out.
    pub(super) fn fault(&self) -> Option<NotHttp> {
        match self.place {
            Place::Nowhere(fault) => Some(fault),
            _ => None,
        }
    }

    /// Moves the content of what was read to its front. Returns how much content there is, and how much
    /// belonged to the body.
    pub(super) fn compact(&mut self, bytes: &mut [u8]) -> (usize, usize) {
        let (mut content, mut at) = (0, 0);
        while let Some(&byte) = bytes.get(at) {
            match self.place {
                Place::Content => {
                    let rest = bytes.len() - at;
                    let run = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                    bytes.copy_within(at..at + run, content);
                    self.skip(run as u64);
                    content += run;
                    at += run;
                }
                Place::End | Place::Nowhere(_) => break,
                place => {
                    self.place = self.step(place, byte);
                    at += 1;
                }
            }
        }
        (content, at)
    }

    fn step(&mut self, place: Place, byte: u8) -> Place {
        match (place, byte) {
            (Place::Size(1..) | Place::Blank | Place::Extension, b'\r') => Place::SizeLf,
            (Place::Size(digits), _) if byte.is_ascii_hexdigit() => self.digit(digits, byte),
            (Place::Size(1..) | Place::Blank, b' ' | b'\t') => self.beside(Place::Blank, byte),
            (Place::Size(1..) | Place::Blank, b';') | (Place::Extension, _) => {
                self.beside(Place::Extension, byte)
            }
            (Place::SizeLf, b'\n') => {
                self.extra = 0;
                if self.left == 0 {
                    Place::TrailerStart
                } else {
                    Place::Content
                }
            }
            (Place::ContentCr, b'\r') => Place::ContentLf,
            (Place::ContentLf, b'\n') => Place::Size(0),
            (Place::TrailerStart, b'\r') => Place::EndLf,
            (Place::Trailer, b'\r') => Place::TrailerLf,
            (Place::TrailerStart | Place::Trailer, _) => self.beside(Place::Trailer, byte),
            (Place::TrailerLf, b'\n') => Place::TrailerStart,
            (Place::EndLf, b'\n') => Place::End,
            (Place::Size(_) | Place::Blank | Place::SizeLf, _) => {
                Place::Nowhere(NotHttp::ChunkSize)
            }
            _ => Place::Nowhere(NotHttp::ChunkEnd),
        }
    }

    fn digit(&mut self, digits: u8, byte: u8) -> Place {
        if digits == DIGITS {
            return Place::Nowhere(NotHttp::ChunkSize);
        }
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        self.left = self.left << 4 | u64::from(value);
        Place::Size(digits + 1)
    }

    fn beside(&mut self, place: Place, byte: u8) -> Place {
        self.extra += 1;
        if self.extra > EXTRA || (byte.is_ascii_control() && byte != b'\t') {
            return Place::Nowhere(NotHttp::ChunkExtra);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes a body that is read in these pieces; returns its content and what is left over.
    fn decode(pieces: &[&[u8]]) -> (Chunks, Vec<u8>, Vec<u8>) {
        let (mut chunks, mut content, mut over) = (Chunks::begin(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut bytes = piece.to_vec();
            let (kept, read) = chunks.compact(&mut bytes);
            content.extend_from_slice(&bytes[..kept]);
            over.extend_from_slice(&piece[read..]);
        }
        (chunks, content, over)
    }

    #[test]
    fn chunks_of_one_read_become_one_piece() {
        let body = b"3\r\nabc\r\n00A ;x=\"y\"\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\nrest";

        let (chunks, content, over) = decode(&[body]);

        assert!(chunks.at_end());
        assert_eq!(content, b"abc0123456789");
        assert_eq!(over, b"rest");
    }

    #[test]
    fn a_body_is_the_same_wherever_it_is_cut() {
        let body = b"3;x\r\nabc\r\n0\r\na: b\r\n\r\n!";
        for cut in 0..=body.len() {
            let (before, after) = body.split_at(cut);

            let (chunks, content, over) = decode(&[before, after]);

            assert!(chunks.at_end(), "{cut}");
            assert_eq!(
                (content.as_slice(), over.as_slice()),
                (&b"abc"[..], &b"!"[..]),
                "{cut}"
            );
        }
    }

    #[test]
    fn content_before_what_is_wrong_is_content() {
        let long = "x".repeat(EXTRA as usize);
        for (bad, fault) in [
            ("zz\r\n", NotHttp::ChunkSize),
            ("\r\n", NotHttp::ChunkSize),
            (" 1\r\n", NotHttp::ChunkSize),
            ("-1\r\n", NotHttp::ChunkSize),
            ("0x1\r\n", NotHttp::ChunkSize),
            ("1 1\r\n", NotHttp::ChunkSize),
            ("1\n1", NotHttp::ChunkSize),
            ("1\r1", NotHttp::ChunkSize),
            ("10000000000000000\r\n", NotHttp::ChunkSize),
            ("00000000000000001\r\n", NotHttp::ChunkSize),
            ("1\r\nab\r\n", NotHttp::ChunkEnd),
            ("0\r\nx: y\rz", NotHttp::ChunkEnd),
            ("0\r\n\rx", NotHttp::ChunkEnd),
            ("1;a\nb\r\n", NotHttp::ChunkExtra),
            ("0\r\nx\ny\r\n", NotHttp::ChunkExtra),
            (&format!("1;{long}"), NotHttp::ChunkExtra),
            (&format!("0\r\n{long}:"), NotHttp::ChunkExtra),
            (&format!("1 {long}").replace('x', " "), NotHttp::ChunkExtra),
        ] {
            let body = format!("3\r\nabc\r\n{bad}");

            let (chunks, content, _) = decode(&[body.as_bytes()]);

            let shown = bad.get(..20).unwrap_or(bad);
            assert_eq!(chunks.fault(), Some(fault), "{shown}");
            assert!(content.starts_with(b"abc"), "{shown}");
        }
    }

    #[test]
    fn every_chunk_may_have_its_extension() {
        let long = "x".repeat(EXTRA as usize - 1);
        let body = format!("1;{long}\r\na\r\n1;{long}\r\nb\r\n0;{long}\r\n{long}:\r\n\r\n");

        let (chunks, content, _) = decode(&[body.as_bytes()]);

        assert!(chunks.at_end(), "{:?}", chunks.fault());
        assert_eq!(content, b"ab");
    }

    #[test]
    fn what_is_read_elsewhere_is_counted() {
        let mut chunks = Chunks::begin();

        chunks.compact(&mut b"ffffffffffffffff\r\n"[..].to_vec());
        assert_eq!(chunks.run(), u64::MAX);

        chunks.skip(u64::MAX - 1);
        assert_eq!(chunks.run(), 1);
        chunks.skip(1);
        assert_eq!(chunks.run(), 0);
        chunks.compact(&mut b"\r\n0\r\n\r\n"[..].to_vec());
        assert!(chunks.at_end());
    }
}
