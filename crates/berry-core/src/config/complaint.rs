//! What the parser of TOML says, in words for whoever wrote the line.

use std::ops::Range;

use toml::de::Error;

use super::diagnostic::Diagnostic;
use super::home;
use super::source::Source;
use super::syntax::is_header;

/// What numbers are followed by elsewhere.
const UNITS: [&str; 16] = [
    "s", "sec", "secs", "seconds", "ms", "m", "min", "h", "d", "%", "k", "kb", "kib", "mb", "mib",
    "gb",
];

/// Words a parser's error like any other finding.
pub(super) fn finding(source: &Source, line: &Range<usize>, error: &Error) -> Diagnostic {
    let text = source.text();
    let span = error.span().unwrap_or(text.len()..text.len());
    if error.message() == "duplicate key" {
        let written = text.get(span.clone()).unwrap_or_default();
        // Half of a token that was broken over two lines may look like a key, too.
        let finding = if home::is_key(written) || is_header(&text[line.clone()]) {
            Diagnostic::error(format!("`{written}` is defined twice"))
        } else {
            Diagnostic::error("a key is defined twice")
        };
        return finding.at(span).help_if(about_duplicate(source, line));
    }
    let (message, expected) = match error.message().split_once(", expected ") {
        Some((message, expected)) => (message, Some(expected)),
        None => (error.message(), None),
    };
    let known = known(source, line, &span, message, expected);
    let finding = known.map_or_else(
        || Diagnostic::error(message).help_if(expected.map(|what| format!("expected {what}"))),
        |(message, help)| Diagnostic::error(message).help_if(help.map(str::to_owned)),
    );
    finding.at(span)
}

/// Returns what an error means, and what to do, where people are better told in other words.
fn known<'e>(
    source: &Source,
    line: &Range<usize>,
    span: &Range<usize>,
    message: &'e str,
    expected: Option<&str>,
) -> Option<(&'e str, Option<&'static str>)> {
    let text = source.text();
    let written = text.get(span.clone()).unwrap_or_default();
    let follows = text.get(span.start..line.end).unwrap_or_default();
    let before = text.get(line.start..span.start).unwrap_or_default();
    let is_after_number = before.ends_with(|c: char| c.is_ascii_digit());
    let mut words = text[line.clone()].split_whitespace();
    let has_colon = words.next().is_some_and(|word| word.ends_with(':'));
    Some(match (message, expected) {
        (_, _) if text.trim_start().starts_with('{') => (
            "this looks like JSON, and the file is TOML",
            Some("`berry-cli generate-config` writes a file to begin with"),
        ),
        ("string values must be quoted", _) if written.trim().is_empty() => {
            ("a value is missing", None)
        }
        ("string values must be quoted", _) | ("invalid float", Some("`nan`" | "`inf`")) => {
            about_word(written)
        }
        ("invalid boolean", _) => (
            "this is neither `true` nor `false`",
            Some("they are written so, in lower case and without quotes"),
        ),
        ("unexpected leading zero", _) => ("a number cannot begin with `0`", None),
        (_, Some("nothing")) => (
            "this is not a number",
            Some("a text, or an address, is written between two `\"`"),
        ),
        ("missing escaped value", _) => (
            "`\\` begins an escape in a string in `\"`",
            Some("write `\\\\` for a backslash, or the string between two `'`"),
        ),
        ("key with no value", _) if text[line.clone()].trim_end().ends_with(':') => (
            message,
            Some("write `=` in place of `:`; a table begins with a header such as `[settings]`"),
        ),
        ("key with no value", _) if has_colon => (message, Some("write `=` in place of `:`")),
        ("invalid unquoted key", _) => (
            message,
            Some("a key with others than letters, digits, `-` and `_` in it is quoted"),
        ),
        ("invalid basic string", Some("`\"`")) => ("the closing quote `\"` is missing", None),
        ("invalid literal string", Some("`'`")) => ("the closing quote `'` is missing", None),
        ("unclosed table", Some("`]`")) if follows.contains(']') => (
            "a name has a space in it",
            Some("write `-` or `_` in its place"),
        ),
        (_, Some("`]`")) if message.starts_with("unclosed") => ("the closing `]` is missing", None),
        (_, Some("`}`")) if message.starts_with("unclosed") => ("the closing `}` is missing", None),
        ("missing comma between array elements" | "missing comma between key-value pairs", _) => {
            ("a comma is missing before this", None)
        }
        ("unexpected key or value", _) if is_after_number && is_decimals(follows) => (
            "a number has no comma in it",
            Some("write decimals with a point, such as `0.5`, and thousands without a mark"),
        ),
        ("unexpected key or value", Some("newline, `#`")) if follows.trim() == "," => {
            ("a line does not end with a comma", Some("leave it out"))
        }
        ("unexpected key or value", Some("newline, `#`")) => (
            "something follows the value on its line",
            Some("look for a quote too many, or two keys on one line"),
        ),
        _ => return None,
    })
}

/// Whether a comma and a digit are next.
fn is_decimals(text: &str) -> bool {
    let decimals = text.strip_prefix(',');
    decimals.is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()))
}

/// Says where something is defined first, and how a list of tables is written.
fn about_duplicate(source: &Source, line: &Range<usize>) -> Option<String> {
    let (before, written) = (&source.text()[..line.start], &source.text()[line.clone()]);
    let name = |line: &str| match line.trim() {
        header if is_header(header) => header.split(']').next().map(str::to_owned),
        pair => pair.split_once('=').map(|(key, _)| key.trim().to_owned()),
    };
    let header = written.trim().split(']').next()?;
    if let Some(section @ ("providers" | "models" | "users")) = header.strip_prefix("[[") {
        return Some(format!(
            "each has a name of its own, in single brackets: `[{section}.<name>]`"
        ));
    }
    if header.starts_with('[') && !header.starts_with("[[") && header.ends_with(".backends") {
        return Some(format!(
            "for several, begin each with two brackets: `[{header}]]`"
        ));
    }
    let mut lines = before.lines().rev();
    let same = |line: &str| name(line) == name(written);
    let found = if is_header(written) {
        lines.position(same)
    } else {
        let table = lines.take_while(|line| !is_header(line));
        table.collect::<Vec<_>>().into_iter().position(same)
    };
    let first = before.lines().count() - found?;
    Some(format!("it is there on line {first} already"))
}

/// Says what to make of a word that stands where a value is expected.
fn about_word(word: &str) -> (&'static str, Option<&'static str>) {
    let word = word.trim().to_ascii_lowercase();
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let is_number = unit.len() < word.len();
    if ["yes", "no", "on", "off", "true", "false"].contains(&word.as_str()) {
        let help = "a switch is `true` or `false`";
        ("this is no value", Some(help))
    } else if ["null", "none", "nil", "undefined"].contains(&word.as_str()) {
        ("this is no value", Some("leave the key out"))
    } else if word.contains(" //") || word.contains(';') {
        let help = "a comment begins with `#`, and a line ends without a mark";
        ("something follows the value on its line", Some(help))
    } else if is_number && UNITS.contains(&unit) {
        ("a number stands alone", Some("leave its unit out"))
    } else {
        let help = "write it between two `\"`";
        ("string values must be quoted", Some(help))
    }
}
