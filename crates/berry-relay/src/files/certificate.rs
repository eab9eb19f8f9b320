//! The certificate that clients are shown, and its key: read, and whether they go together.

use std::path::Path;
use std::sync::Arc;

use berry_core::config::{Diagnostic, ServerTls};
use berry_core::{Config, Diagnostics, Source};
use rustls::ServerConfig;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Something is wrong with a file.
struct Fault {
    /// The setting that names it.
    key: &'static str,
    message: String,
    help: &'static str,
}

/// Reads the certificate of `[server]`; none where TLS is not served.
///
/// # Errors
/// A finding at the setting whose file is missing, not PEM, or does not go with the other.
pub fn server_certificate(
    config: &Config,
    source: &Source,
) -> Result<Option<ServerConfig>, Diagnostics> {
    let Some(files) = &config.server.tls else {
        return Ok(None);
    };
    server_config(files).map(Some).map_err(|fault| {
        let finding = Diagnostic::error(fault.message).help(fault.help);
        let mut findings = Diagnostics::default();
        findings.push(finding.at_key(source, "server", fault.key));
        findings
    })
}

fn server_config(files: &ServerTls) -> Result<ServerConfig, Fault> {
    let chain = CertificateDer::pem_file_iter(&files.cert).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|error| unreadable("tls_cert", &files.cert, &error))?;
    if chain.is_empty() {
        return Err(unreadable(
            "tls_cert",
            &files.cert,
            &pem::Error::NoItemsFound,
        ));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key);
    let key = key.map_err(|error| unreadable("tls_key", &files.key, &error))?;
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    config.map_err(|error| Fault {
        key: "tls_key",
        message: format!("`tls_cert` and `tls_key` cannot be used together: {error}"),
        help: "give the certificate's own key, and the chain with the server's certificate first",
    })
}

fn unreadable(key: &'static str, path: &Path, error: &pem::Error) -> Fault {
    let path = path.display();
    let message = match error {
        pem::Error::Io(error) => format!("`{key}` {path} cannot be read: {error}"),
        pem::Error::NoItemsFound if key == "tls_key" => {
            format!("`{key}` {path} holds no private key")
        }
        pem::Error::NoItemsFound => format!("`{key}` {path} holds no certificate"),
        // What else is said of a key's file may quote it.
        _ => format!("`{key}` {path} is not valid PEM"),
    };
    Fault {
        key,
        message,
        help: "name a PEM file that the gateway's user may read",
    }
}
