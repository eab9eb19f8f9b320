//! What may be shown of a line that is not TOML.
//!
//! Where the parser has lost its way, nobody can say what is a key and what is a password: one may
//! follow the other without a line break, or lie broken over two lines. So only that is shown which
//! cannot be secret: the names of keys, punctuation, and a number that is certainly a setting's.

use std::ops::Range;

use super::home;

/// Keys whose values are secret, or may have something secret in them.
const SECRET_KEYS: [&str; 5] = ["api_key", "headers", "proxy_url", "token", "token_sha256"];

/// Returns the parts of a broken line that may not be shown.
pub(super) fn hidden_parts(line: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut setting = None;
    let mut at = 0;
    while let Some(first) = line[at..].chars().next() {
        let rest = &line[at..];
        let length = if first == '#' {
            hidden.push(at + 1..line.len());
            rest.len()
        } else if matches!(first, '"' | '\'') {
            let within = rest[1..].find(first).unwrap_or(rest.len() - 1);
            hidden.push(at + 1..at + 1 + within);
            rest.len().min(within + 2)
        } else if is_punctuation(first) {
            first.len_utf8()
        } else {
            let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
            let is_value = setting
                .take()
                .is_some_and(|end| line[end..at].trim() == "=");
            if !is_value || word.parse::<f64>().is_err() {
                hidden.extend(unknown_parts(word).map(|part| at + part.start..at + part.end));
            }
            let is_setting = home::is_key(word) && !SECRET_KEYS.contains(&word);
            setting = is_setting.then_some(at + word.len());
            word.len()
        };
        at += length;
    }
    hidden
}

/// Returns the parts of a dotted word that are no names of keys.
fn unknown_parts(word: &str) -> impl Iterator<Item = Range<usize>> {
    let parts = word.split('.').scan(0, |start, part| {
        let from = *start;
        *start += part.len() + 1;
        Some((part, from..from + part.len()))
    });
    parts.filter_map(|(part, range)| {
        let is_known = home::is_key(part) || matches!(part, "true" | "false");
        (!is_known).then_some(range)
    })
}

/// Whether a word ends before this character.
fn is_end(character: char) -> bool {
    matches!(character, '"' | '\'' | '#') || is_punctuation(character)
}

/// Whether a character only gives a line its form. What merely looks like such a one is shown, for it
/// is what the finding is about.
fn is_punctuation(character: char) -> bool {
    if character.is_ascii() {
        character.is_ascii_whitespace() || "[]{}=,:;".contains(character)
    } else {
        !character.is_alphanumeric()
    }
}
