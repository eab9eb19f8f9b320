//! What an answer is by its first bytes, where sound or text was asked for.
//!
//! Some upstreams and proxies report an error in a 200 and call it what the client wanted. Sound does
//! not begin as an object or a page does, and text hardly ever.

use bytes::Bytes;
use smallvec::SmallVec;

/// How pages begin, in lower case.
const PAGES: [&[u8]; 2] = [b"<!doctype html", b"<html"];

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Too little of it is here.
    Unknown,
    /// A JSON object.
    Object,
    /// A web page.
    Page,
    /// Anything else.
    Bytes,
}

impl Beginning {
    /// Says what begins with these pieces.
    pub(crate) fn of<'a>(pieces: impl IntoIterator<Item = &'a Bytes>) -> Self {
        let bytes = pieces.into_iter().flatten().copied();
        let mut bytes = bytes.skip_while(u8::is_ascii_whitespace);
        match bytes.next() {
            None => Self::Unknown,
            Some(b'{') => match bytes.find(|byte| !byte.is_ascii_whitespace()) {
                None => Self::Unknown,
                Some(b'"' | b'}') => Self::Object,
                Some(_) => Self::Bytes,
            },
            Some(b'<') => {
                let rest = bytes.take(PAGES[0].len() - 1);
                let begin: SmallVec<[u8; 16]> = std::iter::once(b'<')
                    .chain(rest.map(|byte| byte.to_ascii_lowercase()))
                    .collect();
                let mut pages = PAGES.iter();
                if pages.any(|page| begin.starts_with(page)) {
                    Self::Page
                } else if PAGES.iter().any(|page| page.starts_with(&begin)) {
                    Self::Unknown
                } else {
                    Self::Bytes
                }
            }
            Some(_) => Self::Bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_pages_are_known_by_their_first_bytes_however_they_are_cut() {
        for (text, expected) in [
            ("", Beginning::Unknown),
            ("\r\n ", Beginning::Unknown),
            (" { ", Beginning::Unknown),
            (" {\n \"error\"", Beginning::Object),
            ("{}", Beginning::Object),
            ("{laughs}", Beginning::Bytes),
            ("\n<!DOCTYPE html><", Beginning::Page),
            ("<HTML>", Beginning::Page),
            ("<ht", Beginning::Unknown),
            ("<!doctype svg>", Beginning::Bytes),
            ("<music>", Beginning::Bytes),
            ("ID3", Beginning::Bytes),
        ] {
            let whole = [Bytes::from(text)];
            let cut: Vec<Bytes> = text.as_bytes().chunks(1).map(Bytes::from_static).collect();

            assert_eq!(Beginning::of(&whole), expected, "{text}");
            assert_eq!(Beginning::of(&cut), expected, "{text}");
        }
    }
}
