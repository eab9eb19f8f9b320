//! Opens a TCP connection to a host, at whichever of its addresses answers first.
//!
//! One of them may be dead: the kernel waits minutes for a host that does not answer, and nobody
//! knows how long the name goes on listing it. So each address has a head start, and then the next
//! is tried beside it (RFC 8305). A name is looked up for each connection, and nothing is remembered
//! of an answer: how long it holds only its zone knows, and the system's resolver may have a cache.
//!
//! `TCP_NODELAY` is set on every socket: with Nagle's algorithm a small write waits up to 40 ms for
//! the peer's delayed acknowledgement.

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

/// What RFC 8305 (5) recommends: longer than most connections take, shorter than anybody notices.
const HEAD_START: Duration = Duration::from_millis(250);

/// Dead peers are noticed by the kernel after this long without traffic.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Why a host cannot be connected to.
pub(super) type Unreachable = Box<dyn StdError + Send + Sync>;

/// See the module's documentation. `R` looks names up.
#[derive(Debug, Clone)]
pub(super) struct Dialer<R = GaiResolver> {
    resolver: R,
}

impl<R> Dialer<R> {
    pub(super) fn new(resolver: R) -> Self {
        Self { resolver }
    }
}

impl<R> Dialer<R>
where
    R: Service<Name>,
    R::Response: Iterator<Item = SocketAddr>,
    R::Error: Into<Unreachable>,
{
    async fn dial(mut self, target: Uri) -> Result<TokioIo<TcpStream>, Unreachable> {
        let host = target.host().unwrap_or_default();
        let is_encrypted = target.scheme() == Some(&Scheme::HTTPS);
        let usual = if is_encrypted { 443 } else { 80 };
        let port = target.port_u16();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let addresses = if let Ok(address) = address {
            vec![SocketAddr::new(address, port.unwrap_or(usual))]
        } else {
            let found = self.look_up(host.parse()?).await?;
            let with_port = found.map(|mut found| {
                // A resolver of names knows no ports; one of a test may.
                if found.port() == 0 || port.is_some() {
                    found.set_port(port.unwrap_or(usual));
                }
                found
            });
            by_turns(with_port.collect())
        };
        first_of(addresses).await.map(TokioIo::new)
    }

    async fn look_up(&mut self, name: Name) -> Result<R::Response, Unreachable> {
        std::future::poll_fn(|cx| self.resolver.poll_ready(cx))
            .await
            .map_err(Into::into)?;
        self.resolver.call(name).await.map_err(Into::into)
    }
}

impl<R> Service<Uri> for Dialer<R>
where
    R: Service<Name> + Clone + Send + 'static,
    R::Response: Iterator<Item = SocketAddr> + Send,
    R::Error: Into<Unreachable>,
    R::Future: Send,
{
    type Response = TokioIo<TcpStream>;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unreachable>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        Box::pin(self.clone().dial(target))
    }
}

/// Lets the families of addresses take turns, beginning with the one that is first: where a whole family
/// is unreachable, as IPv6 often is, the other is not behind all of it.
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == preferred);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    while first.len() + second.len() > 0 {
        ordered.extend(first.next());
        ordered.extend(second.next());
    }
    ordered
}

/// Connects to the first address that answers. If none does, the first failure is told: it is that of
/// the address that should have been used.
async fn first_of(addresses: Vec<SocketAddr>) -> Result<TcpStream, Unreachable> {
    let (mut untried, mut tried) = (addresses.into_iter(), FuturesUnordered::new());
    let mut failure = None;
    loop {
        match untried.next() {
            Some(address) => tried.push(connect(address)),
            None if tried.is_empty() => break,
            None => {}
        }
        let ended = if untried.len() == 0 {
            tried.next().await
        } else {
            timeout(HEAD_START, tried.next()).await.unwrap_or_default()
        };
        match ended {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => failure = failure.or(Some(error)),
            None => {}
        }
    }
    Err(failure.unwrap_or_else(|| "the name has no address".into()))
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Unreachable> {
    let connected = TcpStream::connect(address).await.and_then(|stream| {
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
        Ok(stream)
    });
    connected
        .map_err(|error| io::Error::new(error.kind(), format!("no answer at {address}: {error}")))
        .map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};
    use std::sync::Arc;
    use std::vec;

    use parking_lot::Mutex;
    use tokio::net::{TcpListener, TcpSocket};

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

    /// Returns the address that was connected to.
    async fn dial(zone: &Zone) -> Result<SocketAddr, Unreachable> {
        let target = Uri::from_static("http://upstream.test");
        let stream = Dialer::new(zone.clone()).call(target).await?;
        Ok(stream.into_inner().peer_addr()?)
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Returns an address that does not answer, neither yes nor no: nobody takes connections from
    /// its queue, and the queue is full. What has to be kept for that comes with it.
    async fn silence() -> (SocketAddr, impl Sized) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = TcpStream::connect(address).await.unwrap();
        (address, (listener, queued))
    }

    #[tokio::test]
    async fn a_name_that_moves_is_followed_by_the_next_connection() {
        let (zone, mut listeners) = (Zone::default(), Vec::new());
        for _ in 0..2 {
            let (listener, address) = listener().await;
            *zone.0.lock() = vec![address];

            assert_eq!(dial(&zone).await.unwrap(), address);

            listeners.push(listener);
        }
    }

    #[tokio::test]
    async fn of_several_addresses_one_that_answers_is_found() {
        let (_listener, alive) = listener().await;
        let (gone, refusing) = listener().await;
        drop(gone);
        let (silent, _kept) = silence().await;
        for dead in [vec![refusing], vec![silent], vec![silent, refusing, silent]] {
            let addresses = [dead.clone(), vec![alive]].concat();

            let found = timeout(HEAD_START * 8, dial(&Zone(Arc::new(Mutex::new(addresses))))).await;

            assert_eq!(found.expect("in time").unwrap(), alive, "{dead:?}");
        }
    }

    #[tokio::test]
    async fn a_name_that_is_gone_is_a_failure_until_it_is_back() {
        let (_listener, address) = listener().await;
        let zone = Zone::default();

        let gone = dial(&zone).await;
        *zone.0.lock() = vec![address];
        let back = dial(&zone).await;

        assert!(gone.is_err(), "{gone:?}");
        assert_eq!(back.unwrap(), address);
    }

    #[tokio::test]
    async fn where_no_address_answers_the_first_failure_is_told() {
        let (first, second) = (listener().await, listener().await);
        let addresses = vec![first.1, second.1];
        drop((first.0, second.0));

        let refused = dial(&Zone(Arc::new(Mutex::new(addresses.clone())))).await;

        let told = refused.unwrap_err().to_string();
        assert!(told.contains(&addresses[0].to_string()), "{told}");
    }

    #[tokio::test]
    async fn hosts_that_are_addresses_need_no_look_up() {
        let (_listener, four) = listener().await;
        // Not every machine has it.
        let six = TcpListener::bind("[::1]:0").await.ok();
        let six_address = six.as_ref().and_then(|six| six.local_addr().ok());

        for address in [Some(four), six_address].into_iter().flatten() {
            let target: Uri = format!("http://{address}/v1").parse().unwrap();
            let stream = Dialer::new(Zone::default()).call(target).await.unwrap();
            assert_eq!(stream.into_inner().peer_addr().unwrap(), address);
        }
    }

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| text.split(' ').map(|one| one.parse().unwrap()).collect();
        let rows = [
            (
                "[::1]:1 [::2]:1 1.1.1.1:1 1.1.1.2:1",
                "[::1]:1 1.1.1.1:1 [::2]:1 1.1.1.2:1",
            ),
            ("1.1.1.1:1 1.1.1.2:1 [::1]:1", "1.1.1.1:1 [::1]:1 1.1.1.2:1"),
            ("1.1.1.1:1", "1.1.1.1:1"),
        ];
        for (found, ordered) in rows {
            let ordered: Vec<SocketAddr> = parse(ordered);
            assert_eq!(by_turns(parse(found)), ordered, "{found}");
        }
    }
}
