//! `rotate-tokens`: new tokens for users, in the file that has the old ones.
//!
//! Of a user whose token is elsewhere it is said that it stays: whoever rotates must know whose old
//! token is good for ever.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use berry_core::TokenDigest;

use crate::args::{ConfigArg, text};
use crate::commands::generate_token;
use crate::rewrite::{File, Text};
use crate::{opened, output};

/// Whose tokens to replace.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file is not checked, and no copy is kept: see `scripts/rotate-api-keys.sh`."
)]
pub(crate) struct Options {
    #[command(flatten)]
    file: ConfigArg,
    /// The users; all of them where none is named
    #[arg(value_name = "USER", value_parser = text)]
    users: Vec<String>,
}

/// Prints new tokens once, as user, tabulator, token, and writes them into the file.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let file = File::read(&options.file.config)?;
    let texts = file.texts("users", &["token", "token_sha256"])?;
    let wanted: BTreeSet<&str> = options.users.iter().map(String::as_str).collect();
    if let Some(unknown) = wanted
        .iter()
        .find(|&&user| texts.iter().all(|text| text.id != user))
    {
        let wrong = format!("the file has no `token` or `token_sha256` of a user `{unknown}`");
        let known = texts.iter().map(|text| &*text.id);
        return Err(opened::unknown(&wrong, unknown, known));
    }
    let texts = texts.into_iter();
    let texts = texts.filter(|text| wanted.is_empty() || wanted.contains(&*text.id));
    let (variables, texts): (Vec<_>, Vec<_>) = texts.partition(Text::is_variable);
    if let Some(text) = variables.first().filter(|_| !wanted.is_empty()) {
        bail!(
            "the token of user `{}` is in a variable: replace it there",
            text.id
        );
    }
    if texts.is_empty() && !variables.is_empty() {
        bail!("the tokens of all users are in variables: replace them there");
    }
    if texts.is_empty() {
        bail!("the file has no `token` or `token_sha256` of any user");
    }
    let (mut changes, mut said) = (Vec::new(), Vec::new());
    for text in texts {
        let token = generate_token::token()?;
        said.push(format!("{}\t{token}", text.id));
        let written = match &*text.key {
            "token" => token,
            _ => TokenDigest::of(&token).to_hex(),
        };
        changes.push((text, written));
    }
    // Before they count: a token that nobody has seen would shut its user out.
    output::read_line(&said.join("\n"))
        .context("the new tokens cannot be printed; the file is as it was")?;
    file.put(changes)
        .context("the tokens that were printed are not in the file")?;
    for text in variables {
        output::aside(&format!(
            "the token of user `{}` is in a variable: it stays as it is\n",
            text.id
        ));
    }
    Ok(())
}
