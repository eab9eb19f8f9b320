//! Parses TOML, and finds out how much of a broken file can still be judged.
//!
//! A missing quote spoils one line, and everything else in the file can be checked as usual. An
//! unclosed array swallows what follows, and checking the rest would report things as missing
//! that are there. The two are told apart by blanking the broken lines: when what remains is
//! valid, the damage ended with them.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, Error};

use super::complaint;
use super::conceal::hidden_parts;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::lookalike::Lookalike;
use super::source::Source;

/// How many errors are shown of a file whose damage spreads: later ones are mostly consequences.
const MOST_CONSEQUENCES: usize = 5;

/// How often a text is read again whose reading ended early.
const MOST_READINGS: usize = 20;

/// The first error of each line that has one, by where the line begins.
type Errors = BTreeMap<usize, (Range<usize>, Error)>;

/// A file as far as it could be parsed.
pub(super) struct Parsed<'i> {
    /// What was understood; `None` when it would be misleading.
    pub(super) tree: Option<DeTable<'i>>,
    /// The lines that have errors in them, and the headers of tables that lack a key for it.
    doubtful: Vec<Range<usize>>,
}

impl Parsed<'_> {
    /// Whether a finding about this place is a guess: the line was not understood, or it is about
    /// something missing that one of those lines may have.
    pub(super) fn is_guess(&self, place: Option<&Range<usize>>) -> bool {
        let has = |line: &Range<usize>, span: &Range<usize>| {
            line.start <= span.start && span.start <= line.end
        };
        self.doubtful
            .iter()
            .any(|line| place.is_none_or(|span| has(line, span)))
    }
}

/// Parses a text and reports the first error of each line that has one. `mended` is where a text is
/// kept that had to be read without some of its lines.
pub(super) fn parse<'i>(
    source: &'i Source,
    mended: &'i mut Option<String>,
    findings: &mut Diagnostics,
) -> Parsed<'i> {
    let text = source.text();
    let mut errors = Errors::new();
    let mut tree = read(source, text, &mut errors);
    let gaps = gaps(source, mended, &mut errors);
    if let Some(mended) = mended {
        tree = read(source, mended, &mut errors);
    }
    leave_out_consequences(text, &mut errors);
    let broken: Vec<_> = errors.values().map(|(line, _)| line.clone()).collect();
    let is_contained = is_contained(text, &broken);
    report(source, &errors, is_contained, findings);
    let headers = gaps.iter().filter_map(|gap| header_of(source, gap));
    Parsed {
        tree: is_contained.then_some(tree),
        doubtful: headers.chain(broken.iter().cloned()).collect(),
    }
}

/// Parses a text as far as that goes, and notes its errors.
fn read<'t>(source: &Source, text: &'t str, errors: &mut Errors) -> DeTable<'t> {
    let (tree, found) = DeTable::parse_recoverable(text);
    for error in found {
        let line = source.line(error.span().map_or(text.len(), |span| span.start));
        errors.entry(line.start).or_insert((line, error));
    }
    tree.into_inner()
}

/// Returns the lines at which the parser has ended, a key without a value on each, and leaves in
/// `mended` the text with blanks in their place.
fn gaps(source: &Source, mended: &mut Option<String>, errors: &mut Errors) -> Vec<Range<usize>> {
    let mut gaps: Vec<Range<usize>> = Vec::new();
    for _ in 0..MOST_READINGS {
        let mut lines = errors.values().filter(|(_, error)| is_end(error));
        let Some((line, _)) = lines.find(|(line, _)| !gaps.contains(line)) else {
            break;
        };
        let text = mended.get_or_insert_with(|| source.text().to_owned());
        text.replace_range(line.clone(), &" ".repeat(line.len()));
        gaps.push(line.clone());
        read(source, text, errors);
    }
    gaps
}

/// Whether the parser goes no further than this error.
fn is_end(error: &Error) -> bool {
    error.message().starts_with("key with no value")
}

/// Returns the line with the header of the table that a line is in.
fn header_of(source: &Source, line: &Range<usize>) -> Option<Range<usize>> {
    let mut above = source.line(line.start.checked_sub(1)?);
    while !is_header(&source.text()[above.clone()]) {
        above = source.line(above.start.checked_sub(1)?);
    }
    Some(above)
}

/// Reports errors, and how far the file was checked.
fn report(source: &Source, errors: &Errors, is_contained: bool, findings: &mut Diagnostics) {
    let text = source.text();
    let shown = if is_contained {
        usize::MAX
    } else {
        MOST_CONSEQUENCES
    };
    for (line, error) in errors.values().take(shown) {
        let lookalike = Lookalike::find(&text[line.clone()]);
        findings.push(match lookalike {
            Some(lookalike) => lookalike.finding(line.start),
            None => complaint::finding(source, line, error),
        });
        for part in hidden_parts(&text[line.clone()]) {
            findings.conceal(line.start + part.start..line.start + part.end);
        }
    }
    if !is_contained {
        let mut errors = errors.values();
        let finding = Diagnostic::warning("only the syntax of the file was checked");
        findings.push(if errors.all(|(_, error)| is_duplicate(error)) {
            finding.help("the rest is checked when each table is there once")
        } else {
            finding.help("a quote or bracket may be missing on a line before the first error")
        });
    }
}

/// Whether the damage ends with the broken lines. That of a table's header never does: the keys
/// below it would count as another table's.
fn is_contained(text: &str, broken: &[Range<usize>]) -> bool {
    let is_header = |line: &Range<usize>| is_header(&text[line.clone()]);
    broken.is_empty()
        || !broken.iter().any(is_header) && DeTable::parse(&blanked(text, broken)).is_ok()
}

/// Whether a line begins a table, or was meant to.
pub(super) fn is_header(line: &str) -> bool {
    line.trim_start().starts_with(['[', '［', '【'])
}

/// Whether a key or a table is there for the second time.
fn is_duplicate(error: &Error) -> bool {
    error.message() == "duplicate key"
}

/// Leaves out that the keys of a table which is there twice are there twice.
fn leave_out_consequences(text: &str, errors: &mut Errors) {
    let mut doubled: Option<usize> = None;
    errors.retain(|_, (line, error)| {
        if !is_duplicate(error) {
            return true;
        }
        if is_header(&text[line.clone()]) {
            doubled = Some(line.end);
            return true;
        }
        let is_consequence =
            doubled.is_some_and(|end| !text[end..line.start].lines().any(is_header));
        !is_consequence
    });
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
