//! The process: listener, routes, errors, logs, shutdown.
//!
//! [`App`] is built from a configuration and run until told to stop. It knows neither provider
//! protocols nor how endpoints are chosen; what happens to a request is told by the files in the
//! order it meets them: `server`, `frame`, `router`, `routes`, `client_body`, `access_log`.

mod access_log;
mod app;
mod arrival;
mod audit;
#[doc(hidden)]
pub mod bench;
mod body_log;
mod caller;
mod client_body;
mod coding;
pub mod config_file;
pub mod env;
mod error;
mod exposure;
mod folder;
mod frame;
mod gateway;
mod headers;
mod host;
mod ledger;
mod memory;
mod query;
mod reload;
mod request_body;
mod router;
mod routes;
mod server;
mod signal;
mod snapshots;
mod supervisor;
mod tasks;
pub mod telemetry;
pub mod tls;
mod whole_body;

pub use app::{App, Options, StartError};
pub use audit::AuditError;
pub use reload::Reloads;
pub use router::routes;
