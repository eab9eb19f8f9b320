//! `generate-token`: a token that cannot be guessed.

use berry_core::TokenDigest;
use serde::Serialize;

use crate::args::Format;
use crate::{chance, output};

/// How to print it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// For whom the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Serialize)]
struct Made {
    token: String,
    token_sha256: String,
}

/// Prints a new token, and the digest that a configuration can have in its place.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let token = token()?;
    let token_sha256 = TokenDigest::of(&token).to_hex();
    match options.format {
        Format::Json => output::json(&Made {
            token,
            token_sha256,
        }),
        Format::Text => {
            output::line(&format!("token = \"{token}\""))?;
            output::aside("# or, so that the file does not have the token in it:\n");
            Ok(output::line(&format!(
                "# token_sha256 = \"{token_sha256}\""
            ))?)
        }
    }
}

/// Makes a token.
pub(super) fn token() -> anyhow::Result<String> {
    Ok(format!("berry-{}", chance::text()?))
}
