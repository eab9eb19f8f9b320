//! What a client's connection runs over: TCP, with or without TLS.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What is left to be read of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// Bytes, as far as one can see.
    Bytes,
    /// The end, perhaps behind bytes.
    End,
}

/// What a socket can do besides reading and writing.
pub(super) trait Transport {
    /// Makes closing discard what is not sent and reset the connection.
    fn reset_on_close(&self);

    /// Is ready when there is anything to be read. Nothing is read by it.
    fn poll_unread(&self, cx: &mut Context<'_>) -> Poll<Unread>;
}

impl Transport for TcpStream {
    fn reset_on_close(&self) {
        // A socket that does not take the option is closed all the same.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }

    fn poll_unread(&self, cx: &mut Context<'_>) -> Poll<Unread> {
        if ready!(self.poll_read_ready(cx)).is_err() {
            return Poll::Ready(Unread::End);
        }
        let ready = self.ready(Interest::READABLE).now_or_never();
        Poll::Ready(match ready {
            Some(Ok(ready)) if !ready.is_read_closed() => Unread::Bytes,
            None => Unread::Bytes,
            Some(_) => Unread::End,
        })
    }
}

impl<T: Transport> Transport for TlsStream<T> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }

    fn poll_unread(&self, cx: &mut Context<'_>) -> Poll<Unread> {
        self.get_ref().0.poll_unread(cx)
    }
}
