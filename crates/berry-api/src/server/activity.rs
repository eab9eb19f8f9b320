//! What one client connection is doing, shared between its socket and its requests.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use crate::server::stream;
use crate::telemetry::gauge::{Gauge, Held};

/// Counts the requests of a connection. The socket reads it to know whether silence is an idle
/// connection, a slow request head, or an answer being waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// The same of all connections.
    everywhere: Gauge,
    begun: AtomicU64,
    broken: AtomicBool,
    in_flight: AtomicUsize,
    /// Woken when no request is in flight any more. hyper does not read again by itself when an
    /// answer has ended, and a clock that nobody looks at measures no idle time.
    reader: AtomicWaker,
}

impl Activity {
    /// Begins with no request; those to come count `everywhere` too.
    pub(super) fn counting(everywhere: Gauge) -> Self {
        Self(Arc::new(Counts {
            everywhere,
            ..Counts::default()
        }))
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn begin(&self) -> InFlight {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.in_flight.fetch_add(1, Ordering::Release);
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
