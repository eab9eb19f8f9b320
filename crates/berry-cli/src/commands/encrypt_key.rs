//! `encrypt-key`: keys that can stand in a file without being readable in it.
//!
//! A key to encrypt is read from stdin, never from the command line, which others see. A file is
//! rewritten as a whole or not at all: beside it first, then renamed over it.

use std::fs;
use std::io::{self, Write};
use std::iter;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use berry_core::config::{Diagnostic, MasterKey, SealError, SourceError, is_sealed};
use berry_core::{Secret, Source};
use clap::ArgGroup;
use tempfile::NamedTempFile;
use toml::de::DeTable;

use crate::args::ConfigArg;
use crate::{env, output};

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
    /// Encrypt the key on stdin for this provider, and print the line for the file
    #[arg(short, long, value_name = "ID")]
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
    let input = Secret::new(io::read_to_string(io::stdin())?);
    let key = input.expose().trim_end_matches(['\r', '\n']);
    check_key(key)?;
    let sealed = master.seal(provider, &Secret::new(key))?;
    Ok(output::line(&format!("api_key = \"{sealed}\""))?)
}

/// Refuses a provider that is not in the file: a key that is encrypted for one opens for no other. Where
/// there is no file, there is nothing to go by.
fn check_provider(config: &Path, provider: &str) -> anyhow::Result<()> {
    let source = match Source::read(config) {
        Err(SourceError::Missing(_)) => return Ok(()),
        read => read?,
    };
    let known = providers(&source)?;
    if !known.iter().any(|(id, _)| id == provider) {
        let known: Vec<_> = known.iter().map(|(id, _)| format!("`{id}`")).collect();
        let known = if known.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has {}", known.join(", "))
        };
        bail!(
            "there is no provider `{provider}` in `{}`: {known}",
            config.display()
        );
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

/// A key in a file.
struct Written {
    provider: String,
    value: String,
    /// Where it is, quotes included.
    span: Range<usize>,
}

fn seal_file(options: &Options) -> anyhow::Result<()> {
    let master = master_key()?;
    let old = options.old_master_key_file.iter().map(MasterKey::read);
    let old = old.collect::<Result<Vec<_>, _>>()?;
    old.iter().for_each(warn_of_exposure);
    let path = fs::canonicalize(&options.file.config)
        .with_context(|| format!("no file at `{}`", options.file.config.display()))?;
    let source = Source::read(&path)?;
    let mut text = source.text().to_owned();
    let (mut count, mut kept) = (0, 0);
    // From the end, so that the places before stay right.
    for written in keys(&source)?.into_iter().rev() {
        let provider = &written.provider;
        let key = opened(&written, &master, &old)
            .with_context(|| format!("the key of provider `{provider}` stays as it is"))?;
        if master.has_sealed(&written.value) {
            kept += 1;
            continue;
        }
        let sealed = master.seal(provider, &key)?;
        text.replace_range(written.span, &format!("\"{sealed}\""));
        count += 1;
    }
    if count > 0 {
        replace(&path, &text)?;
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
fn opened(written: &Written, master: &MasterKey, old: &[MasterKey]) -> anyhow::Result<Secret> {
    let Written {
        provider, value, ..
    } = written;
    if !is_sealed(value) {
        return Ok(Secret::new(value));
    }
    let mut masters = iter::once(master).chain(old);
    if let Some(its) = masters.find(|master| master.has_sealed(value)) {
        return Ok(its.open(provider, value)?);
    }
    let opened = master.open(provider, value);
    let help = "give the file of that one with `--old-master-key-file`";
    opened.map_err(|error| match error {
        SealError::OtherKey { .. } => anyhow!("{error}; {help}"),
        _ => anyhow!(error),
    })
}

/// Returns the keys that are in the file, in its order; the name of a variable is none.
fn keys(source: &Source) -> anyhow::Result<Vec<Written>> {
    let mut keys: Vec<_> = providers(source)?
        .into_iter()
        .filter_map(|(provider, key)| {
            let (value, span) = key?;
            let is_key = !value.is_empty() && !value.contains("${");
            is_key.then_some(Written {
                provider,
                value,
                span,
            })
        })
        .collect();
    keys.sort_by_key(|written| written.span.start);
    Ok(keys)
}

/// A provider's id, and what it has for a key, with its place.
type Provider = (String, Option<(String, Range<usize>)>);

/// Returns the providers that are in the file.
fn providers(source: &Source) -> anyhow::Result<Vec<Provider>> {
    let tree = DeTable::parse(source.text()).map_err(|error| {
        anyhow!(
            "the file is no TOML: {}; see `validate-config`",
            error.message()
        )
    })?;
    let providers = tree
        .get_ref()
        .iter()
        .find(|(key, _)| key.get_ref() == "providers");
    let providers = providers.and_then(|(_, value)| value.get_ref().as_table());
    let named = providers.into_iter().flatten().map(|(id, provider)| {
        let entries = provider.get_ref().as_table();
        let key =
            entries.and_then(|entries| entries.iter().find(|(key, _)| key.get_ref() == "api_key"));
        let value =
            key.and_then(|(_, value)| Some((value.get_ref().as_str()?.to_owned(), value.span())));
        (id.get_ref().to_string(), value)
    });
    Ok(named.collect())
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
