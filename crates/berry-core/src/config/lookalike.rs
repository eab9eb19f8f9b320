//! Characters that look like the ones TOML is made of, and are others.
//!
//! Word processors and chat windows turn quotes into typographic ones, keyboards for Chinese and
//! Japanese type wide punctuation, and web pages are indented with spaces that are none. None of that
//! is seen on a screen, so a finding names the character.

use super::diagnostic::Diagnostic;

/// What was written, and what was meant.
const PAIRS: [(&str, &str); 9] = [
    ("“”„‟″〝〞＂«»「」『』", "\""),
    ("‘’‚‛′｀´", "'"),
    ("［【〔", "["),
    ("］】〕", "]"),
    ("｛", "{"),
    ("｝", "}"),
    ("，、", ","),
    ("＝", "="),
    ("：", ":"),
];

/// A character of a text that is not what it looks like.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lookalike {
    found: char,
    /// None where it looks like nothing at all.
    meant: Option<&'static str>,
    /// Where it is in the text.
    at: usize,
}

impl Lookalike {
    fn of(found: char, at: usize) -> Option<Self> {
        let mut pairs = PAIRS.iter();
        let pair = pairs.find(|(written, _)| written.contains(found));
        let is_blank = found.is_whitespace() && !found.is_ascii()
            || matches!(found, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
        (pair.is_some() || is_blank).then(|| Self {
            found,
            meant: pair.map(|&(_, meant)| meant),
            at,
        })
    }

    fn is_quote(&self) -> bool {
        self.meant.is_some_and(|meant| ["\"", "'"].contains(&meant))
    }

    /// Returns the first in a line where TOML's own characters are expected: outside strings and
    /// comments, or as what should have ended a string that is not closed.
    pub(super) fn find(line: &str) -> Option<Self> {
        let mut open: Option<char> = None;
        let mut last_quote = None;
        let mut characters = line.char_indices();
        while let Some((at, character)) = characters.next() {
            let lookalike = Self::of(character, at);
            match open {
                Some('"') if character == '\\' => {
                    characters.next();
                }
                Some(quote) if character == quote => open = None,
                Some(_) => last_quote = lookalike.filter(Self::is_quote).or(last_quote),
                None if character == '#' => return None,
                None if lookalike.is_some() => return lookalike,
                None if ['"', '\''].contains(&character) => {
                    open = Some(character);
                    last_quote = None;
                }
                None => {}
            }
        }
        last_quote.filter(|_| open.is_some())
    }

    /// Says what it is; `line` is where its line begins in the file.
    pub(super) fn finding(&self, line: usize) -> Diagnostic {
        let Self { found, meant, at } = *self;
        let code = u32::from(found);
        let (message, help) = match meant {
            Some(meant) => (
                format!("`{found}` (U+{code:04X}) is not the `{meant}` that it looks like"),
                format!("write a plain `{meant}`"),
            ),
            None => (
                format!("there is an invisible character here, U+{code:04X}"),
                "replace it with an ordinary space, or leave it out".to_owned(),
            ),
        };
        let place = line + at..line + at + found.len_utf8();
        Diagnostic::error(message).at(place).help(help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_what_it_looks_like_is_found_where_it_matters() {
        for (line, expected) in [
            ("a = “b”", Some('“')),
            ("a = \"b”", Some('”')),
            ("a = \"“b”\" ”", Some('”')),
            ("a = ‘b’", Some('‘')),
            ("a ＝ 1", Some('＝')),
            ("a = [\"b\"，\"c\"]", Some('，')),
            ("【settings】", Some('【')),
            ("\u{a0}a = 1", Some('\u{a0}')),
            ("a\u{3000}= 1", Some('\u{3000}')),
            ("a = \"“b”，\u{a0}\" x", None),
            ("a = \"\\\"“\" x", None),
            ("a = # “b”", None),
            ("a = \"b, c：d", None),
            ("a = bé", None),
        ] {
            let found = Lookalike::find(line).map(|lookalike| lookalike.found);
            assert_eq!(found, expected, "{line}");
        }
    }
}
