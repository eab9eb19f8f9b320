//! The command line, and what the environment says in its place.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use berry_api::env;
use berry_core::config::ServerSettings;

/// The most open client connections unless told otherwise.
const MAX_CONNECTIONS: usize = 10_000;

/// An OpenAI-compatible gateway that balances AI requests over many providers.
#[derive(Debug, clap::Parser)]
#[command(name = "berry-api", version, about)]
pub(crate) struct Arguments {
    /// The configuration file; wins over `CONFIG_PATH` and the usual places
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Check the configuration, print every finding, and exit with 0 or 1
    #[arg(long)]
    pub(crate) check_config: bool,
}

/// Returns where to listen: the environment wins over the file.
pub(crate) fn bind_address(settings: &ServerSettings) -> anyhow::Result<SocketAddr> {
    let Some(text) = env::read(env::BIND_ADDRESS) else {
        return Ok(settings.address());
    };
    let name = env::BIND_ADDRESS;
    let wrong =
        || format!("`{name}` is `{text}`; it must be an address and a port, like `0.0.0.0:3000`");
    text.parse().with_context(wrong)
}

/// Returns the most open client connections.
pub(crate) fn max_connections() -> anyhow::Result<usize> {
    let Some(text) = env::read(env::MAX_CONNECTIONS) else {
        return Ok(MAX_CONNECTIONS);
    };
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => bail!(
            "`{}` is `{text}`; it must be a number of at least 1",
            env::MAX_CONNECTIONS
        ),
    }
}
