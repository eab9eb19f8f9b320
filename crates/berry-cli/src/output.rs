//! What the commands print, and where.
//!
//! The only place that prints. Lines are flushed at once, because whoever started a command reads
//! them through a pipe. A reader that is gone has read enough, as `grep -q` has: what a command comes
//! to does not depend on who listens.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use berry_core::color;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::env;

/// Prints a result line to stdout.
pub(crate) fn line(text: &str) -> io::Result<()> {
    print(format_args!("{text}\n"))
}

/// Prints a JSON value to stdout.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(line(&serde_json::to_string_pretty(value)?)?)
}

/// Prints a text of several lines to stdout.
pub(crate) fn text(text: &str) -> io::Result<()> {
    print(format_args!("{text}"))
}

/// Prints a line that somebody must read, for it is said only once.
///
/// # Errors
/// It cannot be printed, or the reader is gone.
pub(crate) fn read_line(text: &str) -> io::Result<()> {
    write(format_args!("{text}\n"))
}

fn print(text: fmt::Arguments<'_>) -> io::Result<()> {
    match write(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn write(text: fmt::Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_fmt(text).and_then(|()| stdout.flush());
    written.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("the output cannot be written: {error}"),
        )
    })
}

/// Rows whose cells stand below each other: numbers to the right, all else to the left.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    indent: &'static str,
}

impl Table {
    /// A table of what belongs to the line above it.
    pub(crate) fn indented() -> Self {
        Self {
            indent: "  ",
            ..Self::default()
        }
    }

    /// Adds a row.
    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Returns the width of a column, and whether it has numbers below its head.
    fn column(&self, place: usize) -> (usize, bool) {
        let cells = || self.rows.iter().filter_map(|row| row.get(place));
        let width = cells().map(|cell| cell.chars().count()).max();
        let is_number =
            |cell: &String| cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit());
        (
            width.unwrap_or(0),
            place > 0 && cells().skip(1).all(is_number),
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let columns: Vec<_> = (0..columns).map(|place| self.column(place)).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&columns).map(|(cell, &(width, is_number))| {
                if is_number {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:width$}")
                }
            });
            let cells: Vec<_> = cells.collect();
            let line = format!("{}{}", self.indent, cells.join("  "));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Prints findings and the like to stderr, as they are.
pub(crate) fn aside(text: &str) {
    // Nobody is left to be told that nobody reads.
    let _ = write!(io::stderr().lock(), "{text}");
}

/// Whether what goes to stderr has colours in it.
pub(crate) fn is_colored() -> bool {
    color::is_wanted(io::stderr().is_terminal(), &env::read)
}

/// Shows on a terminal how much of something is done; nothing in a pipe.
pub(crate) fn progress(steps: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}
