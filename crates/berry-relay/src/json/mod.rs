//! One pass over a JSON object: is it well-formed, and where are its members.
//!
//! No tree is built. The scanner checks the whole text against RFC 8259 (UTF-8 is checked by the
//! caller, where the text is not ASCII), keeps its nesting as one bit per level, and reports where each
//! top-level member lies. That is all that splicing a request and watching an answer need, and strings
//! (by far the most of any body) are passed many bytes at a time.

mod run;

use std::ops::Range;

pub(crate) use run::plain_run;

/// The deepest nesting accepted. Real requests stay below a dozen; upstreams' own parsers give up
/// at depths that differ, and some crash.
pub(crate) const MAX_DEPTH: usize = 256;

/// One member of the scanned object; positions are bytes in the scanned text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The key between its quotes, as written.
    pub(crate) key: Range<usize>,
    /// Whether the key contains an escape, and so may read differently than it is written.
    pub(crate) escaped: bool,
    /// The value.
    pub(crate) value: Range<usize>,
}

/// Why a text is not an acceptable object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Not JSON; the byte where that shows.
    #[error("invalid JSON at byte {0}")]
    Syntax(usize),
    /// JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// What was seen of a text on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// A string in it, as key or value and however deep, is the word `error`.
    pub(crate) error: bool,
    /// All of it is ASCII.
    pub(crate) is_ascii: bool,
}

/// Scans `text`, which must be one object, and hands each of its members to `visit` in order.
pub(crate) fn members(text: &[u8], mut visit: impl FnMut(Member)) -> Result<Seen, Malformed> {
    let mut scanner = Scanner::new(text);
    scanner.white_space();
    if !scanner.eat(b'{') {
        scanner.value()?;
        scanner.end()?;
        return Err(Malformed::NotAnObject);
    }
    scanner.white_space();
    if !scanner.eat(b'}') {
        loop {
            let start = scanner.at + 1;
            let escaped = scanner.string()?;
            let key = start..scanner.at - 1;
            scanner.colon()?;
            let start = scanner.at;
            scanner.value()?;
            visit(Member {
                key,
                escaped,
                value: start..scanner.at,
            });
            scanner.white_space();
            if scanner.eat(b'}') {
                break;
            }
            scanner.expect(b',')?;
            scanner.white_space();
        }
    }
    scanner.end()?;
    Ok(scanner.seen)
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    seen: Seen,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            seen: Seen {
                error: false,
                is_ascii: true,
            },
        }
    }

    /// Passes one value of any kind, the cursor at its first byte.
    fn value(&mut self) -> Result<(), Malformed> {
        let mut open = Nesting::default();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{') => {
                    self.at += 1;
                    self.white_space();
                    open.push(Container::Object)?;
                    if self.peek() != Some(b'}') {
                        self.string()?;
                        self.colon()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    self.white_space();
                    open.push(Container::Array)?;
                    if self.peek() != Some(b']') {
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return self.fail(),
            }
            if !self.close(&mut open)? {
                return Ok(());
            }
        }
    }

    /// After a value: leaves the containers that end here. Returns whether another value follows.
    fn close(&mut self, open: &mut Nesting) -> Result<bool, Malformed> {
        while let Some(container) = open.innermost() {
            self.white_space();
            let more = self.peek() == Some(b',');
            match container {
                Container::Object if more => {
                    self.at += 1;
                    self.white_space();
                    self.string()?;
                    self.colon()?;
                    return Ok(true);
                }
                Container::Array if more => {
                    self.at += 1;
                    self.white_space();
                    return Ok(true);
                }
                Container::Object => self.expect(b'}')?,
                Container::Array => self.expect(b']')?,
            }
            open.pop();
        }
        Ok(false)
    }

    /// Passes a string, quotes included; returns whether it contains an escape.
    fn string(&mut self) -> Result<bool, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let run = run::run(self.text.get(self.at..).unwrap_or_default());
            self.at += run.length;
            self.seen.is_ascii &= run.is_ascii;
            match self.peek() {
                Some(b'"') => {
                    self.seen.error |= self.text.get(start..self.at) == Some(b"error");
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                _ => return self.fail(),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.fail();
                    }
                    self.at += 1;
                }
            }
            _ => return self.fail(),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let count = self.text[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.at += count;
        if count == 0 { self.fail() } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return self.fail();
        }
        self.at += word.len();
        Ok(())
    }

    fn colon(&mut self) -> Result<(), Malformed> {
        self.white_space();
        self.expect(b':')?;
        self.white_space();
        Ok(())
    }

    fn end(&mut self) -> Result<(), Malformed> {
        self.white_space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            self.fail()
        }
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { self.fail() }
    }

    fn fail<T>(&self) -> Result<T, Malformed> {
        Err(Malformed::Syntax(self.at))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

/// The containers that are open inside one member's value: a bit each.
#[derive(Default)]
struct Nesting {
    bits: [u64; MAX_DEPTH / 64],
    depth: usize,
}

impl Nesting {
    fn push(&mut self, container: Container) -> Result<(), Malformed> {
        // The object that holds the member is a level too.
        if self.depth + 1 >= MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        let bit = 1 << (self.depth % 64);
        match container {
            Container::Array => self.bits[self.depth / 64] &= !bit,
            Container::Object => self.bits[self.depth / 64] |= bit,
        }
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn innermost(&self) -> Option<Container> {
        let last = self.depth.checked_sub(1)?;
        let is_object = self.bits[last / 64] >> (last % 64) & 1 == 1;
        Some(if is_object {
            Container::Object
        } else {
            Container::Array
        })
    }
}

/// Returns a text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    if plain_run(text.as_bytes()) == text.len() {
        ["\"", text, "\""].concat()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(text: &str) -> Vec<String> {
        let mut keys = Vec::new();
        members(text.as_bytes(), |member| {
            keys.push(format!("{}={}", &text[member.key], &text[member.value]));
        })
        .unwrap();
        keys
    }

    #[test]
    fn members_are_found_where_they_are() {
        let text = r#" { "a" : 1 , "b":[{"a":2},"}"],"c\n":"x\"y" } "#;

        assert_eq!(keys(text), [r"a=1", r#"b=[{"a":2},"}"]"#, r#"c\n="x\"y""#]);
    }

    #[test]
    fn an_array_or_a_scalar_is_not_an_object() {
        for text in ["[]", "1", "\"a\"", "null", " [{\"model\":1}] "] {
            assert_eq!(
                members(text.as_bytes(), |_| ()),
                Err(Malformed::NotAnObject),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_json_is_refused_at_its_place() {
        for (text, at) in [
            ("", 0),
            ("{", 1),
            ("{\"a\"}", 4),
            ("{\"a\":1,}", 7),
            ("{\"a\":01}", 6),
            ("{\"a\":1.}", 7),
            ("{\"a\":\"\\x\"}", 7),
            ("{\"a\":\"\t\"}", 6),
            ("{\"a\":[1 2]}", 8),
            ("{\"a\":1} x", 8),
            ("{\"a\":tru}", 5),
            ("{\"a\":[}", 6),
        ] {
            assert_eq!(
                members(text.as_bytes(), |_| ()),
                Err(Malformed::Syntax(at)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_string_ends_where_it_ends_however_long_it_is() {
        for length in 0..200 {
            let long = "é".repeat(length / 2) + &"x".repeat(length % 2);
            let text = format!("{{\"a\":\"{long}\",\"b\":\"{long}\\n\"}}");
            let expected = [format!("a=\"{long}\""), format!("b=\"{long}\\n\"")];
            assert_eq!(keys(&text), expected);

            let torn = format!("{{\"a\":\"{long}\t{long}\"}}");
            let at = 6 + length;
            assert_eq!(members(torn.as_bytes(), |_| ()), Err(Malformed::Syntax(at)));
        }
    }

    #[test]
    fn the_word_error_is_seen_wherever_it_stands_alone() {
        for (text, seen) in [
            (r#"{"error":null}"#, true),
            (r#"{"a":[{"b":"error"}]}"#, true),
            (r#"{"a":{"error":1},"b":2}"#, true),
            (r#"{"a":"an error","errors":1,"Error":2}"#, false),
            (r#"{"a":"\"error","b\"error":"\"error\""}"#, false),
            ("{}", false),
        ] {
            let scanned = members(text.as_bytes(), |_| ());
            assert_eq!(scanned.map(|scanned| scanned.error), Ok(seen), "{text}");
        }
    }

    #[test]
    fn nesting_is_accepted_up_to_the_limit() {
        let nested = |levels: usize| {
            format!(
                "{{\"a\":{}{}}}",
                "[".repeat(levels - 1),
                "]".repeat(levels - 1)
            )
        };

        assert!(members(nested(MAX_DEPTH).as_bytes(), |_| ()).is_ok());
        assert_eq!(
            members(nested(MAX_DEPTH + 1).as_bytes(), |_| ()),
            Err(Malformed::TooDeep)
        );
        assert_eq!(
            members(nested(200_000).as_bytes(), |_| ()),
            Err(Malformed::TooDeep)
        );
    }

    proptest! {
        #[test]
        fn the_scanner_and_serde_json_agree(text in r#"[\{\}\[\]":,0-9eE+\-. tfnrulase\\x\n]{0,24}"#) {
            let text = format!("{{\"a\":{text}}}");
            let ours = members(text.as_bytes(), |_| ()).is_ok();
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(ours, theirs, "{}", text);
        }
    }
}
