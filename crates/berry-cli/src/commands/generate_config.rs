//! `generate-config`: a file to begin with.
//!
//! The short one has what a first request needs, with a token of its own; the long one is the
//! example that the project ships, with every option.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::{chance, output};

/// A file with keys in it is for its owner only.
const MODE: u32 = 0o600;

/// What to write, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The file to write; `-` is stdout
    #[arg(short, long, value_name = "FILE", default_value = "config.toml")]
    output: PathBuf,
    /// With every option
    #[arg(long)]
    advanced: bool,
    /// Overwrite a file that is there
    #[arg(long)]
    force: bool,
}

/// Writes the file.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let text = if options.advanced {
        berry_relay::reference::example()
    } else {
        basic(&chance::text()?)
    };
    if options.output == Path::new("-") {
        return Ok(output::text(&text)?);
    }
    let path = options.output.display();
    let mut file = OpenOptions::new();
    file.write(true).mode(MODE);
    if options.force {
        file.create(true).truncate(true);
    } else {
        file.create_new(true);
    }
    let written = file
        .open(&options.output)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                anyhow!("`{path}` is there already; overwrite it with `--force`")
            }
            _ => anyhow!(error),
        })
        .with_context(|| format!("`{path}` cannot be written"))?;
    output::line("✅ Configuration file generated successfully")?;
    output::line(&format!("  - written to {path}"))?;
    Ok(output::line(&format!(
        "  - next: put your keys in, then berry-cli validate-config -c {path}"
    ))?)
}

fn basic(token: &str) -> String {
    format!(
        r#"# Berry API. Every option: berry-cli generate-config --advanced

[providers.openai]
base_url = "https://api.openai.com/v1"
# Or "${{OPENAI_API_KEY}}", to take it from the environment.
api_key = "put-your-key-here"

[models.chat]
name = "chat"
backends = [{{ provider = "openai", model = "gpt-4o-mini" }}]

[users.admin]
token = "berry-{token}"
"#
    )
}
