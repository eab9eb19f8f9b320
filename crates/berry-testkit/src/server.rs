//! Listening, accepting, and serving connections until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fault_io::{FaultIo, Socket};
use crate::service::{Shared, answer};
use crate::wire::{Cut, Wire};

/// Load tests open a thousand connections within one scheduling quantum.
const BACKLOG: u32 = 4096;

/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The versions of HTTP that a simulated provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    /// HTTP/1.1, and HTTP/2 to clients that ask for it.
    Both,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

/// Opens a listening socket; port 0 takes a free one.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What serving a connection needs.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) versions: Versions,
    /// The most streams of a connection of HTTP/2, where not the library's own.
    pub(crate) streams: Option<u32>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Server {
    /// Accepts connections until `stop`.
    pub(crate) async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((socket, _)) => {
                    let server = self.clone();
                    self.tasks
                        .spawn(async move { server.connection(socket).await });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    async fn connection(self, socket: TcpStream) {
        let journal = Arc::clone(&self.shared.journal);
        journal.connection_opened();
        // A peer that is gone already is found out by the first read.
        let _ = socket.set_nodelay(true);
        match &self.tls {
            None => self.serve(socket).await,
            Some(acceptor) => {
                let handshake = tokio::select! {
                    handshake = acceptor.accept(socket) => handshake.ok(),
                    () = self.stop.cancelled() => None,
                };
                if let Some(socket) = handshake {
                    self.serve(socket).await;
                }
            }
        }
        journal.connection_closed();
    }

    async fn serve<S: Socket + Send + 'static>(&self, socket: S) {
        let wire = Arc::new(Wire::default());
        let io = TokioIo::new(FaultIo::new(socket, Arc::clone(&wire)));
        let service =
            service_fn(|request| answer(Arc::clone(&self.shared), Arc::clone(&wire), request));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        if let Some(most) = self.streams {
            builder.http2().max_concurrent_streams(most);
        }
        let builder = match self.versions {
            Versions::Both => builder,
            Versions::Http1 => builder.http1_only(),
            Versions::Http2 => builder.http2_only(),
        };
        tokio::select! {
            // Its errors are the client's leaving and our own faults.
            _ = builder.serve_connection(io, service) => {}
            () = wire.broken() => {}
            () = self.stop.cancelled() => wire.cut(Cut::Close),
        }
    }
}
