//! What one client connection is doing, shared between its socket and its requests.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};

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

pin_project_lite::pin_project! {
    /// A body that keeps its request in flight until it ends.
    #[derive(Debug)]
    pub(super) struct CountedBody<B> {
        #[pin]
        body: B,
        in_flight: InFlight,
    }
}

impl<B> CountedBody<B> {
    pub(super) fn new(body: B, in_flight: InFlight) -> Self {
        Self { body, in_flight }
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = this.body.poll_frame(cx);
        if matches!(frame, Poll::Ready(Some(Err(_)))) {
            this.in_flight.counts.broken.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
