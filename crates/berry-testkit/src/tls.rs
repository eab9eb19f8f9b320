//! Certificates for a simulated provider that speaks TLS.
//!
//! Each provider gets a certificate authority of its own and a certificate for `localhost` and
//! `127.0.0.1` signed by it: verifiers refuse an authority's own certificate as a server's.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// A TLS identity and the authority that vouches for it.
pub(crate) struct Tls {
    /// Wraps accepted connections.
    pub(crate) acceptor: TlsAcceptor,
    /// The authority's certificate, in PEM.
    pub(crate) ca_pem: String,
}

impl Tls {
    /// Makes an identity whose handshakes offer the protocols of `alpn`, best first.
    pub(crate) fn generate(alpn: &[&str]) -> Self {
        let ca_key = KeyPair::generate().expect("a key pair can be generated");
        let mut ca_params = CertificateParams::default();
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca_params
            .distinguished_name
            .push(DnType::CommonName, "simulated provider authority");
        let ca = CertifiedIssuer::self_signed(ca_params, ca_key).expect("the authority is valid");

        let key = KeyPair::generate().expect("a key pair can be generated");
        let names = ["localhost", "127.0.0.1"].map(String::from);
        let certificate = CertificateParams::new(names)
            .and_then(|params| params.signed_by(&key, &ca))
            .expect("the certificate is valid");

        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("the provider supports the default versions")
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .expect("key and certificate belong together");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();

        Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            ca_pem: ca.pem(),
        }
    }
}
