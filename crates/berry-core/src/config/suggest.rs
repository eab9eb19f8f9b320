//! What somebody may have meant by a word that is not known.

use std::fmt::Write;

/// The longest list of names that is worth printing in place of a guess.
const LONGEST_LIST: usize = 14;

/// What other programs call things, and what they are called here: of several the one that a table has.
const SYNONYMS: [(&[&str], &str); 11] = [
    (&["host", "port", "listen", "addr"], "bind_address"),
    (&["host", "endpoint", "api_base", "uri"], "base_url"),
    (&["secret", "password", "credential"], "api_key"),
    (&["secret", "password", "key", "api_key"], "token"),
    (&["protocol", "kind", "format"], "backend_type"),
    (&["role", "roles", "group", "groups", "admin"], "tags"),
    (&["quota", "limit", "limits", "rpm_limit"], "rate_limit"),
    (&["rpm", "qpm"], "requests_per_minute"),
    (&["tpm"], "tokens_per_minute"),
    (&["disabled", "active"], "enabled"),
    (
        &[
            "ollama",
            "vllm",
            "mistral",
            "deepseek",
            "groq",
            "openrouter",
        ],
        "openai",
    ),
];

/// The shortest word that may stand for a longer one of which it is a part.
const SHORTEST_PART: usize = 3;

/// Returns the help for an unknown `word`: the nearest of the known ones, or all of them when none
/// is near and they are few.
pub(super) fn help<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    let near = nearest(word, known.clone())
        .or_else(|| longer(word, known.clone()))
        .or_else(|| synonym(word, &known));
    match near {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None => list(known).map(|list| format!("expected {list}")),
    }
}

/// Returns the known word that `word` is most probably a misspelling of.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    // A third of the letters wrong is still a misspelling; more is another word.
    let tolerated = length / 3;
    known
        .into_iter()
        // A file may be wrong in thousands of places and have thousands of names.
        .filter(|near| near.chars().count().abs_diff(length) <= tolerated)
        .map(|near| (strsim::osa_distance(&word, &near.to_lowercase()), near))
        .filter(|&(distance, _)| distance <= tolerated)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, near)| near)
}

/// Returns the shortest known word that lacks nothing but words before or after `word`: `base_url`
/// for `url`, `timeout_seconds` for `timeout`.
fn longer<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let is_part = |long: &&str| {
        let long = long.to_lowercase();
        let rest = long
            .strip_prefix(&*word)
            .map(|rest| rest.starts_with(['_', '-']));
        let front = long
            .strip_suffix(&*word)
            .map(|front| front.ends_with(['_', '-']));
        rest == Some(true) || front == Some(true)
    };
    let known = known.into_iter().filter(|_| word.len() >= SHORTEST_PART);
    known.filter(is_part).min_by_key(|long| long.len())
}

/// Returns the known word that means what `word` means elsewhere.
fn synonym<'a>(word: &str, known: &(impl IntoIterator<Item = &'a str> + Clone)) -> Option<&'a str> {
    let word = word.to_lowercase();
    let rows = SYNONYMS.iter().filter(|(words, _)| words.contains(&&*word));
    let mut meant = rows.map(|(_, meant)| *meant);
    meant.find_map(|meant| known.clone().into_iter().find(|known| *known == meant))
}

/// Returns "`a`, `b` or `c`", unless there are none or too many.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let words: Vec<_> = words.into_iter().take(LONGEST_LIST + 1).collect();
    if words.len() > LONGEST_LIST {
        return None;
    }
    let (last, others) = words.split_last()?;
    let mut list = String::new();
    for (index, word) in others.iter().enumerate() {
        let separator = if index + 1 < others.len() {
            ", "
        } else {
            " or "
        };
        // Writing to a string cannot fail.
        let _ = write!(list, "`{word}`{separator}");
    }
    let _ = write!(list, "`{last}`");
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_the_nearest_known_one() {
        let known = ["openai", "azure-openai", "claude"];

        assert_eq!(help("opnai", known).unwrap(), "did you mean `openai`?");
        assert_eq!(help("Cluade", known).unwrap(), "did you mean `claude`?");
    }

    #[test]
    fn a_word_that_lacks_its_first_or_last_part_finds_the_whole() {
        let known = [
            "max_retries",
            "api_key",
            "base_url",
            "backend_type",
            "timeout_seconds",
        ];

        for (word, whole) in [
            ("key", "api_key"),
            ("URL", "base_url"),
            ("type", "backend_type"),
            ("timeout", "timeout_seconds"),
        ] {
            assert_eq!(help(word, known), Some(format!("did you mean `{whole}`?")));
        }
        assert!(help("tries", known).unwrap().starts_with("expected"));
    }

    #[test]
    fn a_word_of_another_program_finds_ours() {
        for (word, known, ours) in [
            ("port", ["bind_address", "tls_cert"], "bind_address"),
            ("host", ["base_url", "name"], "base_url"),
            ("Secret", ["token", "name"], "token"),
            ("ollama", ["claude", "openai"], "openai"),
        ] {
            assert_eq!(help(word, known), Some(format!("did you mean `{ours}`?")));
        }
        assert_eq!(help("port", ["a", "b"]).unwrap(), "expected `a` or `b`");
    }

    #[test]
    fn a_word_near_to_none_is_answered_with_the_list() {
        assert_eq!(
            help("gemini", ["a", "b", "c"]).unwrap(),
            "expected `a`, `b` or `c`"
        );
        assert_eq!(help("gemini", ["a"]).unwrap(), "expected `a`");
        assert_eq!(help("c", ["a", "b"]).unwrap(), "expected `a` or `b`");
        assert_eq!(help("gemini", []), None);
        assert_eq!(help("gemini", ["a"; LONGEST_LIST + 1]), None);
    }
}
