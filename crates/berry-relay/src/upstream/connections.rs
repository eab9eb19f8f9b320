//! The connections to one upstream, kept for the next request.
//!
//! HTTP/1.1 connections carry one exchange at a time and are kept in a stack: the one used last is
//! the one least likely to have been closed by the peer. HTTP/2 connections are shared; a further
//! one is opened before the server's limit of streams is reached, because requests beyond it would
//! queue.
//!
//! Ours rather than hyper-util's: a request that fails on a reused connection has to be repeated on
//! a *fresh* one, and nobody but the pool knows which is which. It also halves the instructions
//! spent per request.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::Response;
use hyper::client::conn::http2;
use hyper::rt::Executor;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::{Instant, interval, sleep_until, timeout};

use crate::until::within;
use crate::upstream::body::UpstreamBody;
use crate::upstream::connection::Connection;
use crate::upstream::connector::{Connector, Proxy};
use crate::upstream::http1::{Form, Session};
use crate::upstream::opening::{Openings, Turn};
use crate::upstream::request::{Outgoing, OutgoingBody};
use crate::upstream::transport_error::TransportError;

/// Streams per HTTP/2 connection: below the 100 that most servers allow. A server that allows fewer
/// says so.
const STREAMS: usize = 80;
/// The most that is read of a stream of an HTTP/2 connection before somebody takes it; the frames that
/// hold it take more.
const UNREAD_STREAM: u32 = 48 * 1024;
/// Streams that nobody reads must not stop the others: there is room for all of them.
const UNREAD_CONNECTION: u32 = UNREAD_STREAM * 128;
/// A shared connection may be dead without anybody knowing: a NAT forgets, a host vanishes. While
/// streams are open on it, it is asked this often whether it lives,
pub(crate) const PING_EVERY: Duration = Duration::from_secs(20);
/// and closed when it has not answered by then.
pub(crate) const PING_WITHIN: Duration = Duration::from_secs(10);
/// A connection keeps to the address that the upstream's name had when it was opened. After this
/// long it gets no further request: one that moves has all of them by then.
const LONGEST_USE: Duration = Duration::from_mins(10);

/// How often a new HTTP/2 session is looked at until it has begun.
const LOOK: Duration = Duration::from_millis(1);

/// A session of HTTP/2 at work.
type Driver = http2::Connection<TokioIo<Connection>, OutgoingBody, TokioExecutor>;

/// The waits of an exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// DNS, TCP, TLS and the HTTP session.
    pub(crate) connect: Duration,
    /// From the request to the response's headers.
    pub(crate) headers: Duration,
}

/// How the HTTP version is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// HTTP/1.1, or what ALPN says.
    ByAlpn,
    /// HTTP/2 without asking.
    PriorKnowledge,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Connections {
    connector: Connector,
    settled: Settled,
    idle_timeout: Duration,
    kept: Mutex<Kept>,
    sweeping: AtomicBool,
    openings: Arc<Openings<Share>>,
}

#[derive(Debug, Default)]
struct Kept {
    http1: Vec<Idle>,
    http2: Vec<Shared>,
}

#[derive(Debug)]
struct Idle {
    session: Box<Session>,
    since: Instant,
}

#[derive(Debug)]
struct Shared {
    share: Share,
    opened: Instant,
    last_used: Instant,
}

/// One stream's share of an HTTP/2 connection.
#[derive(Debug, Clone)]
struct Share {
    sender: http2::SendRequest<OutgoingBody>,
    load: Arc<Load>,
}

/// What an HTTP/2 connection carries. Each stream holds a clone, so that there is one more of them
/// than there are streams.
#[derive(Debug)]
pub(crate) struct Load {
    /// It is asked what the server allows; the task that runs it drops it at its end, which is what
    /// senders see.
    driver: Arc<Mutex<Option<Driver>>>,
}

impl Load {
    /// Returns how many streams it may carry at once; the server may change its mind at any time.
    fn room(&self) -> usize {
        let driver = self.driver.lock();
        let allowed = driver.as_ref().map(Driver::current_max_send_streams);
        allowed.unwrap_or_default().min(STREAMS)
    }

    fn has_room(load: &Arc<Self>) -> bool {
        let streams = Arc::strong_count(load);
        streams <= STREAMS && streams <= load.room()
    }
}

/// A connection taken for one exchange.
enum Taken {
    // It goes from hand to hand.
    Http1(Box<Session>),
    Http2(Share),
}

impl Taken {
    /// Returns what identifies a shared connection, without counting as a stream.
    fn load(&self) -> Option<Weak<Load>> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(share) => Some(Arc::downgrade(&share.load)),
        }
    }
}

impl Connections {
    pub(crate) fn new(connector: Connector, settled: Settled, idle_timeout: Duration) -> Self {
        // What ALPN will say is not known; most say HTTP/2.
        let may_share = settled == Settled::PriorKnowledge || connector.is_encrypted();
        Self {
            connector,
            settled,
            idle_timeout,
            kept: Mutex::default(),
            sweeping: AtomicBool::new(false),
            openings: Openings::new(if may_share { STREAMS } else { 1 }),
        }
    }

    /// Returns the proxy in the way, if there is one.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.connector.proxy()
    }

    /// Sends the request and waits for the response's headers.
    ///
    /// A reused connection may have been closed by the peer just now, and an HTTP/2 upstream may say
    /// of a request that it has not looked at it. Such a failure, before any byte of an answer, is
    /// repeated once on a fresh connection and is nobody's failure.
    pub(crate) async fn send(
        self: &Arc<Self>,
        outgoing: &Outgoing,
        waits: Waits,
    ) -> Result<Response<UpstreamBody>, TransportError> {
        let kept = self.take();
        let is_kept = kept.is_some();
        let taken = match kept {
            Some(taken) => taken,
            None => self.fresh_within(waits.connect).await?,
        };
        match self.exchange(taken, outgoing, waits).await {
            Err(TransportError::Refused(_)) => {}
            Err(TransportError::Stale(_)) if is_kept => {}
            decided => return decided,
        }
        let fresh = self.fresh_within(waits.connect).await?;
        self.exchange(fresh, outgoing, waits).await
    }

    async fn fresh_within(self: &Arc<Self>, limit: Duration) -> Result<Taken, TransportError> {
        // Rare, and so large that it would be most of every request's future.
        let opening = Box::pin(self.fresh());
        timeout(limit, opening)
            .await
            .map_err(|_| TransportError::ConnectTimeout(limit))?
    }

    async fn exchange(
        self: &Arc<Self>,
        taken: Taken,
        outgoing: &Outgoing,
        waits: Waits,
    ) -> Result<Response<UpstreamBody>, TransportError> {
        let shared = taken.load();
        let sent = within(Some(waits.headers), async {
            match taken {
                Taken::Http1(mut session) => {
                    let sent = session.send(outgoing, self.form()).await;
                    let answer = sent.map_err(|error| {
                        TransportError::of_connection(error, session.has_heard())
                    })?;
                    let body = UpstreamBody::http1(session, Arc::clone(self));
                    Ok::<_, TransportError>(answer.map(|()| body))
                }
                Taken::Http2(Share { mut sender, load }) => {
                    let sent = sender.try_send_request(outgoing.message()).await;
                    let answer =
                        sent.map_err(|error| TransportError::of_stream(error.into_error()))?;
                    Ok(answer.map(|body| UpstreamBody::http2(body, load)))
                }
            }
        });
        sent.await.unwrap_or_else(|| {
            self.retire(shared.as_ref());
            Err(TransportError::HeaderTimeout(waits.headers))
        })
    }

    fn form(&self) -> Form<'_> {
        if self.connector.is_forwarded() {
            let authorization = self.connector.proxy_authorization();
            return Form::Absolute { authorization };
        }
        Form::Origin
    }

    /// Takes a kept connection that is alive.
    fn take(&self) -> Option<Taken> {
        if let Some(share) = self.share() {
            return Some(Taken::Http2(share));
        }
        loop {
            let Idle { mut session, since } = self.kept.lock().http1.pop()?;
            if since.elapsed() >= self.idle_timeout {
                continue;
            }
            if session.is_alive() {
                return Some(Taken::Http1(session));
            }
        }
    }

    fn share(&self) -> Option<Share> {
        let mut kept = self.kept.lock();
        if kept.http2.is_empty() {
            return None;
        }
        // What is in flight on one that is forgotten goes on.
        kept.http2.retain(|shared| {
            !shared.share.sender.is_closed() && shared.opened.elapsed() < LONGEST_USE
        });
        let with_room = kept
            .http2
            .iter_mut()
            .find(|shared| Load::has_room(&shared.share.load));
        if let Some(shared) = with_room {
            shared.last_used = Instant::now();
            return Some(shared.share.clone());
        }
        if let Some(latest) = kept.http2.last() {
            self.openings.learn(latest.share.load.room());
        }
        None
    }

    /// Stops sharing a connection that did not answer in time: others that wait on it may be lucky,
    /// but a new request has a better chance on a new one.
    fn retire(&self, load: Option<&Weak<Load>>) {
        if let Some(load) = load {
            self.kept
                .lock()
                .http2
                .retain(|shared| Arc::as_ptr(&shared.share.load) != load.as_ptr());
        }
    }

    /// Puts a connection back whose exchange has ended.
    pub(crate) fn put_back(self: &Arc<Self>, session: Box<Session>) {
        let now = Instant::now();
        if !session.may_stay() || now.duration_since(session.opened) >= LONGEST_USE {
            return;
        }
        self.kept.lock().http1.push(Idle {
            session,
            since: now,
        });
        self.sweep_later();
    }

    /// Opens a connection, or shares one that is just being opened.
    async fn fresh(self: &Arc<Self>) -> Result<Taken, TransportError> {
        let opener = match self.openings.turn().await {
            Turn::Open(opener) => opener,
            Turn::Share(share) => return Ok(Taken::Http2(share)),
        };
        let opened = self.open().await;
        match &opened {
            Ok(Taken::Http2(share)) => {
                // Those who wait are served before it is known to others.
                opener.opened(share.load.room(), || share.clone());
                self.keep(share);
            }
            Ok(Taken::Http1(_)) => opener.opened_alone(),
            Err(_) => opener.failed(),
        }
        opened
    }

    async fn open(self: &Arc<Self>) -> Result<Taken, TransportError> {
        let connection = self.connector.connect().await?;
        let speaks_http2 = match &connection {
            Connection::Plain(_) => self.settled == Settled::PriorKnowledge,
            Connection::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        };
        if speaks_http2 {
            return self.http2_session(connection).await.map(Taken::Http2);
        }
        Ok(Taken::Http1(Box::new(Session::new(connection))))
    }

    async fn http2_session(&self, connection: Connection) -> Result<Share, TransportError> {
        let (sender, mut driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN)
            .initial_stream_window_size(UNREAD_STREAM)
            .initial_connection_window_size(UNREAD_CONNECTION)
            .initial_max_send_streams(0)
            .handshake(TokioIo::new(connection))
            .await
            .map_err(TransportError::Handshake)?;
        begun(&mut driver).await?;
        let driver = Arc::new(Mutex::new(Some(driver)));
        drive(Arc::clone(&driver));
        let load = Arc::new(Load { driver });
        Ok(Share { sender, load })
    }

    /// Shares a connection with the requests to come.
    fn keep(self: &Arc<Self>, share: &Share) {
        let now = Instant::now();
        self.kept.lock().http2.push(Shared {
            share: share.clone(),
            opened: now,
            last_used: now,
        });
        self.sweep_later();
    }

    /// Sees to it that connections nobody uses are closed in time: a task that lives while there
    /// are kept connections, and does not keep the upstream alive.
    fn sweep_later(self: &Arc<Self>) {
        if self.sweeping.swap(true, Ordering::Relaxed) {
            return;
        }
        let (connections, idle_timeout) = (Arc::downgrade(self), self.idle_timeout);
        TokioExecutor::new().execute(async move {
            let mut next = Instant::now() + idle_timeout;
            loop {
                sleep_until(next).await;
                let Some(connections) = connections.upgrade() else {
                    return;
                };
                let Some(due) = connections.sweep() else {
                    return;
                };
                next = due;
            }
        });
    }

    /// Closes what has been idle for too long; returns when to look again, if anything is left.
    fn sweep(&self) -> Option<Instant> {
        let now = Instant::now();
        let expired = |since: Instant| now.duration_since(since) >= self.idle_timeout;
        let mut kept = self.kept.lock();
        kept.http1.retain(|idle| !expired(idle.since));
        kept.http2.retain(|shared| {
            let in_use = Arc::strong_count(&shared.share.load) > 1;
            !shared.share.sender.is_closed() && (in_use || !expired(shared.last_used))
        });
        let http1 = kept.http1.iter().map(|idle| idle.since);
        let http2 = kept
            .http2
            .iter()
            .map(|shared| shared.last_used.max(now - self.idle_timeout / 2));
        let next = http1
            .chain(http2)
            .min()
            .map(|since| since + self.idle_timeout);
        if next.is_none() {
            self.sweeping.store(false, Ordering::Relaxed);
        }
        next
    }
}

/// Waits until the server says how many streams it allows, which are its first words (RFC 9113, 3.4). What is
/// sent before counts as well, and beyond it would queue where nobody sees it.
async fn begun(driver: &mut Driver) -> Result<(), TransportError> {
    // hyper tells nobody when that changes.
    let mut looks = interval(LOOK);
    poll_fn(|cx| {
        match Pin::new(&mut *driver).poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(TransportError::Handshake(error))),
            Poll::Ready(Ok(())) => {
                let cause = "the session ended before it began";
                return Poll::Ready(Err(TransportError::Stale(cause.into())));
            }
        }
        while driver.current_max_send_streams() == 0 {
            ready!(looks.poll_tick(cx));
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Runs a shared connection beside its exchanges. The task ends with the connection, which ends when its
/// sender is dropped.
fn drive(driver: Arc<Mutex<Option<Driver>>>) {
    TokioExecutor::new().execute(poll_fn(move |cx| {
        let mut running = driver.lock();
        if let Some(driver) = running.as_mut() {
            // An error reaches whoever waits for an answer.
            let _ = ready!(Pin::new(driver).poll(cx));
        }
        *running = None;
        Poll::Ready(())
    }));
}
