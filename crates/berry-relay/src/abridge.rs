//! A short copy of a JSON object that is too long to be held.
//!
//! A picture in an answer has megabytes, and what the tap must know of the answer (its kind, its id,
//! its usage) stands before and after it in a few hundred bytes. The text is taken in pieces cut
//! anywhere. Of a string longer than [`LONGEST_STRING`] only that it is there is copied: it becomes
//! [`STAND_IN`]. The same holds for members of the object, and of objects directly in it, whose value is
//! longer than [`LONGEST_VALUE`] without that: they become `{}`. Their text is counted. So memory is
//! bounded by [`LONGEST_COPY`], whatever comes. Whether the text is one whole object is seen even where
//! a copy has no room.

use memchr::memchr2;

use crate::json;
use crate::tap::Heard;

/// The longest string that is copied.
const LONGEST_STRING: usize = 1024;
/// The longest value that is copied; ten choices that say why they end have a third of it.
const LONGEST_VALUE: usize = 4 * 1024;
/// The longest copy. An object within the object that would exceed it becomes `{}` too.
const LONGEST_COPY: usize = 16 * 1024;

/// What a value that is left out becomes.
const LEFT_OUT: &[u8] = b"{}";
/// What stands for the text of a string that is left out: not nothing, which would say that there is none.
const STAND_IN: &[u8] = b"-";

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Abridged {
    copy: Vec<u8>,
    /// How many containers are open.
    depth: usize,
    string: InString,
    /// Where in the copy the text of the string being read begins.
    opened: usize,
    /// The string being read is left out.
    is_cut: bool,
    /// Where in the copy the value of the outer object's member begins.
    outer: Option<usize>,
    /// The same of the inner object's member, where the outer's value is an object.
    inner: Option<usize>,
    /// The container in which the outer member's value lies is an object.
    inner_is_object: bool,
    text: Text,
    /// The depth of the member whose value is passed over.
    skipping: Option<usize>,
    /// It has too many members to be copied.
    crowded: bool,
    /// What it says, also where that is left out.
    heard: Heard,
}

/// The text was not one whole object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotWhole;

/// What the text is, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Text {
    /// White space.
    #[default]
    Nothing,
    /// An object, or the beginning of one.
    Object,
    /// Not an object, or one that goes on behind its end.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum InString {
    #[default]
    No,
    Yes,
    /// A backslash was the last byte.
    Escaped,
}

impl Abridged {
    /// Takes the data of an event.
    pub(crate) fn of_event() -> Self {
        Self {
            heard: Heard::of_event(),
            ..Self::default()
        }
    }

    /// Takes the next piece of the text.
    pub(crate) fn push(&mut self, mut piece: &[u8]) {
        while let Some((&byte, after)) = piece.split_first() {
            if self.is_broken() {
                return;
            }
            let length = match self.string {
                InString::No => {
                    self.structure(byte);
                    1
                }
                InString::Escaped => {
                    self.string = InString::Yes;
                    self.heard.add(&piece[..1]);
                    self.copy_string(&piece[..1]);
                    1
                }
                InString::Yes => {
                    let run = memchr2(b'"', b'\\', piece);
                    self.string = match run.and_then(|end| piece.get(end)) {
                        Some(b'"') => InString::No,
                        Some(_) => InString::Escaped,
                        None => InString::Yes,
                    };
                    let length = run.map_or(piece.len(), |end| end + 1);
                    let is_closed = self.string == InString::No;
                    self.heard.add(&piece[..length - usize::from(is_closed)]);
                    self.copy_string(&piece[..length]);
                    length
                }
            };
            piece = if length == 1 { after } else { &piece[length..] };
        }
    }

    /// Returns what has been said so far.
    pub(crate) fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Returns whether it shows already that the text is not one object.
    pub(crate) fn is_broken(&self) -> bool {
        self.text == Text::Broken
    }

    /// Returns the copy, at the text's end; none where the text has too many members.
    pub(crate) fn finish(self) -> Result<Option<Vec<u8>>, NotWhole> {
        let has_ended = self.text == Text::Object && self.depth == 0;
        if !has_ended || !self.crowded && json::members(&self.copy, |_| {}).is_err() {
            return Err(NotWhole);
        }
        Ok((!self.crowded).then_some(self.copy))
    }

    /// Takes a byte outside of strings.
    fn structure(&mut self, byte: u8) {
        if self.depth == 0 {
            self.text = match (byte, self.text) {
                (b' ' | b'\t' | b'\n' | b'\r', text) => text,
                (b'{', Text::Nothing) => Text::Object,
                _ => Text::Broken,
            };
        }
        self.heard.pass(byte, self.depth);
        match byte {
            b'"' => {
                self.string = InString::Yes;
                self.opened = self.copy.len() + 1;
                self.is_cut = false;
                self.heard.begin();
            }
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth == 2 {
                    self.inner_is_object = byte == b'{';
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.end_of_value(self.depth + 1);
            }
            b',' => self.end_of_value(self.depth),
            _ => {}
        }
        self.copy(&[byte]);
        match (byte, self.depth) {
            (b':', 1) => self.outer = Some(self.copy.len()),
            (b':', 2) if self.inner_is_object && self.skipping.is_none() => {
                self.inner = Some(self.copy.len());
            }
            _ => {}
        }
    }

    /// Ends the value of a member at this depth.
    fn end_of_value(&mut self, depth: usize) {
        if self.skipping == Some(depth) {
            self.skipping = None;
        }
        match depth {
            1 => (self.outer, self.inner, self.inner_is_object) = (None, None, false),
            2 => self.inner = None,
            _ => {}
        }
    }

    /// Copies a run of a string, its last quote included, unless it makes the string too long.
    fn copy_string(&mut self, run: &[u8]) {
        if self.skipping.is_some() || self.crowded {
            return;
        }
        if !self.is_cut && self.copy.len() - self.opened + run.len() <= LONGEST_STRING {
            return self.copy(run);
        }
        if !self.is_cut {
            self.is_cut = true;
            self.copy.truncate(self.opened);
            self.copy(STAND_IN);
        }
        if self.string == InString::No {
            self.copy(b"\"");
        }
    }

    /// Copies a run of the text, unless it is passed over or makes its value too long.
    fn copy(&mut self, run: &[u8]) {
        if self.skipping.is_some() || self.crowded {
            return;
        }
        // One byte too many shows as well as all of them.
        let run = run.get(..=LONGEST_COPY).unwrap_or(run);
        self.copy.extend_from_slice(run);
        let length = self.copy.len();
        let too_long = |start: &usize| length - start > LONGEST_VALUE;
        if let Some(start) = self.inner.filter(too_long) {
            self.leave_out(start, 2);
        } else if let Some(start) = self
            .outer
            .filter(too_long)
            .filter(|_| !self.inner_is_object)
        {
            self.leave_out(start, 1);
        } else if length > LONGEST_COPY {
            match self.outer {
                Some(start) => self.leave_out(start, 1),
                None => self.crowded = true,
            }
        }
        self.crowded |= self.copy.len() > LONGEST_COPY;
    }

    fn leave_out(&mut self, start: usize, depth: usize) {
        self.copy.truncate(start);
        self.copy.extend_from_slice(LEFT_OUT);
        self.skipping = Some(depth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// None where the text is not whole, nothing where it has no copy.
    fn abridged(text: &str, step: usize) -> Option<String> {
        let mut abridged = Abridged::default();
        for piece in text.as_bytes().chunks(step) {
            abridged.push(piece);
            assert!(abridged.copy.capacity() <= 4 * LONGEST_COPY);
        }
        let copy = abridged.finish().ok()?;
        Some(copy.map_or(String::new(), |copy| String::from_utf8(copy).unwrap()))
    }

    #[test]
    fn long_values_are_left_out_and_short_ones_stay_however_the_text_is_cut() {
        let long = r#"é\"]},:\\"#.repeat(20_000);
        let many = format!("[{}0]", r#"{"a":[1,"b"]},"#.repeat(5_000));
        let members = format!("{{{}\"z\":0}}", r#""a":{"b":[1]},"#.repeat(5_000));
        for (text, expected) in [
            (
                format!(r#" {{"a":"{long}","type":"x","b":{many},"usage":{{"n":1}}}} "#),
                r#" {"a":"-","type":"x","b":{},"usage":{"n":1}} "#,
            ),
            (
                format!(
                    r#"{{"r":{{"id":"i","a":"{long}","b":{many},"c":{members},"usage":{{"n":[1]}}}},"z":1}}"#
                ),
                r#"{"r":{"id":"i","a":"-","b":{},"c":{},"usage":{"n":[1]}},"z":1}"#,
            ),
            (
                format!(r#"{{"a":{members},"id":"i"}}"#),
                r#"{"a":{},"id":"i"}"#,
            ),
            (
                format!(r#"{{"a":[{{"b":"{long}","c":["d"]}}],"{long}":1}}"#),
                r#"{"a":[{"b":"-","c":["d"]}],"-":1}"#,
            ),
        ] {
            for step in [1, 7, 1_000, 70_000, text.len()] {
                assert_eq!(abridged(&text, step).as_deref(), Some(expected), "{step}");
            }
        }
    }

    #[test]
    fn what_has_too_many_members_has_no_copy_and_is_whole_or_not() {
        let members = r#""a":1,"#.repeat(LONGEST_COPY);
        let text = format!("{{{members}\"z\":1}}");
        for step in [1, 100, 100_000] {
            assert_eq!(abridged(&text, step).as_deref(), Some(""));
            let cut = &text[..text.len() - 1];
            assert_eq!(abridged(cut, step), None);
        }
    }

    #[test]
    fn what_is_no_whole_object_is_told_from_one() {
        let long = "x".repeat(LONGEST_COPY);
        for text in [
            "",
            "[1]",
            "x",
            r#"{"a":1"#,
            r#"{"a":1}}"#,
            r#"{"a":1}{"b":2}"#,
            r#"{"a":"b}"#,
            "]{}",
            &long,
            &format!(r#"{{"a":"{long}"#),
            &format!(r#"{{"a":"{long}"}} x"#),
            &format!(r#"{{"a":[{{"b":"{long}"<html>}}]}}"#),
            &format!(r#"{{"a":[{{"b":"{long}",}}]}}"#),
        ] {
            for step in [1, 100, 100_000] {
                assert_eq!(abridged(text, step), None, "{text:.40}");
            }
        }
    }
}
