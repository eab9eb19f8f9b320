//! The body of an upstream's answer, which holds its connection until it has been read.
//!
//! Dropped before its end it takes the connection along: that is how an upstream learns that
//! nobody listens any more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::upstream::connections::Hold;
use crate::upstream::gate::Place;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    hold: Option<Hold>,
    /// Its place at the provider; a probe has none.
    place: Option<Place>,
}

impl UpstreamBody {
    pub(crate) fn new(incoming: Incoming, hold: Hold) -> Self {
        let mut body = Self {
            incoming,
            hold: Some(hold),
            place: None,
        };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    /// Keeps a place at the provider until the body has been read or dropped.
    pub(crate) fn keeping(mut self, place: Place) -> Self {
        self.place = Some(place).filter(|_| self.hold.is_some());
        self
    }

    fn release(&mut self) {
        self.place = None;
        if let Some(Hold::Http1(session, connections)) = self.hold.take() {
            connections.put_back(session);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { incoming, hold, .. } = &mut *self;
        let frame = ready!(match hold {
            Some(Hold::Http1(session, _)) => {
                session.work(cx, |_, cx| Pin::new(&mut *incoming).poll_frame(cx))
            }
            Some(Hold::Http2 { .. }) | None => Pin::new(incoming).poll_frame(cx),
        });
        match &frame {
            None => self.release(),
            Some(Ok(_)) if self.incoming.is_end_stream() => self.release(),
            Some(Ok(_)) => {}
            Some(Err(_)) => {
                self.hold = None;
                self.place = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
