//! A good file, broken at random: it is refused or accepted, and never brings anything down.
//!
//! Ten thousand of them: `PROPTEST_CASES=10000 cargo test -p berry-core mutation`.

use proptest::prelude::*;
use proptest::sample::Index;

use super::{COMPLETE, parse};
use crate::config::{Diagnostics, Source};

/// What is written over a random part of the file: its own punctuation, or anything.
fn replacement() -> impl Strategy<Value = String> {
    prop_oneof![
        r#"[\[\]{}"'=,.#\n0-9-]{0,4}"#,
        r"\PC{0,6}",
        Just(String::new())
    ]
}

/// Writes `text` over up to sixteen bytes somewhere in the file.
fn overwrite(file: &mut String, place: Index, length: usize, text: &str) {
    let start = file.floor_char_boundary(place.index(file.len() + 1));
    let end = file.ceil_char_boundary((start + length).min(file.len()));
    file.replace_range(start..end, text);
}

/// Returns a line without the comment that it may be.
fn code(line: &str) -> String {
    let is_comment = line.trim_start().starts_with('#');
    if is_comment {
        String::new()
    } else {
        line.to_owned()
    }
}

/// Returns everything that is said about a file, by terminal and by JSON.
fn said_about(file: &str) -> (Diagnostics, String) {
    let findings = parse(file).map_or_else(|findings| findings, |loaded| loaded.warnings);
    let source = Source::new("config.toml", file);
    let said = findings.render(&source, true) + &findings.to_json(&source);
    (findings, said)
}

proptest! {
    #[test]
    fn a_mutated_configuration_never_panics(
        mutations in prop::collection::vec((any::<Index>(), 0..16_usize, replacement()), 1..6),
    ) {
        let mut file = COMPLETE.to_owned();
        for (place, length, text) in &mutations {
            overwrite(&mut file, *place, *length, text);
        }

        let (findings, said) = said_about(&file);

        prop_assert_eq!(findings.is_empty(), said.trim() == "[]");
    }

    #[test]
    fn any_text_at_all_never_panics(text in r"(?s).{0,64}") {
        said_about(&text);
    }

    #[test]
    fn a_mutation_elsewhere_never_shows_a_secret(
        place in any::<Index>(),
        text in replacement(),
    ) {
        let mut lines: Vec<_> = COMPLETE.lines().map(str::to_owned).collect();
        let index = place.index(lines.len());
        prop_assume!(!lines[index].contains("canary"));
        overwrite(&mut lines[index], place, 3, &text);

        let (_, said) = said_about(&lines.join("\n"));

        prop_assert!(!said.contains("canary"), "{said}");
    }
    #[test]
    fn lines_that_are_joined_never_show_a_secret(
        joins in prop::collection::vec((any::<Index>(), "[ ,;]{0,2}"), 1..4),
    ) {
        let mut lines: Vec<_> = COMPLETE.lines().map(code).collect();
        for (place, between) in &joins {
            let secret = lines.iter().enumerate().filter(|(_, line)| line.contains("canary"));
            let (secret, _) = place.get(&secret.collect::<Vec<_>>()).to_owned();
            let joined = between.clone() + &lines.remove(secret);
            lines[secret - 1].push_str(&joined);
        }

        let (_, said) = said_about(&lines.join("\n"));

        prop_assert!(!said.contains("canary"), "{said}");
    }

    #[test]
    fn a_secret_that_is_broken_over_two_lines_is_not_shown(
        place in any::<Index>(),
        text in "[\"'=,.#]{0,2}\\n[\"'=,.#]{0,2}",
    ) {
        let token = "token = \"canary0canary1canary2canary3\"";
        let start = "token = ".len();
        let mut broken = token.to_owned();
        broken.insert_str(start + place.index(token.len() - start), &text);
        let file = COMPLETE.replace("token = \"canary-token-of-root\"", &broken);

        let (_, said) = said_about(&file);

        prop_assert!(!said.contains("canary"), "{said}");
    }
}
