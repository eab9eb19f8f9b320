//! Loads a configuration for a command.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;
use berry_core::{Config, Source, Vocabulary};
use berry_relay::Names;

/// Loads a configuration file. What is found about it goes to stderr, as diagnostics do.
///
/// # Errors
/// The file cannot be read, or has an error.
pub(crate) fn load(path: &Path) -> anyhow::Result<Config> {
    let source = Source::read(path).context("the configuration cannot be loaded")?;
    let names = Names::collect();
    let vocabulary = Vocabulary {
        strategies: &names.strategies,
        protocols: &names.protocols,
    };
    let color = io::stderr().is_terminal();
    let environment = |name: &str| std::env::var(name).ok();
    let parsed = Config::parse(&source, &vocabulary, &environment);
    let findings = match &parsed {
        Ok(loaded) => &loaded.warnings,
        Err(findings) => findings,
    };
    write!(io::stderr(), "{}", findings.render(&source, color))?;
    match parsed {
        Ok(loaded) => Ok(loaded.config),
        Err(_) => anyhow::bail!("the configuration `{}` has errors", path.display()),
    }
}
