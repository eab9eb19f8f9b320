//! What the commands print, and where.
//!
//! The only place that prints. Lines are flushed at once, because whoever started a command reads
//! them through a pipe; a reader that is gone is an error on stdout, and nobody to tell on stderr.

use std::io::{self, Write};

/// Prints a result line to stdout.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Prints why a command failed to stderr, with its causes, in one line.
pub(crate) fn failure(error: &anyhow::Error) {
    let _ = writeln!(io::stderr().lock(), "error: {error:#}");
}
