//! `timeouts`: how long the gateway waits for what, as a configuration has it.

use std::time::Duration;

use berry_core::config::{Backend, Model};
use berry_relay::waits::{Wait, of_backend, of_clients};
use serde_json::{Value, json};

use crate::args::{ConfigArg, Format, text};
use crate::opened;
use crate::output::{self, Table};

/// Which waits.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    file: ConfigArg,
    /// Only those of this model, by its name or key
    #[arg(short, long, value_name = "MODEL", value_parser = text)]
    model: Option<String>,
    /// For whom the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Prints them.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let config = opened::open(&options.file.config)?;
    let asked = |model: &&Model| match &options.model {
        Some(name) => model.name.as_str() == name || model.key.as_str() == name,
        None => model.enabled,
    };
    let models: Vec<&Model> = config
        .models
        .iter()
        .map(AsRef::as_ref)
        .filter(asked)
        .collect();
    if let (Some(name), true) = (&options.model, models.is_empty()) {
        let known = config.models.iter().map(|model| model.name.as_str());
        let wrong = format!("no model is called `{name}`");
        return Err(opened::unknown(&wrong, name, known));
    }
    let backends = models.iter().flat_map(|model| {
        let backends = model.backends.iter();
        let used = backends.filter(|backend| backend.enabled && backend.provider.enabled);
        used.map(move |backend| (*model, backend))
    });
    let backends: Vec<_> = backends
        .map(|(model, backend)| (model, backend, of_backend(&config, backend)))
        .collect();
    let clients = of_clients(&config);
    match options.format {
        Format::Json => output::json(&to_json(&clients, &backends)),
        Format::Text => {
            output::line("Clients")?;
            output::text(&table(&clients))?;
            for (model, backend, waits) in &backends {
                let provider = &backend.provider.id;
                let title = format!("Model {}, backend {provider}:{}", model.name, backend.model);
                output::line(&format!("\n{title}"))?;
                output::text(&table(waits))?;
            }
            Ok(())
        }
    }
}

fn table(waits: &[Wait]) -> String {
    let mut table = Table::indented();
    table.row(["waits for", "at most", "then", "set by"]);
    for wait in waits {
        table.row([
            wait.for_what.to_owned(),
            wait.length.map_or("unbounded".to_owned(), shown),
            wait.ends_with.to_owned(),
            wait.setting.unwrap_or("fixed").to_owned(),
        ]);
    }
    table.to_string()
}

fn shown(length: Duration) -> String {
    format!("{}s", length.as_secs_f64())
}

fn to_json(clients: &[Wait], backends: &[(&Model, &Backend, Vec<Wait>)]) -> Value {
    let row = |wait: &Wait| {
        json!({
            "for": wait.for_what,
            "seconds": wait.length.map(|length| length.as_secs_f64()),
            "then": wait.ends_with,
            "setting": wait.setting,
        })
    };
    let rows = |waits: &[Wait]| waits.iter().map(row).collect::<Value>();
    let backends = backends.iter().map(|(model, backend, waits)| {
        json!({
            "model": model.name.as_str(),
            "backend": format!("{}:{}", backend.provider.id, backend.model),
            "waits": rows(waits),
        })
    });
    json!({ "clients": rows(clients), "backends": backends.collect::<Value>() })
}
