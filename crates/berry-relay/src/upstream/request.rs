//! A request on its way to an upstream: cheap to make again, because it may have to be.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};

use crate::envelope::Pieces;
use crate::upstream::headers::Headers;

/// A request, independent of the connection it will use.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// In full: scheme, authority and path.
    pub(crate) uri: Uri,
    pub(crate) headers: Headers,
    pub(crate) body: Pieces,
}

impl Outgoing {
    /// Makes the message for a connection of HTTP/2: hyper makes the pseudo-headers of the whole URI.
    pub(crate) fn message(&self) -> Request<OutgoingBody> {
        let mut request = Request::new(OutgoingBody::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.headers.to_map();
        request
    }
}

/// The pieces of a body, sent one after the other.
#[derive(Debug)]
pub(crate) struct OutgoingBody {
    pieces: smallvec::IntoIter<[Bytes; 4]>,
    left: u64,
}

impl OutgoingBody {
    fn new(pieces: Pieces) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self {
            pieces: pieces.into_iter(),
            left,
        }
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.as_slice().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
