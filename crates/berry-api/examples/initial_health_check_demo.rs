//! Shows the first round of health checks, against simulated providers of each sort.
//!
//! `cargo run --example initial_health_check_demo` starts four providers and a gateway, lets it
//! probe for some seconds, and stops it. What it finds is in the log lines of the target
//! `berry_loadbalance::health_check`, as it would be in production; then each provider says how often
//! it was asked. Nothing leaves this machine.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use berry_api::telemetry::{Format, LogOptions};
use berry_api::{App, Options};
use berry_core::{Config, Source};
use berry_relay::Names;
use berry_testkit::{Behaviour, Upstream};

/// Longer than the first round and its slowest probe take.
const WATCH: Duration = Duration::from_secs(4);

/// One model, served by providers that work, refuse the key, hang, or may not be asked.
const CONFIG: &str = r#"
    [settings]
    health_check_timeout_seconds = 1

    [models.demo]
    name = "demo"
    backends = [
        { provider = "works", model = "a" },
        { provider = "refuses", model = "b" },
        { provider = "hangs", model = "c" },
        { provider = "bills_by_request", model = "d", billing_mode = "per_request" },
    ]

    [users.demo]
    token = "demo-token-0123456789"
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let logs = LogOptions {
        format: Format::Text,
        filter: "warn,berry_loadbalance::health_check=debug".to_owned(),
        file: None,
        fixed_file: None,
    };
    let logs = logs.init()?;
    let behaviours = [
        ("works", Behaviour::echo()),
        ("refuses", Behaviour::status(401)),
        ("hangs", Behaviour::echo().hang()),
        ("bills_by_request", Behaviour::echo()),
    ];
    let mut toml = CONFIG.to_owned();
    let mut upstreams = Vec::new();
    for (name, behaviour) in behaviours {
        let upstream = Upstream::builder().behaviour(behaviour).start().await;
        let url = upstream.url();
        write!(
            toml,
            "[providers.{name}]\nbase_url = \"{url}\"\napi_key = \"demo\"\nproxy_url = \"none\"\n"
        )?;
        upstreams.push((name, upstream));
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("demo.toml");
    std::fs::write(&path, toml)?;
    let source = Source::read(&path)?;
    let app = App::build(Options {
        config: parse(&source)?,
        source,
        logs,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        max_connections: 1,
        seed: 7,
    })
    .context("the gateway does not start")?;
    app.run(tokio::time::sleep(WATCH)).await;
    let mut out = io::stdout().lock();
    for (name, upstream) in &upstreams {
        writeln!(out, "`{name}` was asked {} times", upstream.request_count())?;
    }
    Ok(())
}

/// Reads a configuration as the binary does.
fn parse(source: &Source) -> anyhow::Result<Config> {
    let loaded = Names::collect().parse(source, &|_| None);
    let loaded = loaded.map_err(|findings| anyhow!("{}", findings.render(source, false)))?;
    Ok(loaded.config)
}
