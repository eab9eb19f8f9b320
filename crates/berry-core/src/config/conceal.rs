//! What may be shown of a line: of one that is TOML all but its comment, of another hardly anything.
//!
//! Comments hold what people want to keep, old keys among it.
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

/// Returns the comment at the end of a line, without its `#`. A quote that is not closed on the line may
/// be one in the midst of a longer text, and hides no comment.
pub(super) fn comment(line: &str) -> Option<Range<usize>> {
    let mut at = 0;
    while let Some(first) = line[at..].chars().next() {
        let within = at + first.len_utf8();
        at = match first {
            '#' => return Some(within..line.len()),
            '"' | '\'' => {
                closing_quote(&line[within..], first).map_or(within, |end| within + end + 1)
            }
            _ => within,
        };
    }
    None
}

/// Returns where a text that begins with this quote ends, if it does so on its line.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return Some(at);
        }
        if quote == '"' && character == '\\' {
            characters.next();
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::comment;

    #[test]
    fn a_comment_is_what_follows_a_mark_outside_of_texts() {
        for (line, expected) in [
            ("a = 1 # old", Some(" old")),
            ("# all", Some(" all")),
            ("a = \"#\" # old", Some(" old")),
            ("a = '#\\' # old", Some(" old")),
            ("a = \"\\\"#\" # old", Some(" old")),
            ("a = '\"' # it's", Some(" it's")),
            ("a = \"\"\"x # y", Some(" y")),
            ("don't # z", Some(" z")),
            ("第 = '#' #第", Some("第")),
            ("a = \"# in a text\"", None),
            ("a = '# in a text'", None),
            ("a = 1", None),
        ] {
            assert_eq!(comment(line).map(|part| &line[part]), expected, "{line}");
        }
    }
}
