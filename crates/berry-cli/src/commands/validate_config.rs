//! `validate-config`: everything that is wrong or odd about a file, at once.

use berry_core::config::Config;

use crate::args::{ConfigArg, Format};
use crate::opened::{self, Read};
use crate::output::{self, Told};
use crate::probing;

/// What to check, and how far.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    file: ConfigArg,
    /// For whom the result is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Ask the providers as well, as `health-check` does
    #[arg(long, conflicts_with = "format")]
    connect: bool,
}

/// Checks the file.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let Read { source, result } = opened::read(&options.file.config)?;
    let result = result.map(|loaded| loaded.linted(&source));
    let findings = match &result {
        Ok(loaded) => &loaded.warnings,
        Err(findings) => findings,
    };
    match options.format {
        Format::Json => output::line(&findings.to_json(&source))?,
        Format::Text => output::aside(&findings.render(&source, output::is_colored())),
    }
    let loaded = result.map_err(|_| Told)?;
    let snapshot = opened::compile(loaded.config)?;
    if options.format == Format::Text {
        approve(&snapshot.config)?;
    }
    if options.connect {
        let config = &snapshot.config;
        let tasks = probing::of_all(config, None);
        let results = probing::run(config, tasks).await?;
        probing::report(&results, Format::Text)?;
    }
    Ok(())
}

fn approve(config: &Config) -> anyhow::Result<()> {
    output::line("✅ Configuration is valid")?;
    output::line(&format!(
        "  - {} providers configured",
        config.providers.len()
    ))?;
    output::line(&format!("  - {} models configured", config.models.len()))?;
    Ok(output::line(&format!(
        "  - {} users configured",
        config.users.len()
    ))?)
}
