//! The body of an upstream's answer, which holds its connection until it has been read.
//!
//! Dropped before its end it takes the connection along: that is how an upstream learns that
//! nobody listens any more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;

use crate::upstream::connections::{Connections, Load};
use crate::upstream::gate::Place;
use crate::upstream::http1::Session;
use crate::upstream::transport_error::Cause;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct UpstreamBody {
    rest: Rest,
    /// Its place at the provider; a probe has none.
    place: Option<Place>,
}

/// What is still to come.
#[derive(Debug)]
enum Rest {
    /// The connection goes back when the body has been read to its end.
    Http1(Box<Session>, Arc<Connections>),
    Http2 {
        stream: Incoming,
        /// The place of the stream, dropped with it.
        _load: Arc<Load>,
    },
    Nothing,
}

impl UpstreamBody {
    pub(crate) fn http1(session: Box<Session>, connections: Arc<Connections>) -> Self {
        Self::new(Rest::Http1(session, connections))
    }

    pub(crate) fn http2(stream: Incoming, load: Arc<Load>) -> Self {
        Self::new(Rest::Http2 {
            stream,
            _load: load,
        })
    }

    fn new(rest: Rest) -> Self {
        let mut body = Self { rest, place: None };
        body.release_at_end();
        body
    }

    /// Keeps a place at the provider until the body has been read or dropped.
    pub(crate) fn keeping(mut self, place: Place) -> Self {
        self.place = Some(place).filter(|_| !self.is_end_stream());
        self
    }

    fn release_at_end(&mut self) {
        let has_ended = match &self.rest {
            Rest::Http1(session, _) => session.has_ended(),
            Rest::Http2 { stream, .. } => stream.is_end_stream(),
            Rest::Nothing => true,
        };
        if has_ended {
            self.release();
        }
    }

    fn release(&mut self) {
        self.place = None;
        if let Rest::Http1(session, connections) = std::mem::replace(&mut self.rest, Rest::Nothing)
        {
            connections.put_back(session);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let frame: Option<Result<_, Cause>> = match &mut self.rest {
            Rest::Http1(session, _) => {
                ready!(session.poll_data(cx)).map(|data| data.map(Frame::data).map_err(Into::into))
            }
            Rest::Http2 { stream, .. } => {
                ready!(Pin::new(stream).poll_frame(cx)).map(|frame| frame.map_err(Into::into))
            }
            Rest::Nothing => None,
        };
        match &frame {
            None => self.release(),
            Some(Ok(_)) => self.release_at_end(),
            Some(Err(_)) => {
                self.rest = Rest::Nothing;
                self.place = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }
}
