//! Resolves what surrounds the gateway: `[server]`, `[telemetry]` and `[usage]`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::Resolver;
use crate::config::file::{ServerFile, TelemetryFile, UsageFile};
use crate::config::reader::Field;
use crate::config::server::{ServerSettings, ServerTls, Telemetry, Usage};

/// The variable that names a ledger where the file says nothing.
const USAGE_DATABASE: &str = "USAGE_DATABASE";

impl Resolver<'_> {
    /// Resolves `[server]`.
    pub(super) fn server(&mut self, table: &Field<ServerFile>) -> ServerSettings {
        let default = ServerSettings::default();
        let Some(file) = table.value() else {
            return default;
        };
        ServerSettings {
            bind_address: file.bind_address.value().copied(),
            tls: self.server_tls(file),
            header_timeout: file.header_timeout_seconds.or(default.header_timeout),
            body_idle_timeout: file.body_idle_timeout_seconds.or(default.body_idle_timeout),
            client_idle_timeout: file
                .client_idle_timeout_seconds
                .or(default.client_idle_timeout),
            client_write_timeout: file
                .client_write_timeout_seconds
                .or(default.client_write_timeout),
            worker_threads: file
                .worker_threads
                .value()
                .and_then(|&threads| NonZeroUsize::new(threads as usize)),
        }
    }

    /// Resolves `[usage]`. Whoever starts the process may have a ledger kept where the file does not say.
    pub(super) fn usage(&self, table: &Field<UsageFile>) -> Usage {
        let default = Usage {
            database: (self.environment)(USAGE_DATABASE).map(PathBuf::from),
            ..Usage::default()
        };
        let Some(file) = table.value() else {
            return default;
        };
        Usage {
            database: file.database.or(default.database),
            retention_days: file.retention_days.or(default.retention_days),
        }
    }

    /// Resolves the certificate and its key, which are nothing without each other.
    fn server_tls(&mut self, file: &ServerFile) -> Option<ServerTls> {
        let cert = file.tls_cert.or(None);
        let key = file.tls_key.or(None);
        match (cert, key) {
            (Some(cert), Some(key)) => return Some(ServerTls { cert, key }),
            (Some(_), None) if !file.tls_key.is_refused() => {
                let span = file.tls_cert.span()?;
                self.error(span, "`tls_cert` is given without `tls_key`");
            }
            (None, Some(_)) if !file.tls_cert.is_refused() => {
                let span = file.tls_key.span()?;
                self.error(span, "`tls_key` is given without `tls_cert`");
            }
            _ => {}
        }
        None
    }
}

/// Resolves `[telemetry]`.
pub(super) fn telemetry(table: &Field<TelemetryFile>) -> Telemetry {
    let default = Telemetry::default();
    let Some(file) = table.value() else {
        return default;
    };
    Telemetry {
        otlp_endpoint: file.otlp_endpoint.or(default.otlp_endpoint),
        sample_ratio: file.sample_ratio.or(default.sample_ratio),
        service_name: file
            .service_name
            .value()
            .map_or(default.service_name, |name| name.as_str().into()),
        log_file: file.log_file.or(default.log_file),
    }
}
