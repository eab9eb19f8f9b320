//! What the commands print, and where.
//!
//! The only place that prints. Lines are flushed at once, because whoever started a command reads
//! them through a pipe; a reader that is gone is an error on stdout, and nobody to tell on stderr.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A failure that the output has told already.
#[derive(Debug)]
pub(crate) struct Told;

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the command failed")
    }
}

impl std::error::Error for Told {}

/// Prints a result line to stdout.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Prints a JSON value to stdout.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(line(&serde_json::to_string_pretty(value)?)?)
}

/// Prints rows to stdout, indented, their columns aligned.
pub(crate) fn table(rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        line(format!("  {}", cells.join("  ")).trim_end())?;
    }
    Ok(())
}

/// Prints findings and the like to stderr, as they are.
pub(crate) fn aside(text: &str) {
    // Nobody is left to be told that nobody reads.
    let _ = write!(io::stderr().lock(), "{text}");
}

/// Whether what goes to stderr is seen on a terminal.
pub(crate) fn is_colored() -> bool {
    io::stderr().is_terminal()
}

/// Prints why a command failed to stderr, with its causes, in one line.
pub(crate) fn failure(error: &anyhow::Error) {
    aside(&format!("error: {error:#}\n"));
}

/// Shows on a terminal how much of something is done; nothing in a pipe.
pub(crate) fn progress(steps: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}
