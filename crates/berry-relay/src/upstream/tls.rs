//! Whom an upstream's certificate may be signed by, and which protocols are offered to it.
//!
//! The bundled Mozilla roots make a container without certificates work; the system's roots (and
//! `SSL_CERT_FILE`) make a corporate network work; a provider's `ca_file` is trusted besides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use berry_core::config::HttpVersion;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why no TLS configuration could be made for a provider.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is missing, unreadable or not PEM.
    #[error("`ca_file` {} cannot be read as PEM certificates", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The file holds no certificate that can be a root.
    #[error("`ca_file` {} holds no usable certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The cryptography library does not offer what is needed.
    #[error("no TLS")]
    Unavailable(#[from] rustls::Error),
}

/// The roots that every provider's certificates are checked against.
#[derive(Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Collects the bundled roots and the system's. System roots that cannot be read are left out:
    /// a minimal image has none.
    pub fn load() -> Self {
        let mut store = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self(Arc::new(store))
    }

    /// Returns them, to be added to.
    pub fn to_store(&self) -> RootCertStore {
        RootCertStore::clone(&self.0)
    }

    /// Makes the configuration for these versions of HTTP; a file's certificates, given with its
    /// path, are trusted besides.
    pub(crate) fn client_config(
        &self,
        http_version: HttpVersion,
        certificates: Option<(&Path, &[u8])>,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match certificates {
            Some((path, pem)) => Arc::new(self.and(path, pem)?),
            None => Arc::clone(&self.0),
        };
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = match http_version {
            HttpVersion::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            HttpVersion::Http1 | HttpVersion::H2c => vec![b"http/1.1".to_vec()],
        };
        Ok(Arc::new(config))
    }

    /// Returns these roots and the certificates of a file.
    fn and(&self, path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
        let wrong = |source| TlsError::CaFile {
            path: path.to_owned(),
            source,
        };
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            certificates.push(certificate.map_err(wrong)?);
        }
        let mut roots = self.to_store();
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(TlsError::NoCertificate(path.to_owned()));
        }
        Ok(roots)
    }
}
