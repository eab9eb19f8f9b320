//! The accept loop: connections in, at most so many, each served until it ends or is drained.
//!
//! Ours rather than `axum::serve`, which bounds neither connections nor heads. HTTP/1.1 and HTTP/2
//! with prior knowledge are told apart by their first bytes. `TCP_NODELAY` is set: with Nagle's
//! algorithm each small write waits up to 40 ms for the peer's delayed acknowledgement.

mod activity;
mod refusal;
mod socket;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::frame::Frame;
use crate::gateway::Gateway;
use crate::server::activity::{Activity, CountedBody};
use crate::server::socket::{ClientWaits, Socket};
use crate::tasks::Tasks;
use crate::telemetry::gauge::Held;

/// Connections that may wait to be accepted. A burst of a thousand streams beyond it would lose
/// SYNs and wait a second for their repetition. The kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// The longest request head, and the most of an answer that waits to be written.
const BUFFER: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS: u32 = 1000;
/// Out of file descriptors or the like: trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds the address.
///
/// # Errors
/// The address is taken, or not ours.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until told to stop, and then drains them.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    frame: Arc<Frame>,
    gateway: Arc<Gateway>,
    slots: Arc<Semaphore>,
    tasks: Tasks,
}

impl Server {
    pub(crate) fn new(
        listener: TcpListener,
        gateway: Arc<Gateway>,
        max_connections: usize,
        tasks: Tasks,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        Self {
            listener,
            frame: Arc::new(Frame::new(&gateway)),
            gateway,
            slots,
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
            slots,
            tasks,
        } = self;
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = tasks.stopping().cancelled() => break,
                accepted = accept(&listener, &slots) => accepted,
            };
            let (stream, peer, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "connection not accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let frame = Arc::clone(&frame);
            let waits = ClientWaits::from(&gateway.snapshot().config.server);
            let slot = Slot {
                _permit: permit,
                _held: gateway.traffic.connections.hold(),
            };
            let activity = Activity::counting(gateway.traffic.in_flight.clone());
            let socket = Socket::new(stream, waits, activity.clone());
            tasks.spawn(serve(
                socket,
                activity,
                peer,
                frame,
                graceful.watcher(),
                slot,
            ));
        }
        drop(listener);
        let grace = gateway.snapshot().config.settings.shutdown_grace;
        info!(grace_seconds = grace.as_secs(), "draining");
        timeout(grace, graceful.shutdown()).await.is_ok()
    }
}

/// Waits for a free slot and a connection to fill it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, slot))
}

/// What a connection holds while it lasts.
#[derive(Debug)]
struct Slot {
    _permit: OwnedSemaphorePermit,
    _held: Held,
}

/// Serves one connection to its end.
async fn serve(
    socket: Socket<TcpStream>,
    activity: Activity,
    peer: SocketAddr,
    frame: Arc<Frame>,
    watcher: Watcher,
    _slot: Slot,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let in_flight = activity.begin();
        let frame = Arc::clone(&frame);
        async move {
            let response: Response<Body> = frame.serve(request.map(Body::new), peer).await;
            Ok::<_, Infallible>(response.map(|body| CountedBody::new(body, in_flight)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The socket bounds heads and idle times itself.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_send_buf_size(BUFFER);
    let connection = builder
        .serve_connection(TokioIo::new(socket), service)
        .into_owned();
    // What goes wrong on a connection is the client's doing and seen by it; requests in flight
    // write their own lines.
    let _ = watcher.watch(connection).await;
}
