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
    let written = text.get(span.clone()).unwrap_or_default();
    let first_word = text[line.clone()].split_whitespace().next();
    let first_word = first_word.unwrap_or_default();
    let (message, expected) = match error.message().split_once(", expected ") {
        Some((message, expected)) => (message, Some(format!("expected {expected}"))),
        None => (error.message(), None),
    };
    let finding = match message {
        "duplicate key" => {
            // Half of a token that was broken over two lines may look like a key, too.
            let finding = if home::is_key(written) || is_header(&text[line.clone()]) {
                Diagnostic::error(format!("`{written}` is defined twice"))
            } else {
                Diagnostic::error("a key is defined twice")
            };
            finding.help_if(about_duplicate(source, line))
        }
        "string values must be quoted" if written.trim().is_empty() => {
            Diagnostic::error("a value is missing")
        }
        "string values must be quoted" => Diagnostic::error(message).help(about_word(written)),
        "invalid boolean" => Diagnostic::error("this is neither `true` nor `false`")
            .help("they are written so, in lower case and without quotes"),
        "unexpected leading zero" => Diagnostic::error("a number cannot begin with `0`"),
        "missing escaped value" => Diagnostic::error("`\\` begins an escape in a string in `\"`")
            .help("write `\\\\` for a backslash, or the string between two `'`"),
        "key with no value" if first_word.ends_with(':') => {
            Diagnostic::error(message).help("write `=` in place of `:`")
        }
        "invalid unquoted key" => {
            let help = "a key with others than letters, digits, `-` and `_` in it is quoted";
            Diagnostic::error(message).help(help)
        }
        "invalid basic string" if expected.as_deref() == Some("expected `\"`") => {
            Diagnostic::error("the closing quote `\"` is missing")
        }
        "invalid literal string" if expected.as_deref() == Some("expected `'`") => {
            Diagnostic::error("the closing quote `'` is missing")
        }
        "missing comma between array elements" | "missing comma between key-value pairs" => {
            Diagnostic::error("a comma is missing before this")
        }
        "unexpected key or value" if is_after_digit(text, &span) && written.starts_with(',') => {
            Diagnostic::error("a number has no comma in it")
                .help("write decimals with a point, such as `0.5`, and thousands without a mark")
        }
        "unexpected key or value" if expected.as_deref() == Some("expected newline, `#`") => {
            Diagnostic::error("something follows the value on its line")
                .help("look for a quote too many, or two keys on one line")
        }
        _ => Diagnostic::error(message).help_if(expected),
    };
    finding.at(span)
}

/// Says where something is defined first, and how a list of tables is written.
fn about_duplicate(source: &Source, line: &Range<usize>) -> Option<String> {
    let (before, written) = (&source.text()[..line.start], &source.text()[line.clone()]);
    let name = |line: &str| match line.trim() {
        header if is_header(header) => header.split(']').next().map(str::to_owned),
        pair => pair.split_once('=').map(|(key, _)| key.trim().to_owned()),
    };
    let header = written.trim().split(']').next()?;
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

/// Whether the character before a place is a digit.
fn is_after_digit(text: &str, span: &Range<usize>) -> bool {
    let before = text.get(..span.start).unwrap_or_default();
    before.ends_with(|c: char| c.is_ascii_digit())
}

/// Says what to make of a word that stands where a value is expected.
fn about_word(word: &str) -> &'static str {
    let word = word.trim().to_ascii_lowercase();
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if ["yes", "no", "on", "off", "true", "false"].contains(&word.as_str()) {
        "a switch is `true` or `false`"
    } else if ["null", "none", "nil", "undefined"].contains(&word.as_str()) {
        "there is no such value: leave the key out"
    } else if unit.len() < word.len() && UNITS.contains(&unit) {
        "a number stands alone, without its unit"
    } else {
        "write it between two `\"`"
    }
}
