//! `encrypt-key`: keys that can stand in a file without being readable in it.
//!
//! A key to encrypt is read from stdin, never from the command line, which others see.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, bail};
use berry_core::Secret;
use berry_core::config::MasterKey;

use crate::args::ConfigArg;
use crate::rewrite::File;
use crate::{env, output};

/// What to encrypt. The master key is taken from the environment, as the gateway takes it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The master key is in BERRY_MASTER_KEY, or in the file that \
                        BERRY_MASTER_KEY_FILE names."
)]
pub(crate) struct Options {
    #[command(flatten)]
    file: ConfigArg,
    /// Encrypt the key on stdin for this provider, and print the line for the file
    #[arg(short, long, value_name = "ID")]
    provider: Option<String>,
    /// Encrypt every key in the file that is not, and encrypt the others anew
    #[arg(long)]
    in_place: bool,
    /// The file of the master key that the file was encrypted with
    #[arg(long, value_name = "FILE", requires = "in_place")]
    old_master_key_file: Option<PathBuf>,
    /// Print a new master key
    #[arg(long)]
    new_master_key: bool,
}

/// Does the one thing that was asked for.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match (&options.provider, options.in_place, options.new_master_key) {
        (None, false, true) => Ok(output::line(MasterKey::generate()?.expose())?),
        (Some(provider), false, false) => print_sealed(provider),
        (None, true, false) => seal_file(options),
        _ => bail!("say one of `--provider ID`, `--in-place` and `--new-master-key`"),
    }
}

fn master_key() -> anyhow::Result<MasterKey> {
    Ok(MasterKey::find(&|name| env::read(name))?)
}

fn print_sealed(provider: &str) -> anyhow::Result<()> {
    let master = master_key()?;
    let input = Secret::new(io::read_to_string(io::stdin())?);
    let key = input.expose().trim();
    if key.is_empty() {
        bail!("a key is expected on stdin");
    }
    let sealed = master.seal(provider, &Secret::new(key))?;
    Ok(output::line(&format!("api_key = \"{sealed}\""))?)
}

fn seal_file(options: &Options) -> anyhow::Result<()> {
    let master = master_key()?;
    let old = options.old_master_key_file.as_ref();
    let old = old.map(MasterKey::read).transpose()?;
    let file = File::read(&options.file.config)?;
    let mut changes = Vec::new();
    for text in file.texts("providers", &["api_key"])? {
        if text.value.is_empty() || text.is_variable() {
            continue;
        }
        let key = if text.value.starts_with("enc:") {
            let opened = old.as_ref().unwrap_or(&master).open(&text.id, &text.value);
            opened.with_context(|| format!("the key of provider `{}` stays as it is", text.id))?
        } else {
            Secret::new(&text.value)
        };
        let sealed = master.seal(&text.id, &key)?;
        changes.push((text, sealed));
    }
    let count = changes.len();
    file.put(changes)?;
    let keys = if count == 1 { "key" } else { "keys" };
    Ok(output::line(&format!(
        "✅ {count} {keys} encrypted in {}",
        options.file.config.display()
    ))?)
}
