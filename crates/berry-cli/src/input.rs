//! Secrets from stdin: a command line is seen by every user of a machine, and kept by the shell.
//!
//! Whoever sits at a terminal is asked for one, and ends it with a line break. What they type is
//! shown: a command that is interrupted while it hides that would leave the terminal mute.

use std::io::{self, BufRead, IsTerminal};

use anyhow::{Context, bail};
use berry_core::Secret;

use crate::output;

/// Reads a secret, such as "token"; what is around it stays.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub(crate) fn secret(noun: &str) -> anyhow::Result<Secret> {
    let stdin = io::stdin();
    let is_asked = stdin.is_terminal();
    if is_asked {
        output::aside(&format!("The {noun}, which is shown as it is typed: "));
    }
    read(stdin.lock(), is_asked, noun)
}

/// Reads one line, or all there is where nobody is asked.
fn read(mut input: impl BufRead, is_asked: bool, noun: &str) -> anyhow::Result<Secret> {
    let mut bytes = Vec::new();
    let read = if is_asked {
        input.read_until(b'\n', &mut bytes)
    } else {
        input.read_to_end(&mut bytes)
    };
    read.with_context(|| format!("the {noun} on stdin cannot be read"))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Secret::new(text)),
        Err(_) => bail!("the {noun} on stdin is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn whoever_is_asked_ends_a_secret_with_its_line() {
        for (is_asked, expected) in [(true, "one\n"), (false, "one\ntwo\n")] {
            let secret = read(&b"one\ntwo\n"[..], is_asked, "key").unwrap();
            assert_eq!(secret.expose(), expected);
        }
    }

    #[test]
    fn what_is_not_text_is_no_secret() {
        let error = read(&b"\xff\xfe"[..], false, "token").unwrap_err();
        assert_eq!(error.to_string(), "the token on stdin is not UTF-8");
    }
}
