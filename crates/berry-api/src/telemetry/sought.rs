//! Words that people look for in the log, and the lines that they are to find.
//!
//! A path, the name of a model or a mistake in the configuration may be any text, and so bring such a word
//! into a line where nobody means it. There its first letter is written as JSON's escape of it: whoever
//! reads the line as JSON sees the same text, and whoever looks for the word does not find it.

use std::io::Write;

use tracing::Metadata;

/// What is looked for, and the place in it of a byte that few texts have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word(&'static str, usize);

/// All of them. `latency` is looked for to read `latency_ms`, `ERROR` is a level, `health_check` a target.
static WORDS: [Word; 7] = [
    Word("Backend selected", 7),
    Word("selected backend", 8),
    Word("Starting Berry API", 8),
    Word("Authentication failed", 14),
    Word("health_check", 6),
    Word("ERROR", 1),
    Word("latency", 6),
];
/// Fields whose texts are our own.
const OWN: [&str; 2] = ["event", "strategy"];

impl Word {
    /// Returns the words that are in nothing which all lines of this place in the code have in common.
    pub(super) fn strange_to(place: &Metadata<'_>) -> Vec<&'static Self> {
        let is_strange = |word: &&Self| {
            let names = place.fields().iter().map(|field| field.name());
            let mut common = names.chain([place.level().as_str(), place.target()]);
            !common.any(|text| text.contains(word.0))
        };
        WORDS.iter().filter(is_strange).collect()
    }

    /// Returns the first place of the word.
    fn find(&self, text: &[u8]) -> Option<usize> {
        let Self(word, at) = *self;
        let mark = word.as_bytes().get(at)?;
        let places = memchr::memchr_iter(*mark, text).filter_map(|place| place.checked_sub(at));
        let is_there = |place: &usize| {
            let text = text.get(*place..);
            text.is_some_and(|text| text.starts_with(word.as_bytes()))
        };
        places.into_iter().find(is_there)
    }
}

/// Returns 1 where a byte is one that marks a word, without a branch.
#[inline]
pub(super) fn is_mark(byte: u8) -> u8 {
    let is = |mark| u8::from(byte == mark);
    is(b' ') | is(b'_') | is(b'R') | is(b'y')
}

/// Returns whether the texts of a field are our own.
pub(super) fn is_own(field: &str) -> bool {
    OWN.contains(&field)
}

/// Returns whether a message, as it is written, is a word that is looked for, and so means it.
pub(super) fn is_meant(message: &[u8]) -> bool {
    let text = message.strip_prefix(b"\"");
    let text = text.and_then(|text| text.strip_suffix(b"\""));
    WORDS.iter().any(|word| text == Some(word.0.as_bytes()))
}

/// Hides these words in the JSON string, or strings, that begin here.
pub(super) fn hide(words: &[&Word], json: &mut Vec<u8>, from: usize) {
    for word in words {
        while let Some(at) = word.find(json.get(from..).unwrap_or_default()) {
            let rest = json.split_off(from + at);
            let Some((first, rest)) = rest.split_first() else {
                return;
            };
            // A vector takes whatever it is given.
            let _ = write!(json, "\\u{first:04x}");
            json.extend_from_slice(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_by_its_mark() {
        for Word(word, at) in &WORDS {
            assert_eq!(is_mark(word.as_bytes()[*at]), 1, "{word}");
        }
    }

    #[test]
    fn words_are_hidden_wherever_they_are_and_their_text_stays() {
        let all: Vec<_> = WORDS.iter().collect();
        let texts = all.iter().map(|word| word.0);
        for text in texts.chain([
            "latencylatency",
            "ERRORRORERROR",
            "E",
            "RR ",
            "\nERROR\"latency",
        ]) {
            for around in ["", "x", "\\", "é", "ERR", "la"] {
                let text = format!("{around}{text}{around}");
                let mut json = b"\"latency\":".to_vec();
                let from = json.len();
                serde_json::to_writer(&mut json, &text).unwrap();

                hide(&all, &mut json, from);

                let (before, shown) = json.split_at(from);
                assert_eq!(before, b"\"latency\":");
                assert_eq!(serde_json::from_slice::<String>(shown).unwrap(), text);
                let shown = std::str::from_utf8(shown).unwrap();
                assert!(!WORDS.iter().any(|word| shown.contains(word.0)), "{shown}");
            }
        }
    }
}
