//! The process around the gateway: its listener, its telemetry, its ledger.
//!
//! Some of this is fixed at start; a reload that changes it is refused by whoever reloads.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Where the gateway listens unless told otherwise: on this machine only.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);

/// How clients are served: `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen; the environment wins over it.
    pub bind_address: Option<SocketAddr>,
    /// The certificate to serve TLS with, if TLS is served.
    pub tls: Option<ServerTls>,
    /// The time until a request's head is complete.
    pub header_timeout: Duration,
    /// The longest silence in the midst of a request's body.
    pub body_idle_timeout: Duration,
    /// How long an unused client connection is kept.
    pub client_idle_timeout: Duration,
    /// How long a client may take no bytes of an answer that waits for it.
    pub client_write_timeout: Duration,
    /// The threads that serve; as many as cores when absent.
    pub worker_threads: Option<NonZeroUsize>,
}

impl ServerSettings {
    /// Returns where to listen where the environment does not say it.
    pub fn address(&self) -> SocketAddr {
        self.bind_address.unwrap_or(DEFAULT_ADDRESS)
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            bind_address: None,
            tls: None,
            header_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_mins(1),
            client_idle_timeout: Duration::from_secs(75),
            client_write_timeout: Duration::from_mins(1),
            worker_threads: None,
        }
    }
}

/// The PEM files of the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What is told to the outside about the process: `[telemetry]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Where traces are sent, if anywhere.
    pub otlp_endpoint: Option<http::Uri>,
    /// The share of requests that are traced, 0 to 1.
    pub sample_ratio: f64,
    /// What the process calls itself in traces.
    pub service_name: Box<str>,
    /// Where JSON log lines are written beside stdout, if anywhere.
    pub log_file: Option<PathBuf>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            sample_ratio: 1.0,
            service_name: "berry-api".into(),
            log_file: None,
        }
    }
}

/// The ledger of what was used: `[usage]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The database file, if a ledger is kept.
    pub database: Option<PathBuf>,
    /// How many days a row is kept.
    pub retention_days: u32,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            database: None,
            retention_days: 90,
        }
    }
}
