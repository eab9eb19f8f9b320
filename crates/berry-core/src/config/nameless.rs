//! What stands in the place of a name and is none: `"Authorization: Bearer …"` among headers, a line
//! `"api_key=…" = 1`. Such a key is told of by its place alone, for it may have a secret in it.

use std::cmp::Reverse;

use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostics;

/// Shorter ones are no secrets, and may be a part of any sentence.
const SHORTEST: usize = 8;
/// So many letters and digits in a row are in keys, and in no name that people choose.
const LONGEST_RUN: usize = 20;
/// The tables whose keys are names that users choose; models have colons in theirs.
const CHOSEN: [&str; 3] = ["models", "providers", "users"];

/// Hides every such key of a file: on the lines that are shown, and in what has been found.
pub(super) fn conceal(tree: &DeTable<'_>, findings: &mut Diagnostics) {
    let mut hidden = Vec::new();
    collect(tree, false, &mut hidden, findings);
    // The longer ones first: others may be parts of them.
    hidden.sort_by_key(|name| Reverse(name.len()));
    for name in &hidden {
        let escaped = format!("{name:?}");
        let spellings = [escaped.trim_matches('"'), name];
        findings.reword(|text| {
            for spelling in spellings {
                if text.contains(spelling) {
                    *text = text.replace(spelling, "***");
                }
            }
        });
    }
}

/// Notes the keys of a table, and of those in it.
fn collect(
    table: &DeTable<'_>,
    is_chosen: bool,
    hidden: &mut Vec<String>,
    findings: &mut Diagnostics,
) {
    for (key, written) in table {
        let name = key.get_ref();
        if !is_name(name, is_chosen) {
            findings.conceal(key.span());
            hidden.push(name.to_string());
        }
        let are_chosen = CHOSEN.contains(&&**name);
        match written.get_ref() {
            DeValue::Table(inner) => collect(inner, are_chosen, hidden, findings),
            DeValue::Array(items) => {
                for table in items.iter().filter_map(|item| item.get_ref().as_table()) {
                    collect(table, false, hidden, findings);
                }
            }
            _ => {}
        }
    }
}

/// Returns whether a key may be shown.
fn is_name(key: &str, is_chosen: bool) -> bool {
    // White space of other kinds has come by mistake, and a finding of its own names it.
    let is_sentence = if is_chosen {
        key.contains('=') || key.contains(": ")
    } else {
        key.contains([' ', '\t', ':', '='])
    };
    let separates = |character: char| character.is_whitespace() || ":=".contains(character);
    let mut words = key.split(separates);
    key.len() < SHORTEST || !(is_sentence || words.any(looks_secret))
}

/// Returns whether a word looks like a key.
fn looks_secret(word: &str) -> bool {
    let mut runs = word.split(|character: char| !character.is_ascii_alphanumeric());
    word.starts_with("sk-")
        || runs.any(|run| run.len() >= LONGEST_RUN && run.bytes().any(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn keys_and_what_people_call_things_are_names() {
        for (key, is_chosen) in [
            ("max_retries", false),
            ("anthropic-version", false),
            ("a b", false),
            ("llama3.1:70b-instruct", true),
            ("claude-3-5-sonnet-20241022", true),
            ("openai/gpt-4o", true),
            ("Ada Lovelace", true),
        ] {
            assert!(is_name(key, is_chosen), "{key}");
        }
    }

    #[test]
    fn what_may_have_a_secret_in_it_is_no_name() {
        for (key, is_chosen) in [
            ("Authorization: Bearer x", false),
            ("x-api-key:abc", false),
            ("api_key=x", false),
            ("Authorization: x", true),
            ("api_key=x", true),
            ("sk-12345", true),
            ("Ada sk-12345", true),
            ("0123456789abcdef0123", true),
        ] {
            assert!(!is_name(key, is_chosen), "{key}");
        }
    }
}
