//! By what a gateway is known that speaks TLS.
//!
//! One that is found through its configuration is whoever shows the certificate which is named there:
//! here it goes by an address such as 127.0.0.1, which certificates seldom have in them, and it may
//! have signed its own. Any other is known as providers are, by roots that vouch for its name; a file
//! may hold further roots, or just the gateway's own certificate. There is no way to trust anybody:
//! what is sent is an admin's token.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use berry_relay::Roots;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Knows the gateway that serves the certificates of this file.
pub(crate) fn in_served(path: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let mut certificates = read(path)?;
    // Those behind it are authorities' and vouch for others, too.
    certificates.truncate(1);
    config(Trust {
        certificates,
        roots: None,
        algorithms: crypto().signature_verification_algorithms,
    })
}

/// Knows who has a certificate of a known authority, or of this file.
pub(crate) fn in_roots(file: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let certificates = file.map(read).transpose()?.unwrap_or_default();
    let mut store = Roots::load().to_store();
    store.add_parsable_certificates(certificates.iter().cloned());
    let roots = WebPkiServerVerifier::builder_with_provider(Arc::new(store), crypto().into());
    config(Trust {
        certificates,
        roots: Some(roots.build()?),
        algorithms: crypto().signature_verification_algorithms,
    })
}

fn read(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let wrong = || format!("`{}` cannot be read as PEM certificates", path.display());
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = certificates.with_context(wrong)?;
    anyhow::ensure!(
        !certificates.is_empty(),
        "`{}` holds no certificate",
        path.display()
    );
    Ok(certificates)
}

fn config(trust: Trust) -> anyhow::Result<Arc<ClientConfig>> {
    let mut config = ClientConfig::builder_with_provider(crypto().into())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn crypto() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// Whose certificates are accepted.
#[derive(Debug)]
struct Trust {
    /// Accepted as they are: whoever shows one has its key, as the handshake proves.
    certificates: Vec<CertificateDer<'static>>,
    /// Who vouches for others.
    roots: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.contains(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.roots {
            Some(roots) => {
                roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(rustls::Error::General(
                "it shows another certificate than `tls_cert` holds: if that was renewed, reload \
                 the gateway"
                    .to_owned(),
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
