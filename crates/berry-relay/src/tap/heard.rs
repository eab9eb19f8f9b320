//! How much an answer, or an event, says that comes in pieces, cut anywhere, and is too long to be held.
//!
//! Of an answer it counts what [`Text::add_answer`](super::text::Text::add_answer) would count of the whole; of an
//! event what it adds to those before. Whether a string is a key is known behind it; of strings the first bytes
//! are kept, which is all of those that matter.

use super::text::{Part, Text};

/// Longer than any key of a text, and than the type of an event whose piece is no text.
const LONGEST_KEY: usize = 32;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    what: What,
    text: Text,
    /// The beginning of the last string.
    start: [u8; LONGEST_KEY],
    /// How long that string is.
    length: usize,
    /// It has not shown whether it is a key.
    is_open: bool,
    /// The member of the outer object is one in which an answer is.
    is_answer: bool,
    /// What strings are under the last key.
    part: Option<Part>,
    /// That key is the type of the outer object.
    is_type: bool,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum What {
    #[default]
    Answer,
    /// What it repeats of others is not counted again.
    Event,
    /// An event whose piece is no text.
    Sound,
}

impl Heard {
    /// Hears an event.
    pub(crate) fn of_event() -> Self {
        Self {
            what: What::Event,
            ..Self::default()
        }
    }

    /// Takes the beginning of a string.
    pub(crate) fn begin(&mut self) {
        (self.length, self.is_open) = (0, true);
    }

    /// Takes more of it.
    pub(crate) fn add(&mut self, run: &[u8]) {
        let room = self.start.get_mut(self.length..).unwrap_or_default();
        for (byte, from) in room.iter_mut().zip(run) {
            *byte = *from;
        }
        self.length += run.len();
    }

    /// Takes a byte outside of strings, and how many containers are open before it.
    pub(crate) fn pass(&mut self, byte: u8, depth: usize) {
        match byte {
            b':' => self.key(depth),
            b',' | b'}' | b']' => self.value(),
            _ => {}
        }
    }

    /// Returns what has been said so far.
    pub(crate) fn text(&self) -> Text {
        self.text
    }

    /// Returns the same of an event that is not complete: a string that is being read counts.
    pub(crate) fn text_so_far(&self) -> Text {
        let mut text = self.text;
        self.count(&mut text);
        text
    }

    fn key(&mut self, depth: usize) {
        self.is_open = false;
        let key = self.start.get(..self.length).unwrap_or_default();
        self.part = Part::of(key);
        self.is_type = depth == 1 && key == b"type";
        if depth == 1 {
            let (is_answer, is_text) = match (key, self.what) {
                (b"choices", _) | (b"output", What::Answer) => (true, false),
                (b"text", What::Answer) | (b"delta", What::Event) => (true, true),
                _ => (false, false),
            };
            self.is_answer = is_answer;
            if is_text {
                self.part = Some(Part::Said);
            }
        }
    }

    fn value(&mut self) {
        let mut text = self.text;
        self.count(&mut text);
        self.text = text;
        if self.is_open && self.is_type && self.what == What::Event {
            let kind = self.start.get(..self.length).unwrap_or_default();
            if kind.ends_with(b"audio.delta") {
                self.what = What::Sound;
            }
        }
        self.is_open = false;
    }

    fn count(&self, text: &mut Text) {
        if self.is_open
            && self.is_answer
            && let Some(part) = self.part
        {
            text.add(part, self.length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abridge::Abridged;

    #[test]
    fn pieces_say_what_the_whole_does() {
        for answer in [
            r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"a \"b\" c","reasoning":"12345"}}]}"#,
            r#"{"choices" : [ {"message" : {"content":null,"tool_calls":[{"id":"call","function":{"name":"f","arguments":"{\"a\":1}"}}]}} ] }"#,
            r#"{"output":[{"content":[{"type":"output_text","text":"12345678"},{"text":"9"}]}],"instructions":"no","input":[{"content":"no"}]}"#,
            r#"{"text":"what was heard","segments":[{"text":"what was heard"}]}"#,
            r#"{"data":[{"b64_json":"QUJD","content":"no"}],"a_key_that_is_longer_than_any":"choices"}"#,
            r#"{"object":"list","data":[{"embedding":[0.5]}]}"#,
        ] {
            let mut whole = Text::default();
            whole.add_answer(answer.as_bytes());
            for cut in 0..answer.len() {
                let (before, after) = answer.as_bytes().split_at(cut);
                let mut abridged = Abridged::default();
                abridged.push(before);
                abridged.push(after);
                assert_eq!(abridged.heard().text(), whole, "{answer} {cut}");
            }
        }
    }
}
