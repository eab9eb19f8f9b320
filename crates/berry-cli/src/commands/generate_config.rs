//! `generate-config`: a file to begin with.
//!
//! The short one has what a first request needs, with a token of its own; the long one is the
//! example that the project ships, with every option.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};

use crate::{chance, output, rewrite};

/// A file with keys in it is for its owner only.
const MODE: u32 = 0o600;

/// The name of the schema, beside the file that names it.
const SCHEMA: &str = "berry.schema.json";

/// What to write, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The file to write, with a schema for editors beside it; `-` is stdout
    #[arg(short, long, value_name = "FILE", default_value = "config.toml")]
    output: PathBuf,
    /// With every option
    #[arg(long)]
    advanced: bool,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

/// Writes the files.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let text = if options.advanced {
        let example = berry_relay::reference::example();
        // Its first lines name the schema where it is in the project.
        let story = example
            .split_once("\n\n")
            .map(|(_, story)| story.to_owned());
        story.unwrap_or(example)
    } else {
        basic(&chance::text()?)
    };
    if options.output == Path::new("-") {
        return Ok(output::text(&text)?);
    }
    let (path, force) = (&options.output, options.force);
    let schema = path.with_file_name(SCHEMA);
    ensure!(
        *path != schema,
        "`{}` is what the schema beside the configuration is called",
        path.display()
    );
    write(path, &format!("#:schema ./{SCHEMA}\n\n{text}"), force)?;
    let text = berry_relay::reference::schema();
    let there = fs::read(&schema).ok().filter(|_| !force);
    if there.is_none() {
        write(&schema, &text, force)?;
    }
    let path = path.display();
    output::line("✅ Configuration file generated successfully")?;
    output::line(&format!("  - written to {path}"))?;
    let schema = schema.display();
    match there {
        Some(there) if there != text.as_bytes() => output::aside(&format!(
            "warning: `{schema}` is not this version's and stays, so that editors may be wrong \
             about keys; `--force` writes both files anew\n"
        )),
        _ => output::line(&format!("  - its schema, for editors: {schema}"))?,
    }
    Ok(output::line(&format!(
        "  - next: put your keys in, then berry-cli validate-config -c {path}"
    ))?)
}

/// Writes a file, which must not be there unless it is to be overwritten. One that is there is replaced
/// as a whole or not at all: a gateway may be watching it.
fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let there = fs::canonicalize(path).ok().filter(|path| path.is_file());
    if let Some(path) = there.filter(|_| force) {
        return rewrite::replace(&path, text);
    }
    let mut file = OpenOptions::new();
    file.write(true).mode(MODE);
    if force {
        file.create(true);
    } else {
        file.create_new(true);
    }
    let shown = path.display();
    let written = file
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow!("`{shown}` is there already; overwrite it with `--force`")
        }
        _ => anyhow!(error).context(format!("`{shown}` cannot be written")),
    })
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
