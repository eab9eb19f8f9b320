//! `encrypt-key`: keys that can stand in a file without being readable in it.
//!
//! A key to encrypt is read from stdin, never from the command line, which others see. A file is
//! rewritten as a whole or not at all: beside it first, then renamed over it.

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use berry_core::config::MasterKey;
use berry_core::{Secret, Source};
use tempfile::NamedTempFile;
use toml::de::DeTable;

use crate::args::ConfigArg;
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

/// A key in a file.
struct Written {
    provider: String,
    value: String,
    /// Where it is, quotes included.
    span: Range<usize>,
}

fn seal_file(options: &Options) -> anyhow::Result<()> {
    let master = master_key()?;
    let old = options.old_master_key_file.as_ref();
    let old = old.map(MasterKey::read).transpose()?;
    let path = fs::canonicalize(&options.file.config)
        .with_context(|| format!("no file at `{}`", options.file.config.display()))?;
    let source = Source::read(&path)?;
    let mut text = source.text().to_owned();
    let mut count = 0;
    // From the end, so that the places before stay right.
    for written in keys(&source)?.into_iter().rev() {
        let Written {
            provider,
            value,
            span,
        } = written;
        let key = if value.starts_with("enc:") {
            let opened = old.as_ref().unwrap_or(&master).open(&provider, &value);
            opened.with_context(|| format!("the key of provider `{provider}` stays as it is"))?
        } else {
            Secret::new(value)
        };
        let sealed = master.seal(&provider, &key)?;
        text.replace_range(span, &format!("\"{sealed}\""));
        count += 1;
    }
    replace(&path, &text)?;
    let keys = if count == 1 { "key" } else { "keys" };
    Ok(output::line(&format!(
        "✅ {count} {keys} encrypted in {}",
        options.file.config.display()
    ))?)
}

/// Returns the keys that are in the file, in its order; the name of a variable is none.
fn keys(source: &Source) -> anyhow::Result<Vec<Written>> {
    let tree = DeTable::parse(source.text()).map_err(|error| {
        anyhow::anyhow!(
            "the file is no TOML: {}; see `validate-config`",
            error.message()
        )
    })?;
    let providers = tree
        .get_ref()
        .iter()
        .find(|(key, _)| key.get_ref() == "providers");
    let providers = providers.and_then(|(_, value)| value.get_ref().as_table());
    let mut keys = Vec::new();
    for (id, provider) in providers.into_iter().flatten() {
        let entries = provider.get_ref().as_table();
        let key =
            entries.and_then(|entries| entries.iter().find(|(key, _)| key.get_ref() == "api_key"));
        let value = key.and_then(|(_, value)| Some((value.get_ref().as_str()?, value.span())));
        if let Some((value, span)) =
            value.filter(|(value, _)| !value.is_empty() && !value.contains("${"))
        {
            keys.push(Written {
                provider: id.get_ref().to_string(),
                value: value.to_owned(),
                span,
            });
        }
    }
    keys.sort_by_key(|written| written.span.start);
    Ok(keys)
}

/// Puts this text in a file's place, for the same owner and readers.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let wrong = || format!("`{}` cannot be rewritten", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = NamedTempFile::new_in(folder).with_context(wrong)?;
    beside.write_all(text.as_bytes()).with_context(wrong)?;
    beside.as_file().sync_all().with_context(wrong)?;
    let (old, new) = (fs::metadata(path), beside.as_file().metadata());
    let (old, new) = (old.with_context(wrong)?, new.with_context(wrong)?);
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(&beside, Some(old.uid()), Some(old.gid()))
            .with_context(|| format!("`{}` would get another owner or group", path.display()))?;
    }
    beside
        .as_file()
        .set_permissions(old.permissions())
        .with_context(wrong)?;
    beside.persist(path).with_context(wrong)?;
    Ok(())
}
