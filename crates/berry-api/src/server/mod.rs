//! The accept loop: connections in, at most so many, each served until it ends or is drained.
//!
//! Ours rather than `axum::serve`, which bounds neither connections nor heads. HTTP/1.1 and HTTP/2
//! with prior knowledge are told apart by their first bytes, under TLS as well, where ALPN has said
//! the same before. `TCP_NODELAY` is set: with Nagle's algorithm each small write waits up to 40 ms
//! for the peer's delayed acknowledgement.

mod activity;
mod deadline;
mod guests;
mod refusal;
mod seat;
mod socket;
mod stream;
mod transport;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use berry_core::config::Listening;
use berry_core::on_heap;
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::env;
use crate::frame::Frame;
use crate::gateway::Gateway;
use crate::server::activity::{Activity, CountedBody};
pub(crate) use crate::server::seat::Seat;
use crate::server::seat::{Seats, Sitting, Taken};
use crate::server::socket::{ClientWaits, Socket};
use crate::server::stream::Streams;
use crate::server::transport::Transport;
use crate::supervisor;
use crate::tasks::{Grace, Tasks};
use crate::telemetry::gauge::Held;
use crate::telemetry::refusals::Client;

/// Connections that may wait to be accepted. A burst of a thousand streams beyond it would lose
/// SYNs and wait a second for their repetition. The kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// About the longest request head, and the most of an answer that waits to be written: a little more
/// than the longest URL that hyper takes, so that a longer one is told apart.
const BUFFER: usize = 66 * 1024;
/// The most of an answer that waits to be written on each stream of HTTP/2.
const STREAM_BUFFER: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS: u32 = 1000;
/// Out of file descriptors or the like: trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection that was accepted just before a drain may be about to send its request: closing it at
/// once would lose that.
const FIRST_WORDS: Duration = Duration::from_millis(200);

/// Binds the address, unless a listening socket was handed over; returns who said which it is to be.
///
/// # Errors
/// The address is taken, or not ours.
pub(crate) fn bind(address: SocketAddr) -> io::Result<(TcpListener, Listening)> {
    if let Some(listener) = supervisor::inherited()? {
        return Ok((TcpListener::from_std(listener)?, Listening::AsTold));
    }
    let listening = match env::read(env::BIND_ADDRESS) {
        Some(_) => Listening::AsTold,
        None => Listening::AsConfigured,
    };
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok((socket.listen(BACKLOG)?, listening))
}

/// Accepts connections until told to stop, and then drains them.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    frame: Arc<Frame>,
    gateway: Arc<Gateway>,
    seats: Seats,
    tasks: Tasks,
}

impl Server {
    pub(crate) fn new(
        listener: TcpListener,
        gateway: Arc<Gateway>,
        max_connections: usize,
        tasks: Tasks,
    ) -> Self {
        Self {
            listener,
            frame: Arc::new(Frame::new(&gateway)),
            gateway,
            seats: Seats::new(max_connections),
            tasks,
        }
    }

    /// Serves until `stopping`; then finishes the requests in flight, but not longer than the grace
    /// that is configured by then. Returns whether all of them ended.
    pub(crate) async fn run(self) -> bool {
        let Self {
            listener,
            frame,
            gateway,
            seats,
            tasks,
        } = self;
        let graceful = GracefulShutdown::new();
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = tasks.stopping().cancelled() => break,
                accepted = accept(&listener, &seats) => accepted,
            };
            let (stream, peer, taken) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // One line for each time that it begins.
                    if !std::mem::replace(&mut failing, true) {
                        warn!(%error, "connection not accepted");
                    }
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            failing = false;
            let activity = Activity::counting(gateway.traffic.in_flight.clone());
            let sitting = seats.seat(taken, &activity);
            let connection = Connection {
                peer,
                client: Client::new(&gateway.traffic, peer.ip()),
                frame: Arc::clone(&frame),
                waits: sitting
                    .seat
                    .bound(ClientWaits::from(&gateway.snapshot().config.server)),
                watcher: graceful.watcher(),
                activity,
                grace: gateway.grace.clone(),
                slot: Slot {
                    sitting,
                    _held: gateway.traffic.connections.hold(),
                },
            };
            match gateway.snapshots.tls() {
                None => tasks.spawn(connection.serve(stream)),
                Some(tls) => {
                    let stopping = tasks.stopping().clone();
                    tasks.spawn(connection.serve_encrypted(stream, tls, stopping));
                }
            }
        }
        drop(listener);
        let grace = gateway.snapshot().config.settings.shutdown_grace;
        info!(grace_seconds = grace.as_secs(), "draining");
        let drained = async {
            if graceful.count() > 0 {
                sleep(FIRST_WORDS).await;
            }
            tokio::select! {
                () = graceful.shutdown() => {}
                never = seats.clear() => match never {},
            }
        };
        timeout(grace, drained).await.is_ok()
    }
}

/// Waits for a free place and a connection to fill it.
async fn accept(
    listener: &TcpListener,
    seats: &Seats,
) -> io::Result<(TcpStream, SocketAddr, Taken)> {
    let taken = seats.take().await;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, taken))
}

/// What a connection holds while it lasts.
#[derive(Debug)]
struct Slot {
    sitting: Sitting,
    _held: Held,
}

/// A client's connection, apart from its bytes.
struct Connection {
    peer: SocketAddr,
    client: Client,
    frame: Arc<Frame>,
    waits: ClientWaits,
    watcher: Watcher,
    activity: Activity,
    grace: Grace,
    slot: Slot,
}

impl Connection {
    /// Shakes hands, for which the client has as long as for the head of a request, and serves.
    async fn serve_encrypted(
        self,
        stream: TcpStream,
        tls: Arc<ServerConfig>,
        stopping: CancellationToken,
    ) {
        let handshake = TlsAcceptor::from(tls).accept(stream);
        let handshake = timeout(self.waits.head, handshake);
        let shaken: io::Result<TlsStream<TcpStream>> = tokio::select! {
            biased;
            // Nothing has been asked yet.
            () = stopping.cancelled() => return,
            () = self.activity.dismissed() => return,
            shaken = handshake => shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        };
        match shaken {
            Ok(stream) => self.serve(stream).await,
            Err(error) => debug!(peer = %self.peer.ip(), %error, "TLS handshake failed"),
        }
    }

    /// Serves to the end. What is returned is as large as the connection: an `async` block would be
    /// a multiple of that, for as long as the client likes to stay.
    fn serve<T>(self, stream: T) -> impl Future<Output = ()>
    where
        T: Transport + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            peer,
            client,
            frame,
            waits,
            watcher,
            activity,
            grace,
            slot,
        } = self;
        let seat = slot.sitting.seat;
        let socket = Socket::new(stream, waits, activity.clone(), client);
        let service = service_fn(move |request: Request<Incoming>| {
            let in_flight = activity.begin();
            // It lost its place to another while the request was on its way.
            let seat = if activity.is_dismissed() {
                Seat::Reserve
            } else {
                seat
            };
            let frame = Arc::clone(&frame);
            let version = request.version();
            // A kept connection has room for this future, whether there is a request or not.
            Box::into_pin(on_heap(|| async move {
                let response: Response<Body> =
                    frame.serve(request.map(Body::new), peer, seat).await;
                Ok::<_, Infallible>(response.map(|body| CountedBody::new(body, in_flight, version)))
            }))
        });
        let mut builder = auto::Builder::new(Streams::new(waits.write, grace.clone()));
        // The socket bounds heads and idle times itself.
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .keep_alive(seat == Seat::Usual)
            .max_buf_size(BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_send_buf_size(STREAM_BUFFER);
        let connection = builder
            .serve_connection(TokioIo::new(socket), service)
            .into_owned();
        // What goes wrong on a connection is the client's doing and seen by it; requests in flight
        // write their own lines.
        grace.heed(watcher.watch(connection)).map(|_| drop(slot))
    }
}
