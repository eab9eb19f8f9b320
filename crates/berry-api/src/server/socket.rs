//! A client's socket that does not wait for ever.
//!
//! hyper reads the HTTP/2 preface without a timer, and its header timer is its idle timer as well;
//! so the waits that a peer can prolong by silence are bounded here, below both protocols:
//!
//! - a request's head, from its first byte (on a new connection, from the start);
//! - an idle connection, from the end of its last answer;
//! - bytes of an answer that the client does not take, or takes one by one.
//!
//! A client that leaves is noticed here as well where hyper does not look: HTTP/1.1 clients may send
//! what they like behind a request, and the end of the connection comes behind that.
//!
//! While a request is in flight and nothing is to be written, silence is normal: the upstream is
//! thinking. On HTTP/2, bytes between requests are no beginning of a head and no sign of use: a client
//! may ping for ever. One that takes its socket's bytes but opens no stream's window is not noticed
//! here but in `stream.rs`.

use std::io::{self, ErrorKind, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use berry_core::config::ServerSettings;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::server::activity::{Activity, Awaited};
use crate::server::deadline::Deadline;
use crate::server::refusal::{self, Refusal};
use crate::server::transport::{Transport, Unread};
use crate::telemetry::refusals::Client;

/// How often a socket is looked at whose bytes hyper does not want yet: a client that has left must
/// be noticed within a quarter of a second.
const GLANCE: Duration = Duration::from_millis(100);
/// What a client must take of what waits for it to be given as much time again: it could take its
/// answer byte by byte for years otherwise.
const TAKEN: usize = 4 * 1024;
/// So little is written in one piece: a copy of it costs less than several pieces do.
const SHORT: usize = 1024;
/// How HTTP/2 with prior knowledge begins (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2";

/// The waits of a client connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientWaits {
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
}

impl From<&ServerSettings> for ClientWaits {
    fn from(settings: &ServerSettings) -> Self {
        Self {
            head: settings.header_timeout,
            idle: settings.client_idle_timeout,
            write: settings.client_write_timeout,
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Socket<T: Transport> {
    io: T,
    waits: ClientWaits,
    activity: Activity,
    client: Client,
    /// How many requests had begun when the socket was read last.
    seen: u64,
    http2: bool,
    reading: Deadline,
    writing: Deadline,
    /// What the client has taken since then.
    taken: usize,
    /// hyper has seen that nothing is to be read, and is woken when there is.
    drained: bool,
    /// When to look again whether the client has left, while there are bytes that nobody reads.
    glance: Deadline,
    /// The last write was not taken whole.
    mid_write: bool,
    /// What is still to be written in place of a refusal of hyper's own.
    refusal: Bytes,
}

impl<T: Transport> Socket<T> {
    pub(super) fn new(io: T, waits: ClientWaits, activity: Activity, client: Client) -> Self {
        let mut reading = Deadline::default();
        reading.set(waits.head);
        Self {
            io,
            waits,
            activity,
            client,
            seen: 0,
            http2: false,
            reading,
            writing: Deadline::default(),
            taken: 0,
            drained: false,
            glance: Deadline::default(),
            mid_write: false,
            refusal: Bytes::new(),
        }
    }

    /// Notes that bytes were read.
    fn has_read(&mut self, bytes: &[u8]) {
        if self.http2 {
            return;
        }
        let begun = self.activity.begun();
        if begun == 0 && bytes.starts_with(HTTP2_PREFACE) {
            self.http2 = true;
            self.reading.set(self.waits.idle);
        } else if !self.activity.busy() {
            let now = Instant::now();
            if self.activity.rests(Awaited::Head, now) {
                self.seen = begun;
                self.reading.set_from(now, self.waits.head);
            }
        }
    }

    /// Fails when the client has been silent for too long where it should speak.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.activity.poll_rest(cx));
        let begun = self.activity.begun();
        let mut now = None;
        let mut now = || *now.get_or_insert_with(Instant::now);
        if begun != self.seen {
            self.seen = begun;
            self.reading.set_from(now(), self.waits.idle);
        }
        // Until the client has taken its answer the connection is at work.
        if !self.writing.is_set() {
            if self.activity.is_engaged() {
                self.activity.rests(Awaited::Another, now());
            }
            if self.activity.poll_dismissed(cx).is_ready() {
                return Poll::Ready(ErrorKind::ConnectionAborted.into());
            }
        }
        self.reading.poll(cx).map(|()| ErrorKind::TimedOut.into())
    }

    /// Fails when the client has not taken enough for too long.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.writing.is_set() {
            self.writing.set(self.waits.write);
            self.taken = 0;
        }
        self.writing.poll(cx).map(|()| ErrorKind::TimedOut.into())
    }

    /// Fails when the client has left although hyper does not read: with the beginning of a next
    /// request in hand it leaves the socket alone until this one is answered.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.drained || !self.activity.busy() {
            return Poll::Pending;
        }
        if ready!(self.io.poll_unread(cx)) == Unread::End {
            return Poll::Ready(ErrorKind::ConnectionAborted.into());
        }
        // Bytes in the way: nobody is told when the end arrives behind them.
        loop {
            if !self.glance.is_set() {
                self.glance.set(GLANCE);
            }
            ready!(self.glance.poll(cx));
            self.glance.clear();
        }
    }

    /// Notes what came of writing so many bytes.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<usize>>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(left) = self.poll_left(cx) {
            return Poll::Ready(Err(left));
        }
        let Poll::Ready(Ok(written)) = poll else {
            return if poll.is_pending() {
                self.poll_stall(cx).map(Err)
            } else {
                poll
            };
        };
        self.mid_write = written < length;
        self.taken += written;
        if !self.mid_write || self.taken >= TAKEN {
            self.writing.clear();
        }
        poll
    }

    /// Notes what came of handing all on that was written.
    fn flushed(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        self.written(cx, poll.map_ok(|()| 0), 0).map_ok(|_| ())
    }
}

impl<T: Transport + AsyncWrite + Unpin> Socket<T> {
    /// Takes note of a refusal of hyper's own; returns whether the bytes are one.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        // A head begins where the last write ended: the rest of a body may begin with anything.
        if self.http2 || self.activity.busy() || self.mid_write {
            return false;
        }
        let Some(Refusal { status, id, bytes }) = refusal::replacement(bytes) else {
            return false;
        };
        self.client.refused(status, &id);
        self.refusal = bytes;
        true
    }

    /// Writes what is left of the refusal.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let poll = Pin::new(&mut self.io).poll_write(cx, &self.refusal);
            let written = ready!(self.written(cx, poll, self.refusal.len()))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.refusal.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Transport + AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.drained = poll.is_pending();
        if self.drained {
            return self.poll_silence(cx).map(Err);
        }
        if buffer.filled().len() > before {
            self.has_read(&buffer.filled()[before..]);
        }
        poll
    }
}

impl<T: Transport + AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replaces(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let poll = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(cx, poll, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if slices.first().is_some_and(|head| self.replaces(head)) {
            return Poll::Ready(Ok(length));
        }
        let io = Pin::new(&mut self.io);
        let poll = if length <= SHORT {
            let mut joined = [0; SHORT];
            let length = joined.as_mut_slice().write_vectored(slices)?;
            io.poll_write(cx, joined.get(..length).unwrap_or_default())
        } else {
            io.poll_write_vectored(cx, slices)
        };
        self.written(cx, poll, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        let poll = Pin::new(&mut self.io).poll_flush(cx);
        self.flushed(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        let poll = Pin::new(&mut self.io).poll_shutdown(cx);
        self.flushed(cx, poll)
    }
}

/// An answer that broke off must not look whole to a client that takes the end of the connection for
/// the end of the answer, as HTTP/1.0 does.
impl<T: Transport> Drop for Socket<T> {
    fn drop(&mut self) {
        if self.activity.has_broken() {
            self.io.reset_on_close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{advance, timeout};

    use super::*;

    impl Transport for DuplexStream {
        fn reset_on_close(&self) {}

        fn poll_unread(&self, _: &mut Context<'_>) -> Poll<Unread> {
            Poll::Pending
        }
    }

    const SECOND: Duration = Duration::from_secs(1);
    const WAITS: ClientWaits = ClientWaits {
        head: Duration::from_secs(30),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(60),
    };

    fn socket(buffer: usize) -> (Socket<DuplexStream>, DuplexStream, Activity) {
        socket_with(WAITS, buffer)
    }

    fn socket_with(
        waits: ClientWaits,
        buffer: usize,
    ) -> (Socket<DuplexStream>, DuplexStream, Activity) {
        let (ours, theirs) = duplex(buffer);
        let activity = Activity::default();
        let client = Client::new(&Arc::default(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let socket = Socket::new(ours, waits, activity.clone(), client);
        (socket, theirs, activity)
    }

    /// How long the socket waits for more bytes before it gives up.
    async fn gives_up_after(socket: &mut Socket<DuplexStream>) -> u64 {
        let start = Instant::now();
        let error = socket.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_never_comes_is_given_up() {
        let (mut socket, _client, _) = socket(64);

        assert_eq!(gives_up_after(&mut socket).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_is_given_up_all_the_same() {
        let (mut socket, mut client, _) = socket(64);
        for _ in 0..29 {
            advance(SECOND).await;
            client.write_all(b"x").await.unwrap();
            socket.read_u8().await.unwrap();
        }

        assert_eq!(gives_up_after(&mut socket).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_answer_the_connection_may_be_idle_for_longer() {
        let (mut socket, mut client, activity) = socket(64);
        client.write_all(b"x").await.unwrap();
        socket.read_u8().await.unwrap();
        drop(activity.begin());
        advance(29 * SECOND).await;

        assert_eq!(gives_up_after(&mut socket).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_after_an_idle_time_begins_a_head() {
        for head in [30, 75] {
            let waits = ClientWaits {
                head: head * SECOND,
                ..WAITS
            };
            let (mut socket, mut client, activity) = socket_with(waits, 64);
            drop(activity.begin());
            assert!(timeout(70 * SECOND, socket.read_u8()).await.is_err());

            client.write_all(b"x").await.unwrap();
            socket.read_u8().await.unwrap();

            assert_eq!(gives_up_after(&mut socket).await, u64::from(head));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_allowed_while_a_request_is_in_flight() {
        let (mut socket, _client, activity) = socket(64);
        let _in_flight = activity.begin();

        assert!(timeout(100_000 * SECOND, socket.read_u8()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn pings_do_not_keep_an_http2_connection_that_asks_nothing() {
        let (mut socket, mut client, activity) = socket(64);
        client.write_all(b"PRI * HTTP/2.0").await.unwrap();
        let mut preface = [0; 14];
        socket.read_exact(&mut preface).await.unwrap();
        drop(activity.begin());
        assert!(timeout(Duration::ZERO, socket.read_u8()).await.is_err());
        advance(70 * SECOND).await;
        client.write_all(b"x").await.unwrap();
        socket.read_u8().await.unwrap();

        assert_eq!(gives_up_after(&mut socket).await, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let (mut socket, mut client, _) = socket(1);
        for _ in 0..5 {
            socket.write_all(b"x").await.unwrap();
            advance(50 * SECOND).await;
            client.read_u8().await.unwrap();
        }
        socket.write_all(b"x").await.unwrap();
        let start = Instant::now();

        let error = socket.write_all(b"y").await.unwrap_err();

        assert_eq!(
            (error.kind(), start.elapsed().as_secs()),
            (ErrorKind::TimedOut, 60)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_its_answer_byte_by_byte_is_given_up() {
        let (mut socket, mut client, _) = socket(64);
        let start = Instant::now();
        let reading = async {
            loop {
                advance(SECOND).await;
                client.read_u8().await.unwrap();
            }
        };

        let error = tokio::select! {
            written = socket.write_all(&[b'x'; 3 * TAKEN]) => written.unwrap_err(),
            () = reading => unreachable!("it reads for ever"),
        };

        let waited = start.elapsed().as_secs();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!((60..=62).contains(&waited), "{waited}");
    }
}
