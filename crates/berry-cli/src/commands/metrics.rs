//! `metrics`: what a running gateway has counted, asked of it over HTTP.

use serde_json::Value;

use crate::args::Format;
use crate::output::{self, Table};
use crate::running::{GatewayArg, Running};

/// What there is in the totals of any gateway.
const TOTALS: [&str; 5] = ["status", "service", "providers", "models", "load_balancer"];

/// Which gateway to ask, and for how much.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    gateway: GatewayArg,
    /// Each backend as well; needs an admin's token
    #[arg(long)]
    detailed: bool,
    /// For whom the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Asks the gateway, and prints what it says.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let gateway = Running::find(&options.gateway)?;
    if options.detailed {
        gateway.require_admin()?;
    }
    let mut metrics = gateway.ask_json("/metrics", &TOTALS).await?;
    if options.detailed {
        let health = gateway.ask_json("/admin/backend-health", &["backend_health"]);
        metrics["backend_health"] = health.await?["backend_health"].take();
    }
    match options.format {
        Format::Json => output::json(&metrics),
        Format::Text => print(&metrics),
    }
}

/// Prints the totals, the models and, where they are there, the backends.
fn print(metrics: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let percent = |value: &Value| {
        let share = value.as_f64().unwrap_or_default();
        format!("{:.1} %", share * 100.0)
    };
    let (service, of) = (&metrics["service"], |what: &str| {
        let count = &metrics[what];
        format!(
            "{} of {} healthy",
            text(&count["healthy"]),
            text(&count["total"])
        )
    });
    output::line(&format!("Status: {}", text(&metrics["status"])))?;
    let generation = text(&metrics["config"]["generation"]);
    let mut totals = Table::indented();
    totals.row(["requests", &text(&service["total_requests"])]);
    totals.row(["successful", &percent(&service["success_rate"])]);
    totals.row(["providers", &of("providers")]);
    totals.row(["models", &of("models")]);
    totals.row(["configuration", &format!("generation {generation}")]);
    output::text(&totals.to_string())?;
    let Some(models) = metrics["backend_health"].as_object() else {
        return Ok(());
    };
    let heads = [
        "backend",
        "healthy",
        "breaker",
        "requests",
        "successful",
        "latency",
        "last error",
    ];
    for (key, model) in models {
        output::line(&format!("Model {key}"))?;
        let mut table = Table::indented();
        table.row(heads);
        for backend in model["backends"].as_array().into_iter().flatten() {
            let latency = &backend["average_latency_ms"];
            table.row([
                format!("{}:{}", text(&backend["provider"]), text(&backend["model"])),
                text(&backend["is_healthy"]),
                text(&backend["circuit_breaker"]),
                text(&backend["total_requests"]),
                percent(&backend["success_rate"]),
                latency.as_f64().map_or("-".into(), |ms| format!("{ms} ms")),
                text(&backend["last_error"]["kind"]),
            ]);
        }
        output::text(&table.to_string())?;
    }
    Ok(())
}
