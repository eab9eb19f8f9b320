//! A configuration file, read and checked as the gateway would.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use berry_core::config::suggestion;
use berry_core::{Config, Diagnostics, Loaded, Provider, Source};
use berry_loadbalance::{Events, Registry};
use berry_relay::{Names, Snapshot};

use crate::env;
use crate::failure::Faulty;

/// A file that can be read, and what it is.
pub(crate) struct Read {
    pub(crate) source: Source,
    pub(crate) result: Result<Loaded, Diagnostics>,
}

/// Reads a file.
///
/// # Errors
/// It cannot be read.
pub(crate) fn source(path: &Path) -> anyhow::Result<Source> {
    Source::read(path).context("the configuration cannot be loaded")
}

/// Reads and checks a file.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read(path: &Path) -> anyhow::Result<Read> {
    let source = source(path)?;
    let result = Names::collect().parse(&source, &|name| env::read(name));
    Ok(Read { source, result })
}

/// Reads a file that must have no errors. Its warnings are for `validate-config`.
///
/// # Errors
/// It cannot be read, or has errors.
pub(crate) fn open(path: &Path) -> anyhow::Result<Config> {
    let Read { source, result } = read(path)?;
    match result {
        Ok(Loaded { config, .. }) => Ok(config),
        Err(findings) => Err(Faulty { source, findings }.into()),
    }
}

/// Makes ready to serve a configuration, or says why it cannot be served.
pub(crate) fn compile(config: Config) -> anyhow::Result<Snapshot> {
    let registry = Registry::new(Events::to(|_| {}));
    Ok(Snapshot::compile(Arc::new(config), &registry, None)?)
}

/// Returns the provider of this id, which must be enabled.
///
/// # Errors
/// There is none, or it is off.
pub(crate) fn enabled<'a>(config: &'a Config, id: &str) -> anyhow::Result<&'a Arc<Provider>> {
    let mut providers = config.providers.iter();
    match providers.find(|provider| provider.id.as_str() == id) {
        None => {
            let known = config.providers.iter().map(|provider| provider.id.as_str());
            Err(unknown(&format!("there is no provider `{id}`"), id, known))
        }
        Some(provider) if !provider.enabled => bail!("provider `{id}` is disabled"),
        Some(provider) => Ok(provider),
    }
}

/// Returns what is wrong with a name that is none of the known ones, and which of them may be meant.
pub(crate) fn unknown<'a>(
    wrong: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> anyhow::Error {
    match suggestion(name, known) {
        Some(help) => anyhow!("{wrong}: {help}"),
        None => anyhow!("{wrong}"),
    }
}
