//! Every environment variable that Berry reads itself, named once.
//!
//! The proxy variables are read by the library that knows their conventions.

use std::ffi::OsString;

/// The configuration file; no other is looked for.
pub const CONFIG_PATH: &str = "CONFIG_PATH";
/// Where to listen; wins over `[server] bind_address`.
pub const BIND_ADDRESS: &str = "BIND_ADDRESS";
/// The most open client connections.
pub const MAX_CONNECTIONS: &str = "MAX_CONNECTIONS";
/// What is logged, in tracing's directives.
pub const RUST_LOG: &str = "RUST_LOG";
/// `text` or `json`, for stdout.
pub const LOG_FORMAT: &str = "LOG_FORMAT";
/// A file for JSON lines; wins over `[telemetry] log_file`.
pub const LOG_FILE: &str = "LOG_FILE";
/// Where a service manager listens.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Returns a variable that is set, not empty, and text.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where variables are read"
)]
pub fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns a variable that is set and not empty, whatever its bytes.
pub fn read_path(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
