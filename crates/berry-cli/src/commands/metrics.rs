//! `metrics`: what a running gateway has counted, asked of it over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use berry_core::{Config, Source, TokenDigest};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;
use toml::Table as TomlTable;

use crate::args::{ConfigArg, Format};
use crate::env;
use crate::opened::{self, Opened};
use crate::output::{self, Table};

/// Where the gateway listens unless told otherwise.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);
/// A gateway answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which gateway to ask, and for how much.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    file: ConfigArg,
    /// Each backend as well; needs an admin's token
    #[arg(long)]
    detailed: bool,
    /// Where the gateway is; without it, where the configuration says
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// For whom the result is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Asks the gateway, and prints what it says.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let Opened { source, config } = opened::open(&options.file.config)?;
    let base = match &options.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", address(&config)?),
    };
    let token = admin_token(&source, &config);
    let mut metrics = ask(&format!("{base}/metrics"), token.as_deref()).await?;
    if options.detailed {
        let path: &Path = &options.file.config;
        let token = token.with_context(|| {
            let path = path.display();
            format!("`{path}` has no enabled admin whose `token` is in it")
        })?;
        let health = ask(&format!("{base}/admin/backend-health"), Some(&token)).await?;
        metrics["backend_health"] = health["backend_health"].clone();
    }
    match options.format {
        Format::Json => output::json(&metrics),
        Format::Text => print(&metrics),
    }
}

/// Returns where a gateway with this configuration is reached from here.
fn address(config: &Config) -> anyhow::Result<SocketAddr> {
    let mut address = match env::read(env::BIND_ADDRESS) {
        Some(text) => {
            let wrong = || format!("`{}` is `{text}`, which is no address", env::BIND_ADDRESS);
            text.parse().with_context(wrong)?
        }
        None => config.server.bind_address.unwrap_or(DEFAULT_ADDRESS),
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

/// Returns the token of the first enabled admin whose token is in the file. What the configuration
/// keeps is only its digest.
fn admin_token(source: &Source, config: &Config) -> Option<String> {
    let file: TomlTable = source.text().parse().ok()?;
    let admins = config
        .users
        .iter()
        .filter(|user| user.enabled && user.is_admin());
    let mut tokens = admins.filter_map(|user| {
        let written = file.get("users")?.get(user.id.as_str())?;
        let token = written.get("token")?.as_str()?;
        (TokenDigest::of(token) == user.token).then(|| token.to_owned())
    });
    tokens.next()
}

async fn ask(url: &str, token: Option<&str>) -> anyhow::Result<Value> {
    let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
    if uri.scheme_str() != Some("http") {
        bail!("`{url}` is not reached by `http://`, which is what a gateway speaks");
    }
    let mut request = Request::get(uri);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answered = timeout(PATIENCE, async {
        let response = client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::Ok((status, body))
    });
    let answered = answered
        .await
        .map_err(|_| anyhow!("no answer within {PATIENCE:?}"))?;
    let (status, body) = answered.with_context(|| format!("no gateway answers at `{url}`"))?;
    if status != StatusCode::OK {
        bail!("`{url}` answers with {status}");
    }
    serde_json::from_slice(&body).with_context(|| format!("`{url}` does not answer with JSON"))
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
