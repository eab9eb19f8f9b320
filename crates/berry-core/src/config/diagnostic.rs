//! Findings about a configuration: what is wrong, where, and what to do about it.
//!
//! Findings are collected, never thrown: whoever edits a file learns everything in one pass.
//! How they look is the business of [`render`](super::render).

use std::ops::Range;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration can be used, and probably does not do what its author thinks.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong with what; literals in backticks, no final period.
    pub message: String,
    /// The bytes of the file it is about; `None` when it is about something that is not there.
    pub span: Option<Range<usize>>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Makes a finding that forbids using the configuration.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: None,
            help: None,
        }
    }

    /// Makes a finding that does not.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Says where it is.
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do about it, where that is known.
    #[must_use]
    pub(super) fn help_if(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

/// All findings about one [`Source`](super::Source).
///
/// It also knows which bytes of the source are secret, so that showing the line of a finding
/// never shows a key or a token that stands on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    findings: Vec<Diagnostic>,
    pub(super) secrets: Vec<Range<usize>>,
}

impl Diagnostics {
    /// Adds a finding.
    pub fn push(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    /// Notes that these bytes of the source must not be shown.
    pub(super) fn conceal(&mut self, span: Range<usize>) {
        self.secrets.push(span);
    }

    /// Changes the words of every finding.
    pub(super) fn reword(&mut self, change: impl Fn(&mut String)) {
        for finding in &mut self.findings {
            change(&mut finding.message);
            finding.help.iter_mut().for_each(&change);
        }
    }

    /// Takes over findings whose place `holds`, and all that is secret.
    pub(super) fn extend(&mut self, others: Self, holds: impl Fn(Option<&Range<usize>>) -> bool) {
        let kept = others
            .findings
            .into_iter()
            .filter(|other| holds(other.span.as_ref()));
        self.findings.extend(kept);
        self.secrets.extend(others.secrets);
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Returns how many findings there are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// Whether there are no findings.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Returns the findings; those of a configuration come in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.findings.iter()
    }

    /// Puts the findings in the order of their places, those without a place last.
    pub(super) fn sort(&mut self) {
        self.findings.sort_by_key(|finding| {
            let start = finding.span.as_ref().map_or(usize::MAX, |span| span.start);
            (start, finding.severity)
        });
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
