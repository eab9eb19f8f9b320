//! Loads a configuration, and says what was found.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use anyhow::Context;
use berry_api::config_file::ConfigFile;
use berry_api::{env, tls};
use berry_core::config::Severity;
use berry_core::{Config, Source};
use berry_loadbalance::{Events, Registry};
use berry_relay::{Names, Snapshot};

/// A configuration without errors.
pub(crate) struct Checked {
    pub(crate) config: Config,
    /// What it was read from.
    pub(crate) source: Source,
    /// Each warning as one line, with its place.
    pub(crate) warnings: Vec<String>,
    /// The same with source lines, for people.
    rendered: String,
}

impl Checked {
    /// Loads the file; the inner error is the rendered report of what is wrong with it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn load(file: &ConfigFile) -> anyhow::Result<Result<Self, String>> {
        let source = Source::read(&file.path).context("the configuration cannot be loaded")?;
        let color = io::stderr().is_terminal();
        let loaded = match Names::collect().parse(&source, &|name| env::read(name)) {
            Ok(loaded) => loaded,
            Err(diagnostics) => return Ok(Err(diagnostics.render(&source, color))),
        };
        if let Err(diagnostics) = tls::load(&loaded.config, &source) {
            return Ok(Err(diagnostics.render(&source, color)));
        }
        Ok(Ok(Self {
            config: loaded.config,
            warnings: loaded.warnings.lines(Severity::Warning, &source),
            rendered: loaded.warnings.render(&source, color),
            source,
        }))
    }

    /// Prints what `--check-config` prints: warnings to stderr, the result to `out`. The
    /// configuration is compiled as serving it would, so that what is approved can start.
    ///
    /// # Errors
    /// The configuration cannot be served.
    pub(crate) fn report(self, out: &mut impl Write) -> anyhow::Result<()> {
        write!(io::stderr(), "{}", self.rendered)?;
        let registry = Registry::new(Events::to(|_| {}));
        let config = Snapshot::compile(Arc::new(self.config), &registry, None)?.config;
        writeln!(out, "✅ Configuration is valid")?;
        writeln!(out, "  - {} providers configured", config.providers.len())?;
        writeln!(out, "  - {} models configured", config.models.len())?;
        writeln!(out, "  - {} users configured", config.users.len())?;
        Ok(())
    }
}
