//! The way to a provider, and the connections that were opened on it.
//!
//! A provider whose key or limits change in a configuration is still reached on the same way, so
//! its connections are used on: a reload costs no handshake.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use berry_core::Provider;
use berry_core::config::{HttpVersion, ProxyChoice, Settings};
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::proxy::matcher::Matcher;
use rustls_pki_types::pem;

use super::connections::{Connections, Settled};
use super::connector::Connector;
use super::tls::TlsError;
use super::{Surroundings, UpstreamError};
use crate::waits::upstream_idle;

/// All that connections depend on.
#[derive(Debug, PartialEq, Eq)]
struct Terms {
    base_url: Uri,
    http_version: HttpVersion,
    proxy: ProxyChoice,
    idle_timeout: Duration,
    /// What `ca_file` holds; it may be replaced under the same name.
    certificates: Option<Vec<u8>>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Reach {
    terms: Terms,
    connections: Arc<Connections>,
}

impl Reach {
    /// Finds the way to a provider; `previous` is the way that it had before.
    pub(super) fn find(
        provider: &Provider,
        settings: &Settings,
        surroundings: &Surroundings,
        previous: Option<&Self>,
    ) -> Result<Self, UpstreamError> {
        let encrypted = provider.base_url.scheme() == Some(&Scheme::HTTPS);
        let terms = Terms {
            base_url: provider.base_url.clone(),
            http_version: provider.http_version,
            proxy: provider.proxy.clone(),
            idle_timeout: upstream_idle(settings, provider),
            certificates: certificates(provider)?,
        };
        let connections = match previous {
            Some(previous) if previous.terms == terms => Arc::clone(&previous.connections),
            _ => Arc::new(open(provider, &terms, surroundings, encrypted)?),
        };
        Ok(Self { terms, connections })
    }

    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }
}

fn certificates(provider: &Provider) -> Result<Option<Vec<u8>>, TlsError> {
    let Some(path) = &provider.ca_file else {
        return Ok(None);
    };
    let wrong = |error: io::Error| TlsError::CaFile {
        path: path.clone(),
        source: pem::Error::Io(error),
    };
    std::fs::read(path).map(Some).map_err(wrong)
}

/// Makes a place for connections on this way; none is opened yet.
fn open(
    provider: &Provider,
    terms: &Terms,
    surroundings: &Surroundings,
    encrypted: bool,
) -> Result<Connections, UpstreamError> {
    let tls = if encrypted {
        let file = provider.ca_file.as_deref();
        let certificates = file.zip(terms.certificates.as_deref());
        let roots = &surroundings.roots;
        Some(roots.client_config(provider.http_version, certificates)?)
    } else {
        None
    };
    let explicit = match &provider.proxy {
        ProxyChoice::Url(url) => Some(Matcher::builder().all(url.to_string()).build()),
        ProxyChoice::Environment | ProxyChoice::Direct => None,
    };
    let proxies = match provider.proxy {
        ProxyChoice::Environment => Some(&surroundings.proxies),
        ProxyChoice::Url(_) => explicit.as_ref(),
        ProxyChoice::Direct => None,
    };
    Ok(Connections::new(
        Connector::new(provider.base_url.clone(), tls, proxies)?,
        match provider.http_version {
            HttpVersion::H2c => Settled::PriorKnowledge,
            HttpVersion::Auto | HttpVersion::Http1 => Settled::ByAlpn,
        },
        terms.idle_timeout,
    ))
}
