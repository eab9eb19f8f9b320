//! `test-backend`: whether one model of one provider answers, whether a public model uses it or not.

use crate::args::{ConfigArg, Format, text};
use crate::opened;
use crate::probing::{self, Check, Task};
use crate::report;

/// What to try.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    file: ConfigArg,
    /// The provider's id
    #[arg(short, long, value_name = "ID", value_parser = text)]
    provider: String,
    /// The model, as the provider calls it
    #[arg(short, long, value_name = "MODEL", value_parser = text)]
    model: String,
    /// For whom the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Tries it: models list, and a chat, whole and streamed, or what else it does.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let config = opened::open(&options.file.config)?;
    let (id, model) = (&options.provider, &options.model);
    let provider = opened::enabled(&config, id)?;
    let backend = probing::backend_of(provider, model);
    let checks = [vec![Check::Models], Check::of(model)].concat();
    let results = probing::ask(&config, vec![Task { backend, checks }]).await?;
    let passed = format!("✅ Backend {id}:{model} connectivity test passed");
    let failed = format!("❌ Backend {id}:{model} connectivity test failed");
    report::report_one(&results, options.format, &passed, &failed)
}
