//! TLS for clients: the certificate of `[server]`, and which protocols are offered under it.
//!
//! The files are read with the configuration, at the start and by every reload, also where their
//! names are the same: certificates are renewed in place. What is wrong with them is a finding
//! about the configuration like any other. Connections that are open keep what they began with.

use std::sync::Arc;

use berry_core::{Config, Diagnostics, Source};
use berry_relay::files;
use rustls::ServerConfig;

/// Reads the certificate that clients are to be shown; none where TLS is not served.
///
/// # Errors
/// A finding at the setting whose file is missing, not PEM, or does not go with the other.
pub fn load(config: &Config, source: &Source) -> Result<Option<Arc<ServerConfig>>, Diagnostics> {
    let certificate = files::server_certificate(config, source)?;
    Ok(certificate.map(|mut config| {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }))
}
