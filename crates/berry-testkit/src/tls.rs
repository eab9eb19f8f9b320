//! Certificates for a server that speaks TLS.
//!
//! Each gets a certificate authority of its own and a certificate for `localhost` and `127.0.0.1`
//! signed by it: verifiers refuse an authority's own certificate as a server's.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate and who vouches for it, in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The server's certificate.
    pub cert_pem: String,
    /// Its private key.
    pub key_pem: String,
    /// The authority's certificate.
    pub ca_pem: String,
}

impl Identity {
    /// Makes one that nobody else has, for this machine.
    pub fn generate() -> Self {
        Self::certify(&["localhost", "127.0.0.1"], |_| {})
    }

    /// Makes one for a host of another name.
    pub fn of_another() -> Self {
        Self::certify(&["another.example"], |_| {})
    }

    /// Makes one whose time is over.
    pub fn expired() -> Self {
        Self::certify(&["localhost", "127.0.0.1"], |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    fn certify(names: &[&str], adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let ca_key = KeyPair::generate().expect("a key pair can be generated");
        let mut ca_params = CertificateParams::default();
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca_params
            .distinguished_name
            .push(DnType::CommonName, "simulated provider authority");
        let ca = CertifiedIssuer::self_signed(ca_params, ca_key).expect("the authority is valid");

        let key = KeyPair::generate().expect("a key pair can be generated");
        let names: Vec<String> = names.iter().copied().map(String::from).collect();
        let mut params = CertificateParams::new(names).expect("the names are valid");
        adjust(&mut params);
        let certificate = params
            .signed_by(&key, &ca)
            .expect("the certificate is valid");
        Self {
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            ca_pem: ca.pem(),
        }
    }
}

/// A TLS identity at work.
pub(crate) struct Tls {
    /// Wraps accepted connections.
    pub(crate) acceptor: TlsAcceptor,
    /// The authority's certificate, in PEM.
    pub(crate) ca_pem: String,
}

impl Tls {
    /// Puts an identity to work; its handshakes offer the protocols of `alpn`, best first.
    pub(crate) fn new(identity: Identity, alpn: &[&str]) -> Self {
        let Identity {
            cert_pem,
            key_pem,
            ca_pem,
        } = identity;
        let certificate = CertificateDer::from_pem_slice(cert_pem.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).expect("PEM");
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("the provider supports the default versions")
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
                .expect("key and certificate belong together");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();

        Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            ca_pem,
        }
    }
}
