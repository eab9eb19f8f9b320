//! `hash-token`: the digest that a configuration can have in a token's place.
//!
//! The token is read from stdin: a command line is seen by every user of a machine, and kept by
//! the shell.

use std::io::{self, Read};

use anyhow::bail;
use berry_core::TokenDigest;
use berry_core::config::weakness;

use crate::output;

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

/// Reads a token and prints its digest.
pub(crate) fn run(Options {}: Options) -> anyhow::Result<()> {
    let mut token = Vec::new();
    io::stdin().read_to_end(&mut token)?;
    let token = token.trim_ascii();
    let Some(token) = str::from_utf8(token).ok().filter(|token| is_token(token)) else {
        bail!("a token is expected on stdin, without white space or characters outside ASCII");
    };
    if let Some(weakness) = weakness(token) {
        output::aside(&format!(
            "warning: the token {weakness}: whoever has the digest may find it; use one that \
             `generate-token` makes\n"
        ));
    }
    let digest = TokenDigest::of(token).to_hex();
    Ok(output::line(&format!("token_sha256 = \"{digest}\""))?)
}

/// Whether a request can carry it.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
