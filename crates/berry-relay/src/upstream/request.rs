//! A request on its way to an upstream: cheap to make again, because it may have to be.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};

use crate::envelope::Pieces;

/// A request, independent of the connection it will use.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// In full: scheme, authority and path.
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Pieces,
}

/// The form of a request's target, which depends on who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form<'a> {
    /// HTTP/1.1 to the target itself: the path; the host in a header.
    Origin,
    /// HTTP/1.1 to a forwarding proxy: the whole URI.
    Absolute {
        /// The proxy's credential.
        authorization: Option<&'a HeaderValue>,
    },
    /// HTTP/2: the whole URI, from which hyper makes the pseudo-headers.
    Http2,
}

impl Outgoing {
    /// Makes the message in the form that a connection needs.
    pub(crate) fn message(&self, form: Form<'_>) -> Request<OutgoingBody> {
        let mut request = Request::new(OutgoingBody::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        match form {
            Form::Origin => {
                let path = self.uri.path_and_query().cloned();
                *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
            }
            Form::Absolute { .. } => *request.uri_mut() = self.uri.clone(),
            Form::Http2 => {
                *request.uri_mut() = self.uri.clone();
                *request.version_mut() = Version::HTTP_2;
                return request;
            }
        }
        let host = self
            .uri
            .authority()
            .map(|authority| HeaderValue::from_str(authority.as_str()));
        if let Some(Ok(host)) = host {
            request.headers_mut().entry(HOST).or_insert(host);
        }
        if let Form::Absolute {
            authorization: Some(authorization),
        } = form
        {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, authorization.clone());
        }
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
