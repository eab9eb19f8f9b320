//! `hash-token`: the digest that a configuration can have in a token's place.

use anyhow::bail;
use berry_core::TokenDigest;
use berry_core::config::weakness;

use crate::{input, output};

/// Nothing to choose.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The token is read from stdin; a terminal asks for it, and shows it as it is typed."
)]
pub(crate) struct Options {}

/// Reads a token and prints its digest.
pub(crate) fn run(Options {}: Options) -> anyhow::Result<()> {
    let input = input::secret("token")?;
    let token = input.expose().trim_ascii();
    if !is_token(token) {
        bail!("a token is expected on stdin, without white space or characters outside ASCII");
    }
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
