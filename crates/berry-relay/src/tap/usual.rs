//! What most events of a stream are like: the one before, but for a few words.
//!
//! The events that make up a text differ in its pieces alone. An event that is the same outside of them
//! says the same of everything that is looked at, so it need not be read again.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use smallvec::SmallVec;

use super::text::{Part, Text};
use crate::json::plain_run;

/// The ends of the keys whose strings may say something else: text of any kind, arguments, and what OpenAI
/// adds so that lengths tell nothing. Nobody looks at them, wherever they are, but to count them.
const WORDS: [&[u8]; 8] = [
    b"\"content",
    b"\"reasoning_content",
    b"\"reasoning",
    b"\"text",
    b"\"arguments",
    b"\"refusal",
    b"\"transcript",
    b"\"obfuscation",
];
/// What stands between a member's key and a string.
static BETWEEN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\":\""));
/// Longer events are read.
const LONGEST: usize = 2 * 1024;
/// How often another event is taken for the usual one, before that is given up.
const TRIES: u8 = 8;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub(super) struct Usual {
    event: Vec<u8>,
    /// The pieces of the event that are followed by a string which may be another, and what that is.
    before: SmallVec<[(Range<usize>, Option<Part>); 3]>,
    /// What follows the last of them.
    end: usize,
    tries: u8,
}

impl Usual {
    /// Takes an event, of which nothing but the text matters, for the usual one.
    pub(super) fn learn(&mut self, event: &[u8]) {
        if self.tries == TRIES || event.len() > LONGEST {
            return;
        }
        self.tries += 1;
        self.before.clear();
        self.end = 0;
        for at in BETWEEN.find_iter(event) {
            let key = event.get(..at).unwrap_or_default();
            let value = at + BETWEEN.needle().len();
            let Some(word) = WORDS.iter().find(|word| key.ends_with(word)) else {
                continue;
            };
            let end = value + plain_run(event.get(value..).unwrap_or_default());
            if at < self.end {
                continue;
            }
            if event.get(end) != Some(&b'"') {
                // What follows an escape would be taken for the event's, and not counted.
                self.before.clear();
                return;
            }
            let part = word.strip_prefix(b"\"").and_then(Part::of);
            self.before.push((self.end..value, part));
            self.end = end;
        }
        self.event.clear();
        self.event.extend_from_slice(event);
    }

    /// Returns whether this event says nothing else than the usual one, but for the text; that is counted.
    pub(super) fn is_like(&self, event: &[u8], text: &mut Text) -> bool {
        if self.before.is_empty() {
            return false;
        }
        let (mut rest, mut counted) = (event, *text);
        for (piece, part) in &self.before {
            let piece = self.event.get(piece.clone()).unwrap_or_default();
            let Some(value) = rest.strip_prefix(piece) else {
                return false;
            };
            let length = plain_run(value);
            if !is_text(value.get(..length).unwrap_or_default()) {
                return false;
            }
            if let Some(part) = part {
                counted.add(*part, length);
            }
            rest = value.get(length..).unwrap_or_default();
        }
        let is_like = self.event.get(self.end..) == Some(rest);
        if is_like {
            *text = counted;
        }
        is_like
    }
}

/// Returns whether a word is UTF-8; most are ASCII.
fn is_text(word: &[u8]) -> bool {
    word.is_ascii() || std::str::from_utf8(word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_like(usual: &str, event: &str) -> bool {
        let mut learnt = Usual::default();
        learnt.learn(usual.as_bytes());
        learnt.is_like(event.as_bytes(), &mut Text::default())
    }

    #[test]
    fn events_that_differ_in_their_words_are_alike() {
        let usual = r#"{"a":1,"d":{"content":"one","reasoning_content":""},"obfuscation":"xyz"}"#;
        for (event, alike) in [
            (usual, true),
            (
                r#"{"a":1,"d":{"content":"","reasoning_content":"hm"},"obfuscation":""}"#,
                true,
            ),
            (
                r#"{"a":1,"d":{"content":"é {","reasoning_content":""},"obfuscation":"x"}"#,
                true,
            ),
            (
                r#"{"a":2,"d":{"content":"one","reasoning_content":""},"obfuscation":"xyz"}"#,
                false,
            ),
            (
                r#"{"a":1,"d":{"content":"on\n","reasoning_content":""},"obfuscation":"xyz"}"#,
                false,
            ),
            (
                r#"{"a":1,"d":{"content":"one","error":1},"obfuscation":"xyz"}"#,
                false,
            ),
            (
                r#"{"a":1,"d":{"content":"one","reasoning_content":""},"obfuscation":"xyz"} "#,
                false,
            ),
            (r#"{"a":1,"d":{"content":"one"#, false),
            (
                "{\"a\":1,\"d\":{\"content\":\"\n\",\"reasoning_content\":\"\"},\"obfuscation\":\"\"}",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(is_like(usual, event), alike, "{event}");
        }
    }

    #[test]
    fn text_is_counted_whole_or_not_at_all() {
        let event = |text: &str| format!(r#"{{"content":"{text}"}}"#);
        let mut usual = Usual::default();
        usual.learn(event("ab\\r").as_bytes());

        let mut text = Text::default();
        assert!(!usual.is_like(event("c\\r").as_bytes(), &mut text));
        assert_eq!(text, Text::default());
    }

    #[test]
    fn an_event_without_words_is_like_no_other() {
        let event = r#"{"a":"b"}"#;

        assert!(!is_like(event, event));
        assert!(!is_like("", ""));
    }

    #[test]
    fn an_event_with_escapes_is_like_no_other() {
        for usual in [
            r#"{"content":"say \"content\":\"x\"","text":"y"}"#,
            r#"{"content":"a","text":"\\"}"#,
        ] {
            assert!(!is_like(usual, usual), "{usual}");
        }
    }

    #[test]
    fn what_is_never_the_same_is_given_up() {
        let event = |id: u8| format!(r#"{{"id":{id},"content":"x"}}"#);
        let mut usual = Usual::default();

        for id in 0..=TRIES {
            usual.learn(event(id).as_bytes());
        }

        assert!(usual.is_like(event(TRIES - 1).as_bytes(), &mut Text::default()));
    }
}
