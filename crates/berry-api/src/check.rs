//! Loads a configuration, and says what was found.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use anyhow::Context;
use berry_api::config_file::ConfigFile;
use berry_api::env;
use berry_core::{Loaded, Source, color};
use berry_loadbalance::{Events, Registry};
use berry_relay::{Names, Snapshot, files};
use jiff::Timestamp;

/// A configuration without errors.
pub(crate) struct Checked {
    pub(crate) loaded: Loaded,
    /// What it was read from.
    pub(crate) source: Source,
}

impl Checked {
    /// Loads the file; the inner error is the rendered report of what is wrong with it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn load(file: &ConfigFile) -> anyhow::Result<Result<Self, String>> {
        let source = Source::read(&file.path).context("the configuration cannot be loaded")?;
        let parsed = Names::collect().parse(&source, &env::read);
        let checked = parsed.and_then(|loaded| files::check(loaded, &source, &env::read));
        Ok(match checked {
            Ok(loaded) => Ok(Self { loaded, source }),
            Err(diagnostics) => Err(diagnostics.render(&source, is_colored())),
        })
    }

    /// Prints what `--check-config` prints: what is odd to stderr, the result to `out`. The
    /// configuration is compiled as serving it would, so that what is approved can start.
    ///
    /// # Errors
    /// The configuration cannot be served.
    pub(crate) fn report(self, out: &mut impl Write) -> anyhow::Result<()> {
        let Loaded { config, warnings } =
            Names::collect().lint(self.loaded, &self.source, Timestamp::now());
        let rendered = warnings.render(&self.source, is_colored());
        unless_gone(io::stderr().write_all(rendered.as_bytes()))?;
        let registry = Registry::new(Events::to(|_| {}));
        let config = Snapshot::compile(Arc::new(config), &registry, None)?.config;
        let result = format!(
            "✅ Configuration is valid\n  - {} providers configured\n  - {} models configured\n  \
             - {} users configured\n",
            config.providers.len(),
            config.models.len(),
            config.users.len()
        );
        Ok(unless_gone(out.write_all(result.as_bytes()))?)
    }
}

/// Takes a reader that is gone for one that has read enough, as `grep -q` has.
fn unless_gone(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn is_colored() -> bool {
    color::is_wanted(io::stderr().is_terminal(), &env::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_gone_does_not_change_the_verdict() {
        let source = Source::new("config.toml", "");
        let loaded = Names::collect().parse(&source, &|_| None).unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);

        let reported = Checked { loaded, source }.report(&mut writer);

        assert!(reported.is_ok(), "{reported:?}");
    }
}
