//! Parses TOML, and finds out how much of a broken file can still be judged.
//!
//! A missing quote spoils one line, and everything else in the file can be checked as usual. An
//! unclosed array swallows what follows, and checking the rest would report things as missing
//! that are there. The two are told apart by blanking the broken lines: when what remains is
//! valid, the damage ended with them.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, Error};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::file::{BackendFile, ModelFile, ProviderFile, ServerFile, SettingsFile, UserFile};
use super::source::Source;
use super::table::Table;

/// How many errors are shown of a file whose damage spreads: later ones are mostly consequences.
const MOST_CONSEQUENCES: usize = 5;

/// Keys whose values are not secret, by table; a broken line of any other key is shown without its
/// value, since the parser cannot say what on it is a key and what is a password.
const OPEN_TABLES: [&[&str]; 6] = [
    SettingsFile::KEYS,
    ServerFile::KEYS,
    ProviderFile::KEYS,
    ModelFile::KEYS,
    BackendFile::KEYS,
    UserFile::KEYS,
];

/// Keys of these tables whose values are secret, or may have something secret in them.
const SECRET_KEYS: [&str; 5] = ["api_key", "headers", "proxy_url", "token", "token_sha256"];

/// A file as far as it could be parsed.
pub(super) struct Parsed<'i> {
    /// What was understood; `None` when it would be misleading.
    pub(super) tree: Option<DeTable<'i>>,
    /// The lines that have errors in them.
    broken: Vec<Range<usize>>,
}

impl Parsed<'_> {
    /// Whether a finding about this place is a guess: the line was not understood, or it is about
    /// something missing that one of those lines may have.
    pub(super) fn is_guess(&self, place: Option<&Range<usize>>) -> bool {
        let has = |line: &Range<usize>, span: &Range<usize>| {
            line.start <= span.start && span.start <= line.end
        };
        self.broken
            .iter()
            .any(|line| place.is_none_or(|span| has(line, span)))
    }
}

/// Parses a text and reports the first error of each line that has one.
pub(super) fn parse<'i>(source: &'i Source, findings: &mut Diagnostics) -> Parsed<'i> {
    let text = source.text();
    let (tree, errors) = DeTable::parse_recoverable(text);
    let mut by_line: BTreeMap<usize, (Range<usize>, Error)> = BTreeMap::new();
    for error in errors {
        let line = source.line(error.span().map_or(text.len(), |span| span.start));
        by_line.entry(line.start).or_insert((line, error));
    }
    let broken: Vec<_> = by_line.values().map(|(line, _)| line.clone()).collect();
    let is_contained = is_contained(text, &broken);
    let shown = if is_contained {
        usize::MAX
    } else {
        MOST_CONSEQUENCES
    };
    for (line, error) in by_line.values().take(shown) {
        findings.push(finding(text, error));
        conceal_values(text, line, findings);
    }
    if !is_contained {
        findings.push(
            Diagnostic::warning("only the syntax of the file was checked")
                .help("a quote or bracket may be missing on a line before the first error"),
        );
    }
    Parsed {
        tree: is_contained.then(|| tree.into_inner()),
        broken,
    }
}

/// Whether the damage ends with the broken lines. That of a table's header never does: the keys
/// below it would count as another table's.
fn is_contained(text: &str, broken: &[Range<usize>]) -> bool {
    let is_header = |line: &Range<usize>| text[line.clone()].trim_start().starts_with('[');
    broken.is_empty()
        || !broken.iter().any(is_header) && DeTable::parse(&blanked(text, broken)).is_ok()
}

/// Returns the text without these lines.
fn blanked(text: &str, lines: &[Range<usize>]) -> String {
    let mut rest = String::with_capacity(text.len());
    let mut from = 0;
    for line in lines {
        rest.push_str(&text[from..line.start]);
        from = line.end;
    }
    rest + &text[from..]
}

/// Words a parser's error like any other finding.
fn finding(text: &str, error: &Error) -> Diagnostic {
    let span = error.span().unwrap_or(text.len()..text.len());
    let written = text.get(span.clone()).unwrap_or_default();
    let (message, expected) = match error.message().split_once(", expected ") {
        Some((message, expected)) => (message, Some(format!("expected {expected}"))),
        None => (error.message(), None),
    };
    let finding = match message {
        "duplicate key" => Diagnostic::error(format!("`{written}` is defined twice")),
        "string values must be quoted" if written.trim().is_empty() => {
            Diagnostic::error("a value is missing")
        }
        "string values must be quoted" => Diagnostic::error(message),
        "invalid basic string" if expected.as_deref() == Some("expected `\"`") => {
            Diagnostic::error("the closing quote `\"` is missing")
        }
        "unexpected key or value" if expected.as_deref() == Some("expected newline, `#`") => {
            Diagnostic::error("something follows the value on its line")
                .help("look for a quote too many, or two keys on one line")
        }
        _ => Diagnostic::error(message).help_if(expected),
    };
    finding.at(span)
}

/// Hides what a broken line says, unless it is about something that everybody may see.
fn conceal_values(text: &str, line: &Range<usize>, findings: &mut Diagnostics) {
    let written = &text[line.clone()];
    let start = written.len() - written.trim_start().len();
    let end = written[start..]
        .find([' ', '\t', '='])
        .map_or(written.len(), |end| start + end);
    let word = &written[start..end];
    let key = word.rsplit('.').next().unwrap_or(word);
    let is_open = OPEN_TABLES.iter().any(|keys| keys.contains(&key)) && !SECRET_KEYS.contains(&key);
    let is_header_or_element = word.starts_with(['[', '"']);
    if written.contains('@') || !is_open && !is_header_or_element {
        findings.conceal(line.start + end..line.end);
    }
}
