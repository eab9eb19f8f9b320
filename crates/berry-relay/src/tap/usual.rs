//! What most events of a stream are like: the one before, but for a few words.
//!
//! The events that make up a text differ in its pieces alone. An event that is the same outside of them
//! says the same of everything that is looked at, so it need not be read again.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use smallvec::SmallVec;

use crate::json::plain_run;

/// The members that may say something else: text of any kind, arguments, and what OpenAI adds so that
/// lengths tell nothing. Nobody looks at them, wherever they are.
const WORDS: [&[u8]; 3] = [b"content", b"arguments", b"obfuscation"];
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
    /// The parts of the event that are followed by a string which may be another.
    before: SmallVec<[Range<usize>; 3]>,
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
            if at < self.end || !WORDS.iter().any(|word| key.ends_with(word)) {
                continue;
            }
            self.before.push(self.end..value);
            self.end = value + plain_run(event.get(value..).unwrap_or_default());
        }
        self.event.clear();
        self.event.extend_from_slice(event);
    }

    /// Returns whether this event says nothing else than the usual one, but for the text.
    pub(super) fn is_like(&self, event: &[u8]) -> bool {
        if self.before.is_empty() {
            return false;
        }
        let mut rest = event;
        for part in &self.before {
            let part = self.event.get(part.clone()).unwrap_or_default();
            let Some(value) = rest.strip_prefix(part) else {
                return false;
            };
            rest = value.get(plain_run(value)..).unwrap_or_default();
        }
        self.event.get(self.end..) == Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_like(usual: &str, event: &str) -> bool {
        let mut learnt = Usual::default();
        learnt.learn(usual.as_bytes());
        learnt.is_like(event.as_bytes())
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
    fn an_event_without_words_is_like_no_other() {
        let event = r#"{"a":"b"}"#;

        assert!(!is_like(event, event));
        assert!(!is_like("", ""));
    }

    #[test]
    fn a_string_that_quotes_a_member_is_no_member() {
        let usual = r#"{"content":"say \"content\":\"x\"","y":1}"#;

        assert!(is_like(usual, usual));
        assert!(!is_like(usual, &usual.replace("\"x", "\"z")));
    }

    #[test]
    fn what_is_never_the_same_is_given_up() {
        let event = |id: u8| format!(r#"{{"id":{id},"content":"x"}}"#);
        let mut usual = Usual::default();

        for id in 0..=TRIES {
            usual.learn(event(id).as_bytes());
        }

        assert!(usual.is_like(event(TRIES - 1).as_bytes()));
    }
}
