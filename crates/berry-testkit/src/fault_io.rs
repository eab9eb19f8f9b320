//! The transport under hyper, which can break at an exact byte.
//!
//! hyper decides when to write and how to frame; a fault such as "reset after 100 bytes" can
//! therefore only be injected below it. [`FaultIo`] asks the connection's [`Wire`] before each write.
//! When the connection was cut, dropping it does the rest: a reset is a close with a zero linger, an
//! early end is a FIN.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::wire::{Cut, Permit, Wire};

/// A stream that knows the TCP socket beneath it.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// Returns the socket at the bottom.
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A socket that breaks when its [`Wire`] says so.
#[derive(Debug)]
pub(crate) struct FaultIo<S: Socket> {
    socket: S,
    wire: Arc<Wire>,
}

impl<S: Socket> FaultIo<S> {
    /// Puts `socket` under the control of `wire`.
    pub(crate) fn new(socket: S, wire: Arc<Wire>) -> Self {
        Self { socket, wire }
    }

    fn socket(self: Pin<&mut Self>) -> Pin<&mut S> {
        Pin::new(&mut self.get_mut().socket)
    }

    /// Writes under a permit that is not [`Permit::All`].
    fn poll_restricted(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        permit: &Permit,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowed = match permit {
            Permit::All => buffer,
            Permit::AtMost(most) => &buffer[..buffer.len().min(*most)],
            Permit::Instead(bytes) => bytes,
            // The connection's task drops this stream as soon as it is polled again.
            Permit::Nothing => return Poll::Pending,
        };
        let written = ready!(self.as_mut().socket().poll_write(cx, allowed))?;
        self.wire.wrote(written);
        // Garbage is a line or two, which an empty socket takes whole.
        let swallowed = matches!(permit, Permit::Instead(_));
        Poll::Ready(Ok(if swallowed { buffer.len() } else { written }))
    }
}

impl<S: Socket> Drop for FaultIo<S> {
    fn drop(&mut self) {
        // Nothing to report: the peer may have been faster and the socket be gone.
        let _ = match self.wire.cut_by_us() {
            Some(Cut::Reset) => self.socket.tcp().set_zero_linger(),
            // Before the close, because a close over unread bytes would reset instead.
            Some(Cut::Close) => {
                socket2::SockRef::from(self.socket.tcp()).shutdown(std::net::Shutdown::Write)
            }
            None => Ok(()),
        };
    }
}

impl<S: Socket> AsyncRead for FaultIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket().poll_read(cx, buffer)
    }
}

impl<S: Socket> AsyncWrite for FaultIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.wire.permit() {
            Permit::All => self.socket().poll_write(cx, buffer),
            permit => self.poll_restricted(cx, &permit, buffer),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.wire.permit() {
            Permit::All => self.socket().poll_write_vectored(cx, buffers),
            permit => {
                let first = buffers.iter().find(|buffer| !buffer.is_empty());
                self.poll_restricted(cx, &permit, first.map_or(&[], |buffer| buffer))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_shutdown(cx)
    }
}
