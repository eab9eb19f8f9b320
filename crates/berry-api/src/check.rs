//! Loads a configuration, and says what was found.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use anyhow::Context;
use berry_api::config_file::ConfigFile;
use berry_api::env;
use berry_core::{Config, Diagnostics, Source, Vocabulary};
use berry_loadbalance::{Events, Registry};
use berry_relay::{Names, Snapshot};

/// A configuration without errors.
pub(crate) struct Checked {
    pub(crate) config: Config,
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
        let names = Names::collect();
        let vocabulary = Vocabulary {
            strategies: &names.strategies,
            protocols: &names.protocols,
        };
        let color = io::stderr().is_terminal();
        let loaded = match Config::parse(&source, &vocabulary, &|name| env::read(name)) {
            Ok(loaded) => loaded,
            Err(diagnostics) => return Ok(Err(diagnostics.render(&source, color))),
        };
        Ok(Ok(Self {
            config: loaded.config,
            warnings: lines(&loaded.warnings, &source),
            rendered: loaded.warnings.render(&source, color),
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
        let config = Snapshot::compile(Arc::new(self.config), &registry)?.config;
        writeln!(out, "✅ Configuration is valid")?;
        writeln!(out, "  - {} providers configured", config.providers.len())?;
        writeln!(out, "  - {} models configured", config.models.len())?;
        writeln!(out, "  - {} users configured", config.users.len())?;
        Ok(())
    }
}

fn lines(diagnostics: &Diagnostics, source: &Source) -> Vec<String> {
    let place = |offset| {
        let (line, column) = source.position(offset);
        format!("{}:{line}:{column}: ", source.path().display())
    };
    let line = |finding: &berry_core::config::Diagnostic| {
        let place = finding
            .span
            .as_ref()
            .map(|span| place(span.start))
            .unwrap_or_default();
        format!("{place}{}", finding.message)
    };
    diagnostics.iter().map(line).collect()
}
