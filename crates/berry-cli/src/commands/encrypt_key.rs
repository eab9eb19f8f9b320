//! `encrypt-key`: keys that can stand in a file without being readable in it.
//!
//! A key to encrypt is read from stdin, never from the command line, which others see.

use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use berry_core::Secret;
use berry_core::config::{Diagnostic, MasterKey, SealError, is_sealed};
use clap::ArgGroup;

use crate::args::{ConfigArg, text};
use crate::rewrite::{File, Text};
use crate::{env, input, opened, output};

/// What to encrypt. The master key is taken from the environment, as the gateway takes it.
#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("mode").required(true).args(["provider", "in_place", "new_master_key"])),
    after_help = "The master key is in BERRY_MASTER_KEY, or in the file that \
                        BERRY_MASTER_KEY_FILE names."
)]
pub(crate) struct Options {
    #[command(flatten)]
    file: ConfigArg,
    /// Encrypt the key on stdin for this provider, and print the line for the file; a terminal asks for the
    /// key, and shows it as it is typed
    #[arg(short, long, value_name = "ID", value_parser = text)]
    provider: Option<String>,
    /// Encrypt every key in the file that is not encrypted with the master key yet
    #[arg(long)]
    in_place: bool,
    /// The file of a master key that keys in the file are encrypted with; may be given several times
    #[arg(long, value_name = "FILE", requires = "in_place")]
    old_master_key_file: Vec<PathBuf>,
    /// Print a new master key
    #[arg(long)]
    new_master_key: bool,
}

/// Does the one thing that was asked for.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.in_place {
        return seal_file(options);
    }
    match &options.provider {
        Some(provider) => print_sealed(&options.file.config, provider),
        None => Ok(output::line(MasterKey::generate()?.expose())?),
    }
}

fn master_key() -> anyhow::Result<MasterKey> {
    let master = MasterKey::find(&|name| env::read(name))?;
    warn_of_exposure(&master);
    Ok(master)
}

fn warn_of_exposure(master: &MasterKey) {
    if let Some(Diagnostic { message, help, .. }) = master.exposure() {
        output::aside(&format!(
            "warning: {message}; {}\n",
            help.unwrap_or_default()
        ));
    }
}

fn print_sealed(config: &Path, provider: &str) -> anyhow::Result<()> {
    check_provider(config, provider)?;
    let master = master_key()?;
    let input = input::secret("key")?;
    let key = input.expose().trim_end_matches(['\r', '\n']);
    check_key(key)?;
    let sealed = master.seal(provider, &Secret::new(key))?;
    Ok(output::line(&format!("api_key = \"{sealed}\""))?)
}

/// Refuses a provider that is not in the file: a key that is encrypted for one opens for no other. Where
/// there is no file, there is nothing to go by.
fn check_provider(config: &Path, provider: &str) -> anyhow::Result<()> {
    if !config.exists() {
        return Ok(());
    }
    let known = File::read(config)?.ids("providers")?;
    if !known.iter().any(|id| id == provider) {
        let wrong = format!(
            "there is no provider `{provider}` in `{}`",
            config.display()
        );
        let known = known.iter().map(String::as_str);
        return Err(opened::unknown(&wrong, provider, known));
    }
    Ok(())
}

/// Refuses what is no key; what is wrong with it is said without it.
fn check_key(key: &str) -> anyhow::Result<()> {
    if key.is_empty() {
        bail!("a key is expected on stdin");
    }
    if is_sealed(key) {
        bail!("what is on stdin is encrypted already");
    }
    if key.contains("${") {
        bail!("what is on stdin names a variable: write `api_key = \"${{NAME}}\"` as it is");
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("the key on stdin has white space or characters outside ASCII in it");
    }
    Ok(())
}

fn seal_file(options: &Options) -> anyhow::Result<()> {
    let master = master_key()?;
    let old = options.old_master_key_file.iter().map(MasterKey::read);
    let old = old.collect::<Result<Vec<_>, _>>()?;
    old.iter().for_each(warn_of_exposure);
    let file = File::read(&options.file.config)?;
    let (mut changes, mut kept) = (Vec::new(), 0);
    for text in file.texts("providers", &["api_key"])? {
        if text.value.is_empty() || text.is_variable() {
            continue;
        }
        let key = opened(&text, &master, &old)
            .with_context(|| format!("the key of provider `{}` stays as it is", text.id))?;
        if master.has_sealed(&text.value) {
            kept += 1;
            continue;
        }
        let sealed = master.seal(&text.id, &key)?;
        changes.push((text, sealed));
    }
    let count = changes.len();
    if count > 0 {
        file.put(changes)?;
    }
    let keys = if count == 1 { "key" } else { "keys" };
    let kept = match kept {
        0 => String::new(),
        _ => format!("; {kept} had been already"),
    };
    let path = options.file.config.display();
    Ok(output::line(&format!(
        "✅ {count} {keys} encrypted in {path}{kept}"
    ))?)
}

/// Returns a key as it is when nobody has encrypted it.
fn opened(text: &Text, master: &MasterKey, old: &[MasterKey]) -> anyhow::Result<Secret> {
    let Text { id, value, .. } = text;
    if !is_sealed(value) {
        return Ok(Secret::new(value));
    }
    let mut masters = iter::once(master).chain(old);
    if let Some(its) = masters.find(|master| master.has_sealed(value)) {
        return Ok(its.open(id, value)?);
    }
    let opened = master.open(id, value);
    let help = "give the file of that one with `--old-master-key-file`";
    opened.map_err(|error| match error {
        SealError::OtherKey { .. } => anyhow!("{error}; {help}"),
        _ => anyhow!(error),
    })
}
