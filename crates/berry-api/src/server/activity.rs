//! What one client connection is doing, shared between its socket and its requests.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::server::stream;
use crate::telemetry::gauge::{Gauge, Held};

/// How long a connection that has not asked anything may be silent where others wait for its place.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// [`Counts::rest`] of a connection that has something to do.
const ENGAGED: u64 = 0;
/// [`Counts::rest`] of a connection whose place is another's.
const DISMISSED: u64 = u64::MAX;

/// Counts the requests of a connection. The socket reads it to know whether silence is an idle
/// connection, a slow request head, or an answer being waited for.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Counts>);

/// What a connection without a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A request, or what is left of its head.
    Head,
    /// Another request, of which nothing has come.
    Another,
}

/// That a connection has nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) since: Instant,
    awaited: Awaited,
    /// As it is kept.
    state: u64,
}

impl Rest {
    /// Returns whether the connection may end for another's sake: who has said something, or has just
    /// come, gets the time to say it.
    pub(super) fn may_end(&self, now: Instant) -> bool {
        self.awaited == Awaited::Another || now.duration_since(self.since) >= SILENCE
    }
}

#[derive(Debug)]
struct Counts {
    /// The same of all connections.
    everywhere: Gauge,
    begun: AtomicU64,
    broken: AtomicBool,
    in_flight: AtomicUsize,
    /// When the connection was made.
    made: Instant,
    /// [`ENGAGED`], [`DISMISSED`], or since how many milliseconds after that, plus one, the connection
    /// is at rest, and in the lowest bit whether it waits for another request.
    rest: AtomicU64,
    /// Woken when the connection is dismissed.
    door: AtomicWaker,
    /// Woken when no request is in flight any more. hyper does not read again by itself when an
    /// answer has ended, and a clock that nobody looks at measures no idle time.
    reader: AtomicWaker,
}

impl Activity {
    /// Begins with no request; those to come count `everywhere` too.
    pub(super) fn counting(everywhere: Gauge) -> Self {
        let made = Instant::now();
        Self(Arc::new(Counts {
            everywhere,
            begun: AtomicU64::default(),
            broken: AtomicBool::default(),
            in_flight: AtomicUsize::default(),
            made,
            rest: AtomicU64::new(state_of(Duration::ZERO, Awaited::Head)),
            door: AtomicWaker::new(),
            reader: AtomicWaker::new(),
        }))
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn begin(&self) -> InFlight {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.in_flight.fetch_add(1, Ordering::Release);
        self.leave(ENGAGED);
        InFlight {
            counts: Arc::clone(&self.0),
            _everywhere: self.0.everywhere.hold(),
        }
    }

    /// Returns how many requests began so far.
    pub(super) fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Returns whether a request has begun and not been answered to its end.
    pub(super) fn busy(&self) -> bool {
        self.0.in_flight.load(Ordering::Acquire) > 0
    }

    /// Returns whether an answer broke off.
    pub(super) fn has_broken(&self) -> bool {
        self.0.broken.load(Ordering::Relaxed)
    }

    /// Notes that the connection has nothing to do, and what it waits for; returns whether that is new. What
    /// it waits for already it goes on to wait for.
    pub(super) fn rests(&self, awaited: Awaited, now: Instant) -> bool {
        let is_new = self.rest().is_none_or(|rest| rest.awaited != awaited);
        if is_new {
            self.leave(state_of(now.duration_since(self.0.made), awaited));
        }
        is_new
    }

    /// Changes the state of rest, but for that of a connection whose place is another's.
    fn leave(&self, state: u64) {
        // The place may be given away at any time.
        let stays = |was| (was != DISMISSED).then_some(state);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.0.rest.fetch_update(set, fetch, stays);
    }

    /// Returns since when there is nothing to do, where that is so.
    pub(super) fn rest(&self) -> Option<Rest> {
        let state = self.0.rest.load(Ordering::Acquire);
        if state == ENGAGED || state == DISMISSED {
            return None;
        }
        let awaited = if state & 1 == 1 {
            Awaited::Another
        } else {
            Awaited::Head
        };
        let since = Duration::from_millis((state >> 1) - 1);
        Some(Rest {
            since: self.0.made + since,
            awaited,
            state,
        })
    }

    /// Returns whether a request has begun since the connection was at rest.
    pub(super) fn is_engaged(&self) -> bool {
        self.0.rest.load(Ordering::Acquire) == ENGAGED
    }

    /// Ends the connection if it is still at this rest; returns whether it is.
    pub(super) fn dismiss(&self, rest: Rest) -> bool {
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let was = self
            .0
            .rest
            .compare_exchange(rest.state, DISMISSED, set, fetch);
        if was.is_ok() {
            self.0.door.wake();
        }
        was.is_ok()
    }

    /// Returns whether the connection's place is another's. A request that came at the same time is
    /// in flight all the same.
    pub(super) fn is_dismissed(&self) -> bool {
        self.0.rest.load(Ordering::Acquire) == DISMISSED
    }

    /// Is ready when the connection is dismissed.
    pub(super) fn poll_dismissed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.door.register(cx.waker());
        if self.is_dismissed() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Waits until the connection is dismissed.
    pub(super) async fn dismissed(&self) {
        poll_fn(|cx| self.poll_dismissed(cx)).await;
    }

    /// Is ready when no request is in flight.
    pub(super) fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.busy() {
            self.0.reader.register(cx.waker());
            // The last one may have ended just before.
            if self.busy() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self::counting(Gauge::default())
    }
}

/// Returns how a rest that began so long after the connection is kept.
fn state_of(since: Duration, awaited: Awaited) -> u64 {
    let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    // Not [`DISMISSED`], whatever a clock says.
    (milliseconds.min(u64::MAX / 4) + 1) << 1 | u64::from(awaited == Awaited::Another)
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    counts: Arc<Counts>,
    _everywhere: Held,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.counts.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.counts.reader.wake();
        }
    }
}

/// The longest piece of an answer that an HTTP/2 stream is given at once, which is also the longest
/// frame that a client must take: hyper keeps a piece whole as soon as there is a window for a byte
/// of it.
const PIECE: usize = 16 * 1024;

pin_project_lite::pin_project! {
    /// A body that keeps its request in flight until it ends, and says when the client is to take a
    /// piece of it.
    #[derive(Debug)]
    pub(super) struct CountedBody<B> {
        #[pin]
        body: B,
        in_flight: InFlight,
        longest: usize,
        // What is left of a piece that was too long.
        rest: Bytes,
    }
}

impl<B> CountedBody<B> {
    /// Counts an answer to a request of this version.
    pub(super) fn new(body: B, in_flight: InFlight, version: Version) -> Self {
        let longest = match version {
            Version::HTTP_2 => PIECE,
            _ => usize::MAX,
        };
        Self {
            body,
            in_flight,
            longest,
            rest: Bytes::new(),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let mut frame = if this.rest.is_empty() {
            this.body.poll_frame(cx)
        } else {
            Poll::Ready(Some(Ok(Frame::data(mem::take(this.rest)))))
        };
        match &mut frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_mut()
                    && data.len() > *this.longest
                {
                    *this.rest = data.split_off(*this.longest);
                }
                stream::handed_out();
            }
            Poll::Ready(Some(Err(_))) => {
                this.in_flight.counts.broken.store(true, Ordering::Relaxed);
            }
            Poll::Ready(None) | Poll::Pending => stream::at_rest(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[test]
    fn an_http2_client_is_given_a_long_answer_in_pieces() {
        let answer = Bytes::from(vec![7; 2 * PIECE + 1]);
        for (version, pieces) in [
            (Version::HTTP_11, vec![2 * PIECE + 1]),
            (Version::HTTP_2, vec![PIECE, PIECE, 1]),
        ] {
            let in_flight = Activity::default().begin();
            let mut body = CountedBody::new(Full::new(answer.clone()), in_flight, version);
            let mut given = Vec::new();

            while !body.is_end_stream() {
                let left = body.size_hint().exact();
                assert_eq!(
                    left,
                    Some((answer.len() - given.iter().sum::<usize>()) as u64)
                );
                let frame = body.frame().now_or_never().flatten().unwrap().unwrap();
                given.push(frame.into_data().unwrap().len());
            }

            assert_eq!(given, pieces);
        }
    }
}
