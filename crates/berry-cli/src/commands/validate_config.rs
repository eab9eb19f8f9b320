//! `validate-config`: everything that is wrong or odd about a file, at once.

use berry_core::config::Config;
use berry_relay::{Names, files};
use jiff::Timestamp;
use serde_json::json;

use crate::args::{ConfigArg, Format};
use crate::env;
use crate::failure::Told;
use crate::opened::{self, Read};
use crate::output;
use crate::probing;
use crate::report;

/// What to check, and how far.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    file: ConfigArg,
    /// For whom the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Ask the providers as well, as `health-check` does; JSON then has `diagnostics` and `checks`
    #[arg(long)]
    connect: bool,
}

/// Checks the file.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let Read { source, result } = opened::read(&options.file.config)?;
    let result = result.and_then(|loaded| files::check(loaded, &source, &env::read));
    let result = result.map(|loaded| Names::collect().lint(loaded, &source, Timestamp::now()));
    let findings = match &result {
        Ok(loaded) => loaded.warnings.clone(),
        Err(findings) => findings.clone(),
    };
    if options.format == Format::Text {
        output::aside(&findings.render(&source, output::is_colored()));
    }
    let config = match result {
        Ok(loaded) => Some(opened::compile(loaded.config)?.config),
        Err(_) => None,
    };
    let asked = config.as_ref().filter(|_| options.connect);
    if options.format == Format::Text
        && let Some(config) = &config
    {
        approve(config)?;
    }
    let checks = match asked {
        Some(config) => probing::run(config, probing::of_all(config, None)).await?,
        None => Vec::new(),
    };
    match (options.format, options.connect) {
        (Format::Json, false) => output::line(&findings.to_json(&source))?,
        (Format::Json, true) => {
            let diagnostics = findings.reports(&source);
            output::json(&json!({ "diagnostics": diagnostics, "checks": checks }))?;
        }
        (Format::Text, _) => {
            report::print(&checks)?;
            report::conclude(&checks)?;
        }
    }
    if config.is_none() {
        return Err(Told.into());
    }
    report::fail_if_any(&checks)
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
