//! Undoes the escapes of a text, and remembers where it stands what they say.
//!
//! Whoever quotes something spells it as the place of the quotation wants it: in JSON, in a URL, in
//! a page of HTML. Quotations are quoted again, so that one escape may be behind another; each call
//! of [`Reading::undone`] takes off one layer of all kinds.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr3;

/// The characters that HTML spells with a name, as far as programs do so.
const NAMED: [(&[u8], u8); 11] = [
    (b"amp;", b'&'),
    (b"lt;", b'<'),
    (b"gt;", b'>'),
    (b"quot;", b'"'),
    (b"apos;", b'\''),
    (b"sol;", b'/'),
    (b"plus;", b'+'),
    (b"equals;", b'='),
    (b"colon;", b':'),
    (b"period;", b'.'),
    (b"lowbar;", b'_'),
];

/// A text as it is, or with layers of escapes undone.
pub(super) struct Reading<'a> {
    pub(super) text: Cow<'a, [u8]>,
    /// Where each byte of the text begins in the original, and where the original ends. Empty while
    /// the text is the original.
    starts: Vec<usize>,
}

impl<'a> Reading<'a> {
    /// Begins with the text as it is.
    pub(super) fn of(original: &'a [u8]) -> Self {
        Self {
            text: Cow::Borrowed(original),
            starts: Vec::new(),
        }
    }

    /// Returns where a part of the text stands in the original.
    pub(super) fn place(&self, part: Range<usize>) -> Range<usize> {
        self.start(part.start)..self.start(part.end)
    }

    fn start(&self, at: usize) -> usize {
        self.starts.get(at).copied().unwrap_or(at)
    }

    /// Undoes a layer of escapes, if there is any.
    pub(super) fn undone(&self) -> Option<Self> {
        let mut next = Some(self.next_escape(0)?);
        let mut text = Vec::with_capacity(self.text.len());
        let mut starts = Vec::with_capacity(self.text.len() + 1);
        let mut at = 0;
        while let Some((found, length, character)) = next {
            text.extend_from_slice(&self.text[at..found]);
            starts.extend((at..=found).map(|at| self.start(at)));
            text.push(character);
            at = found + length;
            next = self.next_escape(at);
        }
        text.extend_from_slice(&self.text[at..]);
        starts.extend((at..=self.text.len()).map(|at| self.start(at)));
        Some(Self {
            text: text.into(),
            starts,
        })
    }

    /// Returns where the next escape is, its length, and the character that it stands for.
    fn next_escape(&self, from: usize) -> Option<(usize, usize, u8)> {
        let mut at = from;
        loop {
            at += memchr3(b'\\', b'%', b'&', self.text.get(at..)?)?;
            if let Some((length, character)) = escape(self.text.get(at..)?) {
                return Some((at, length, character));
            }
            at += 1;
        }
    }
}

/// Reads the escape that a text begins with: its length, and the character that it stands for, where
/// that is one that secrets have.
fn escape(text: &[u8]) -> Option<(usize, u8)> {
    match text {
        [b'\\', character @ (b'/' | b'"' | b'\'' | b'\\'), ..] => Some((2, *character)),
        [b'\\', b'u', digits @ ..] => Some((6, hexadecimal(digits.get(..4)?)?)),
        [b'\\', b'x', digits @ ..] => Some((4, hexadecimal(digits.get(..2)?)?)),
        [b'%', digits @ ..] => Some((3, hexadecimal(digits.get(..2)?)?)),
        [b'&', b'#', b'x' | b'X', digits @ ..] => {
            let (length, character) = reference(digits, 16)?;
            Some((length + 3, character))
        }
        [b'&', b'#', digits @ ..] => {
            let (length, character) = reference(digits, 10)?;
            Some((length + 2, character))
        }
        [b'&', name @ ..] => {
            let mut named = NAMED.iter();
            let (name, character) = named.find(|(known, _)| name.starts_with(known))?;
            Some((name.len() + 1, *character))
        }
        _ => None,
    }
}

/// Reads what follows the mark of a number in HTML: digits, as many as there are, and perhaps a
/// semicolon. Returns the length of both, and the character.
fn reference(text: &[u8], radix: u32) -> Option<(usize, u8)> {
    let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
    let length = text.iter().take_while(|byte| is_digit(byte)).count();
    let (digits, rest) = text.split_at_checked(length)?;
    let end = usize::from(rest.starts_with(b";"));
    Some((length + end, number(digits, radix)?))
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    number(digits, 16)
}

/// Reads the digits of a printable character.
fn number(digits: &[u8], radix: u32) -> Option<u8> {
    // A sign is no digit, though numbers may have one.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
    let code = u8::try_from(code).ok()?;
    (b' '..=b'~').contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(text: &str) -> String {
        let reading = Reading::of(text.as_bytes()).undone();
        let reading = reading.unwrap_or_else(|| Reading::of(text.as_bytes()));
        String::from_utf8(reading.text.into_owned()).unwrap()
    }

    #[test]
    fn escapes_of_json_urls_and_html_are_undone() {
        for (text, expected) in [
            (r#"\/\"\\\u0041\x42\'"#, r#"/"\AB'"#),
            ("%41%2f%2F", "A//"),
            (
                "&#65;&#x42;&#X00043;&#0068;&amp;&lt;&gt;&quot;&apos;",
                "ABCD&<>\"'",
            ),
            ("&#0000000115;&#x0000000073;&#115&#107-&#x73k", "sssk-sk"),
            ("&sol;&plus;&equals;&colon;&period;&lowbar;", "/+=:._"),
            ("é%41é", "éAé"),
        ] {
            assert_eq!(undone(text), expected);
        }
    }

    #[test]
    fn what_is_no_escape_of_a_printable_character_stays() {
        for text in [
            r"\n\u00e9\u+041\u00",
            r"\x",
            "%",
            "%4",
            "%zz",
            "%00%ff",
            "100 % & more",
            "&#;&#x;&#+5;&#256;&#11500000000000;&nbsp;&#",
            "\\",
            "",
        ] {
            assert!(Reading::of(text.as_bytes()).undone().is_none(), "{text}");
        }
    }

    #[test]
    fn layers_are_undone_one_by_one_and_places_are_those_of_the_original() {
        let original = r"a%5Cu0073b";
        let once = Reading::of(original.as_bytes()).undone().unwrap();
        let twice = once.undone().unwrap();

        assert_eq!(*once.text, *br"a\u0073b");
        assert_eq!(*twice.text, *b"asb");
        assert_eq!(once.place(1..7), 1..9);
        assert_eq!(twice.place(1..2), 1..9);
        assert_eq!(twice.place(2..3), 9..10);
        assert!(twice.undone().is_none());
    }
}
