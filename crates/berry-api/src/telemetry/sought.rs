//! Words that people look for in the log, and the lines that they are to find.
//!
//! A path, the name of a model or a mistake in the configuration may be any text, and so bring such a word
//! into a line where nobody means it. There its first letter is written as JSON's escape of it: whoever
//! reads the line as JSON sees the same text, and whoever looks for the word does not find it.

use std::io::Write;

use memchr::memmem;
use tracing::Metadata;

use super::piece::Written;

/// What is looked for, and the one of its bytes by which a text is seen that may have it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word(&'static str, u8);

/// All of them. `latency` is looked for to read `latency_ms`, `ERROR` is a level, `health_check` a target.
static WORDS: [Word; 7] = [
    Word("Backend selected", b' '),
    Word("selected backend", b' '),
    Word("Starting Berry API", b' '),
    Word("Authentication failed", b' '),
    Word("health_check", b'_'),
    Word("ERROR", b'R'),
    Word("latency", b'y'),
];
/// The bytes that mark them: few texts have one.
pub(super) const MARKS: [u8; 4] = *b" _Ry";
/// Fields whose texts are our own: none of them has anything to escape.
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

    /// Returns the bit of its mark.
    pub(super) fn mark(&self) -> u8 {
        let is_its = |(_, mark): &(_, &u8)| **mark == self.1;
        let found = MARKS.iter().enumerate().find(is_its);
        found.map_or(0, |(bit, _)| 1 << bit)
    }
}

/// Returns whether the texts of a field are our own.
pub(super) fn is_own(field: &str) -> bool {
    OWN.contains(&field)
}

/// Returns whether a message is a word that is looked for, and so means it.
pub(super) fn is_meant(message: &[u8]) -> bool {
    WORDS.iter().any(|word| word.0.as_bytes() == message)
}

/// Hides these words in the JSON string that has been written last. None overlaps with itself.
pub(super) fn hide(words: &[&Word], json: &mut Vec<u8>, Written { from, marks }: Written) {
    for word in words.iter().filter(|word| word.mark() & marks != 0) {
        let sought = word.0.as_bytes();
        if memmem::find(json.get(from..).unwrap_or_default(), sought).is_none() {
            continue;
        }
        let text = json.split_off(from);
        let mut rest = 0;
        for at in memmem::find_iter(&text, sought) {
            json.extend_from_slice(text.get(rest..at).unwrap_or_default());
            // A vector takes whatever it is given.
            let _ = write!(json, "\\u{:04x}", sought.first().unwrap_or(&0));
            rest = at + 1;
        }
        json.extend_from_slice(text.get(rest..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_by_its_mark() {
        for word in &WORDS {
            assert!(word.0.as_bytes().contains(&word.1), "{word:?}");
            assert_ne!(word.mark(), 0, "{word:?}");
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
                let there = all.iter().filter(|word| text.as_bytes().contains(&word.1));
                let marks = there.fold(0, |marks, word| marks | word.mark());

                hide(&all, &mut json, Written { from, marks });

                let (before, shown) = json.split_at(from);
                assert_eq!(before, b"\"latency\":");
                assert_eq!(serde_json::from_slice::<String>(shown).unwrap(), text);
                let shown = std::str::from_utf8(shown).unwrap();
                assert!(!WORDS.iter().any(|word| shown.contains(word.0)), "{shown}");
            }
        }
    }
}
