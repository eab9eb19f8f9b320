//! `mock-upstream`: a simulated provider to try a configuration and its failover without a key.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use berry_testkit::{Behaviour, Protocol, Upstream};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{duration, share, text};
use crate::output;

/// How the provider is to behave.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", value_parser = text, default_value = "127.0.0.1:0")]
    listen: String,
    /// Name of the provider, which its answers carry
    #[arg(long, value_parser = text, default_value = "mock")]
    name: String,
    /// Protocol that it speaks
    #[arg(long, value_enum, default_value = "openai")]
    protocol: Spoken,
    /// Wait before each answer, such as `50ms` or `2s`
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0ms")]
    latency: Duration,
    /// Time between the chunks of a stream
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "20ms")]
    chunk_interval: Duration,
    /// Number of content chunks of every answer; by default, one per word
    #[arg(long, value_name = "COUNT")]
    chunks: Option<usize>,
    /// Share of requests answered with an error
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0")]
    error_rate: f64,
    /// Status of those errors
    #[arg(
        long,
        value_name = "STATUS",
        value_parser = clap::value_parser!(u16).range(400..=599),
        default_value = "500"
    )]
    error_status: u16,
    /// `Retry-After` sent with errors, in seconds
    #[arg(long, value_name = "SECONDS")]
    retry_after: Option<u64>,
    /// Share of requests whose connection is reset
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0")]
    reset_rate: f64,
    /// Models to list; others are answered all the same
    #[arg(long, value_delimiter = ',', value_parser = text, default_value = "gpt-4o,gpt-4o-mini")]
    models: Vec<String>,
    /// Key that requests must bear; by default, none is needed
    #[arg(long, value_name = "KEY", value_parser = text)]
    api_key: Option<String>,
    /// Seed of what is left to chance
    #[arg(long, default_value = "0")]
    seed: u64,
}

/// The protocols by their names in a configuration.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Spoken {
    #[value(name = "openai")]
    OpenAi,
    Azure,
    Claude,
    Gemini,
}

impl From<Spoken> for Protocol {
    fn from(spoken: Spoken) -> Self {
        match spoken {
            Spoken::OpenAi => Self::OpenAi,
            Spoken::Azure => Self::Azure,
            Spoken::Claude => Self::Claude,
            Spoken::Gemini => Self::Gemini,
        }
    }
}

/// Serves the provider until SIGINT or SIGTERM.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    // Before the line that tells a script it may go on, and then may stop us.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let upstream = start(&options)
        .await
        .with_context(|| format!("cannot listen on `{}`", options.listen))?;
    output::line(&format!(
        "mock upstream `{}` listening on {}",
        options.name,
        upstream.url()
    ))?;

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn start(options: &Options) -> anyhow::Result<Upstream> {
    let mut addresses = tokio::net::lookup_host(&options.listen).await?;
    let address: SocketAddr = addresses.next().context("the host has no address")?;
    let upstream = Upstream::builder()
        .name(&options.name)
        .protocol(options.protocol.into())
        .models(&options.models)
        .seed(options.seed)
        .behaviour(behaviour(options))
        .count_only()
        .listen(address)?;
    Ok(upstream)
}

fn behaviour(options: &Options) -> Behaviour {
    let mut behaviour = Behaviour::echo()
        .delay(options.latency)
        .chunk_interval(options.chunk_interval)
        .error_rate(options.error_rate, options.error_status)
        .reset_rate(options.reset_rate);
    if let Some(count) = options.chunks {
        behaviour = behaviour.chunks(count);
    }
    if let Some(seconds) = options.retry_after {
        behaviour = behaviour.retry_after(Duration::from_secs(seconds));
    }
    if let Some(key) = &options.api_key {
        behaviour = behaviour.require_key(key);
    }
    behaviour
}
