//! Opens a connection to one upstream: through a proxy or not, encrypted or not.
//!
//! The CONNECT tunnel is hyper-util's.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::header::HeaderValue;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::upstream::UpstreamError;
use crate::upstream::connection::Connection;
use crate::upstream::dialer::Dialer;

/// Why no connection was made. Its text is for the log only: it may name hosts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    /// DNS or TCP, or the proxy refused.
    #[error("no connection")]
    Tcp(#[source] Box<dyn StdError + Send + Sync>),
    /// The handshake, or a certificate that is not trusted.
    #[error("no TLS session")]
    Tls(#[source] std::io::Error),
    /// The host cannot be a server name.
    #[error("the host is not a valid TLS server name")]
    ServerName,
}

/// How the target is reached.
#[derive(Debug, Clone)]
enum Way {
    Direct,
    /// Clear text through a proxy: the request itself names the target.
    Forwarded(Proxy),
    /// Encrypted through a proxy, which is asked for a tunnel.
    Tunnelled(Proxy),
}

/// The proxy in the way. It is not to be printed: both its members may have a password.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: Uri,
    pub(crate) authorization: Option<HeaderValue>,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    target: Uri,
    way: Way,
    tcp: Dialer,
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    /// Prepares connections to `target`. `tls` is used where its scheme is https; `proxies` says
    /// which proxy is in the way.
    pub(crate) fn new(
        target: Uri,
        tls: Option<Arc<ClientConfig>>,
        proxies: Option<&Matcher>,
    ) -> Result<Self, UpstreamError> {
        let way = match proxies.and_then(|proxies| proxies.intercept(&target)) {
            None => Way::Direct,
            Some(proxy) => {
                let proxy = Proxy {
                    address: proxy.uri().clone(),
                    authorization: proxy.basic_auth().cloned(),
                };
                if proxy.address.scheme() != Some(&Scheme::HTTP) {
                    let scheme = proxy.address.scheme_str().unwrap_or_default().to_owned();
                    return Err(UpstreamError::Proxy(scheme));
                }
                match tls {
                    Some(_) => Way::Tunnelled(proxy),
                    None => Way::Forwarded(proxy),
                }
            }
        };
        Ok(Self {
            target,
            way,
            tcp: Dialer::new(GaiResolver::new()),
            tls,
        })
    }

    /// Returns whether requests must name the target in full, for a forwarding proxy.
    pub(crate) fn is_forwarded(&self) -> bool {
        matches!(self.way, Way::Forwarded(_))
    }

    /// Returns whether connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the credential for a forwarding proxy, which is sent with each request.
    pub(crate) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        match &self.way {
            Way::Forwarded(proxy) => proxy.authorization.as_ref(),
            Way::Direct | Way::Tunnelled(_) => None,
        }
    }

    /// Returns the proxy that connections are opened through, if there is one.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        match &self.way {
            Way::Forwarded(proxy) | Way::Tunnelled(proxy) => Some(proxy),
            Way::Direct => None,
        }
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<Connection, ConnectFailure> {
        let tcp = self.reach().await?;
        let Some(tls) = &self.tls else {
            return Ok(Connection::Plain(tcp));
        };
        let host = self
            .target
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        let name = ServerName::try_from(host).map_err(|_| ConnectFailure::ServerName)?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
        stream
            .map(|stream| Connection::Tls(Box::new(stream)))
            .map_err(ConnectFailure::Tls)
    }

    async fn reach(&self) -> Result<TcpStream, ConnectFailure> {
        let mut tcp = self.tcp.clone();
        let stream = match &self.way {
            Way::Direct => open(&mut tcp, self.target.clone()).await,
            Way::Forwarded(proxy) => open(&mut tcp, proxy.address.clone()).await,
            Way::Tunnelled(proxy) => {
                let mut tunnel = Tunnel::new(proxy.address.clone(), tcp);
                if let Some(authorization) = &proxy.authorization {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                open(&mut tunnel, self.target.clone()).await
            }
        };
        stream.map(TokioIo::into_inner).map_err(ConnectFailure::Tcp)
    }
}

async fn open<S>(
    connector: &mut S,
    target: Uri,
) -> Result<TokioIo<TcpStream>, Box<dyn StdError + Send + Sync>>
where
    S: Service<Uri, Response = TokioIo<TcpStream>>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    std::future::poll_fn(|cx| connector.poll_ready(cx))
        .await
        .map_err(Into::into)?;
    connector.call(target).await.map_err(Into::into)
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}
