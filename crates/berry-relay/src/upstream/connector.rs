//! Opens a connection to one upstream: through a proxy or not, encrypted or not.
//!
//! Name resolution, both address families and the CONNECT tunnel are hyper-util's. `TCP_NODELAY`
//! is set on every socket: with Nagle's algorithm a small write waits up to 40 ms for the peer's
//! delayed acknowledgement.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::header::HeaderValue;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
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

/// Dead peers are noticed by the kernel after this long without traffic.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

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
pub(crate) struct Connector<C = HttpConnector> {
    target: Uri,
    way: Way,
    /// Looks the name up for each connection: nothing is remembered of an answer.
    tcp: C,
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
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.enforce_http(false);
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
            tcp,
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
}

impl<C> Connector<C>
where
    C: Service<Uri, Response = TokioIo<TcpStream>> + Clone,
    C::Error: Into<Box<dyn StdError + Send + Sync>>,
    C::Future: Send + 'static,
{
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

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};
    use std::io;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::task::{Context, Poll};
    use std::vec;

    use hyper_util::client::legacy::connect::dns::Name;
    use parking_lot::Mutex;
    use tokio::net::TcpListener;

    use super::*;

    /// What one name resolves to for now; nothing is an error.
    #[derive(Debug, Clone, Default)]
    struct Zone(Arc<Mutex<Vec<SocketAddr>>>);

    impl Service<Name> for Zone {
        type Response = vec::IntoIter<SocketAddr>;
        type Error = io::Error;
        type Future = Ready<io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, name: Name) -> Self::Future {
            assert_eq!(name.as_str(), "upstream.test");
            let addresses = self.0.lock().clone();
            ready(if addresses.is_empty() {
                Err(io::ErrorKind::NotFound.into())
            } else {
                Ok(addresses.into_iter())
            })
        }
    }

    /// A connector to a name of this zone.
    fn connector(zone: &Zone) -> Connector<HttpConnector<Zone>> {
        Connector {
            target: Uri::from_static("http://upstream.test"),
            way: Way::Direct,
            tcp: HttpConnector::new_with_resolver(zone.clone()),
            tls: None,
        }
    }

    async fn peer(connector: &Connector<HttpConnector<Zone>>) -> SocketAddr {
        match connector.connect().await.unwrap() {
            Connection::Plain(stream) => stream.peer_addr().unwrap(),
            Connection::Tls(_) => panic!("no TLS is configured"),
        }
    }

    #[tokio::test]
    async fn a_name_that_moves_is_followed_by_the_next_connection() {
        let (zone, mut listeners) = (Zone::default(), Vec::new());
        let connector = connector(&zone);
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            *zone.0.lock() = vec![address];

            assert_eq!(peer(&connector).await, address);

            listeners.push(listener);
        }
    }

    #[tokio::test]
    async fn of_several_addresses_one_that_answers_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [&gone, &listener].map(|one| one.local_addr().unwrap());
        let zone = Zone(Arc::new(Mutex::new(addresses.to_vec())));
        drop(gone);

        assert_eq!(peer(&connector(&zone)).await, addresses[1]);
    }

    #[tokio::test]
    async fn a_name_that_is_gone_is_a_failure_until_it_is_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let zone = Zone::default();
        let connector = connector(&zone);

        let gone = connector.connect().await;
        *zone.0.lock() = vec![listener.local_addr().unwrap()];
        let back = connector.connect().await;

        assert!(matches!(gone, Err(ConnectFailure::Tcp(_))), "{gone:?}");
        assert!(back.is_ok(), "{back:?}");
    }
}
