//! `hash-token`: the digest that a configuration can have in a token's place.
//!
//! The token is read from stdin: a command line is seen by every user of a machine, and kept by
//! the shell.

use std::io;

use anyhow::bail;
use berry_core::TokenDigest;

use crate::output;

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

/// Reads a token and prints its digest.
pub(crate) fn run(Options {}: Options) -> anyhow::Result<()> {
    let token = io::read_to_string(io::stdin())?;
    let token = token.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        bail!("a token without white space is expected on stdin");
    }
    let digest = TokenDigest::of(token).to_hex();
    Ok(output::line(&format!("token_sha256 = \"{digest}\""))?)
}
