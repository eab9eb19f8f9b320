//! How findings look: the line of the file, a caret, and the help; or JSON for programs.
//!
//! Bytes that are secret are shown as `*`, because findings go to logs and to administrators.

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use super::conceal;
use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::source::Source;

/// A finding as programs read it.
#[derive(Debug, serde::Serialize)]
pub struct Report<'a> {
    severity: Severity,
    message: &'a str,
    path: std::borrow::Cow<'a, str>,
    line: usize,
    column: usize,
    help: Option<&'a str>,
}

impl Diagnostics {
    /// Returns the findings as a terminal shows them, each line ended and a summary the last;
    /// nothing when there are none.
    pub fn render(&self, source: &Source, color: bool) -> String {
        if self.is_empty() {
            return String::new();
        }
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let shown = self.concealed(source);
        let mut page = String::new();
        for finding in self {
            page.push_str(&render_one(finding, source, &shown, &renderer));
            page.push_str("\n\n");
        }
        page + &self.summary() + "\n"
    }

    /// Returns each finding of this severity as one line with its place, for logs.
    pub fn lines(&self, severity: Severity, source: &Source) -> impl Iterator<Item = String> {
        let path = source.path().display();
        let findings = self
            .iter()
            .filter(move |finding| finding.severity == severity);
        findings.map(move |finding| match &finding.span {
            Some(span) => {
                let (line, column) = source.position(span.start);
                format!("{path}:{line}:{column}: {}", finding.message)
            }
            None => format!("{path}: {}", finding.message),
        })
    }

    /// Returns the findings as a JSON array of objects with `severity`, `message`, `path`, `line`,
    /// `column` and `help`. What is about something absent is placed at the beginning.
    pub fn to_json(&self, source: &Source) -> String {
        // Writing text and numbers into memory has no way to fail.
        serde_json::to_string(&self.reports(source)).unwrap_or_default()
    }

    /// Returns what [`Diagnostics::to_json`] is made of, to be part of something larger.
    pub fn reports<'a>(&'a self, source: &'a Source) -> Vec<Report<'a>> {
        self.iter()
            .map(|finding| {
                let start = finding.span.as_ref().map_or(0, |span| span.start);
                let (line, column) = source.position(start);
                Report {
                    severity: finding.severity,
                    message: &finding.message,
                    path: source.path().to_string_lossy(),
                    line,
                    column,
                    help: finding.help.as_deref(),
                }
            })
            .collect()
    }

    /// Says how many findings there are and what follows from them.
    fn summary(&self) -> String {
        let counted = |count: usize, noun: &str| match count {
            0 => None,
            1 => Some(format!("1 {noun}")),
            _ => Some(format!("{count} {noun}s")),
        };
        let errors = counted(self.count(Severity::Error), "error");
        let warnings = counted(self.count(Severity::Warning), "warning");
        let verdict = if errors.is_some() {
            "; configuration not loaded"
        } else {
            ""
        };
        let counts: Vec<_> = errors.into_iter().chain(warnings).collect();
        format!("{}{verdict}", counts.join(", "))
    }

    /// Returns the text with every secret in it overwritten, byte for byte, so that places stay right;
    /// and so is every comment on a line that is shown.
    fn concealed(&self, source: &Source) -> String {
        let text = source.text();
        let mut bytes = text.as_bytes().to_vec();
        let places = self.iter().filter_map(|finding| finding.span.as_ref());
        let comments = places.filter_map(|span| {
            let line = source.line(span.start);
            let comment = conceal::comment(&text[line.clone()])?;
            Some(line.start + comment.start..line.start + comment.end)
        });
        for secret in self.secrets.iter().cloned().chain(comments) {
            let end = secret.end.min(bytes.len());
            if let Some(hidden) = bytes.get_mut(secret.start..end) {
                hidden
                    .iter_mut()
                    .filter(|byte| !is_frame(**byte))
                    .for_each(|byte| *byte = b'*');
            }
        }
        // Secrets are whole values, and what replaces them is ASCII.
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// Returns one finding as a terminal shows it; `shown` is the source's text without its secrets. Only
/// the finding's own line is drawn, so the renderer gets only that, and many findings in a large file
/// cost no more than they must.
fn render_one(finding: &Diagnostic, source: &Source, shown: &str, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let path = source.path().to_string_lossy();
    let title = level.primary_title(&*finding.message);
    let group = match &finding.span {
        Some(span) => {
            let line = source.line(span.start);
            let (number, _) = source.position(line.start);
            let text = shown.get(line.clone()).unwrap_or_default();
            // The parser may point into the midst of a character.
            let start = text.floor_char_boundary(span.start - line.start);
            let end = text.ceil_char_boundary(span.end.min(line.end) - line.start);
            let snippet = Snippet::source(text)
                .line_start(number)
                .path(&*path)
                .annotation(AnnotationKind::Primary.span(start..end.max(start)));
            title.element(snippet)
        }
        None => title.element(Origin::path(&*path).line(1).char_column(1)),
    };
    let group = match &finding.help {
        Some(help) => group.element(Level::HELP.message(&**help)),
        None => group,
    };
    renderer.render(&[group])
}

/// Whether a byte of a concealed value only gives it its form.
fn is_frame(byte: u8) -> bool {
    matches!(byte, b' ' | b'=' | b'"' | b'\'' | b'\n' | b'\r')
}
