//! `health-check`: whether the providers of a configuration work, asked by this command.

use anyhow::bail;

use crate::args::{ConfigArg, Format, text};
use crate::opened;
use crate::output;
use crate::probing;
use crate::report;

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    file: ConfigArg,
    /// Only this provider, by its id
    #[arg(short, long, value_name = "ID", value_parser = text)]
    provider: Option<String>,
    /// For whom the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Asks, and fails where one of them fails.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let config = opened::open(&options.file.config)?;
    if let Some(id) = &options.provider {
        opened::enabled(&config, id)?;
    }
    let plan = probing::of_all(&config, options.provider.as_deref());
    let is_idle = plan.tasks.is_empty();
    let results = probing::run(&config, plan).await?;
    match options.format {
        Format::Json => output::json(&results)?,
        Format::Text => report::print(&results)?,
    }
    if is_idle {
        let path = options.file.config.display();
        bail!("nobody was asked: `{path}` has no enabled provider");
    }
    if options.format == Format::Text {
        report::conclude(&results)?;
    }
    report::fail_if_any(&results)
}
