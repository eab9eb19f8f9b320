//! An upstream that says what is written down, piece by piece.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Method, StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::upstream::headers::Headers;
use crate::upstream::http1::{Form, Http1Error, Session};
use crate::upstream::request::Outgoing;

/// What is read at once with its head where the answer before was as long.
pub(super) const BEFORE: usize = 20_000;

/// What follows the last piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Close,
    Hold,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) said: VecDeque<Vec<u8>>,
    pub(super) then: Then,
    pub(super) heard: Vec<u8>,
    /// How much it takes of a request until it is given more room.
    pub(super) room: usize,
    /// Nothing is there yet when it is looked at first.
    pub(super) is_late: bool,
    /// Writing fails where there is no room.
    pub(super) is_deaf: bool,
}

impl Script {
    pub(super) fn new<'a>(said: impl IntoIterator<Item = &'a [u8]>, then: Then) -> Self {
        let said = said.into_iter().filter(|piece| !piece.is_empty());
        Self {
            said: said.map(<[u8]>::to_vec).collect(),
            then,
            heard: Vec::new(),
            room: usize::MAX,
            is_late: false,
            is_deaf: false,
        }
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.is_late) {
            return Poll::Pending;
        }
        let Some(mut piece) = self.said.pop_front() else {
            return match self.then {
                Then::Close => Poll::Ready(Ok(())),
                Then::Hold => Poll::Pending,
            };
        };
        let rest = piece.split_off(piece.len().min(buffer.remaining()));
        buffer.put_slice(&piece);
        if !rest.is_empty() {
            self.said.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.room);
        if taken == 0 && self.is_deaf {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if taken == 0 {
            return Poll::Pending;
        }
        self.room -= taken;
        self.heard.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Returns a request with this body.
pub(super) fn outgoing(body: &[u8]) -> Outgoing {
    Outgoing {
        method: Method::POST,
        uri: Uri::from_static("http://upstream/"),
        headers: Headers::default(),
        body: [body.to_vec().into()].into_iter().collect(),
    }
}

/// Does what can be done without waiting for more than what is late.
pub(super) fn now<F: Future>(future: F) -> Poll<F::Output> {
    let (mut future, mut cx) = (pin!(future), Context::from_waker(Waker::noop()));
    let first = future.as_mut().poll(&mut cx);
    if first.is_ready() {
        return first;
    }
    future.poll(&mut cx)
}

/// How an exchange went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) head: Option<(StatusCode, HeaderMap)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// More is to come.
    #[default]
    Waiting,
    Whole {
        /// The connection may be used again.
        stays: bool,
    },
    Cut,
    NotHttp,
}

impl From<Http1Error> for End {
    fn from(error: Http1Error) -> Self {
        match error {
            Http1Error::NotHttp(_) => Self::NotHttp,
            Http1Error::Broken(_) | Http1Error::Ended => Self::Cut,
        }
    }
}

/// Reads an answer that comes in these pieces.
pub(crate) fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, then: Then) -> Seen {
    exchange(&mut Session::new(Script::new(pieces, then)))
}

/// The same on a connection that has carried a long answer before.
pub(crate) fn read_after_long<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, then: Then) -> Seen {
    let long = vec![b'x'; BEFORE];
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BEFORE}\r\n\r\n");
    let mut session = Session::new(Script::new([head.as_bytes(), &long], Then::Hold));
    let before = exchange(&mut session);
    assert!(before.body == long && before.end == End::Whole { stays: true });
    session.stream = Script::new(pieces, then);
    session.stream.is_late = true;
    exchange(&mut session)
}

/// Reads an answer.
fn exchange(session: &mut Session<Script>) -> Seen {
    let mut seen = Seen::default();
    match now(session.send(&outgoing(b"hello"), Form::Origin)) {
        Poll::Pending => return seen,
        Poll::Ready(Err(error)) => {
            seen.end = error.into();
            return seen;
        }
        Poll::Ready(Ok(response)) => {
            let (head, ()) = response.into_parts();
            seen.head = Some((head.status, head.headers));
        }
    }
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(data) = session.poll_data(&mut cx) {
        match data {
            Some(Ok(data)) => seen.body.extend_from_slice(&data),
            Some(Err(error)) => {
                seen.end = error.into();
                return seen;
            }
            None => {
                let stays = session.may_stay() && session.is_alive();
                seen.end = End::Whole { stays };
                return seen;
            }
        }
    }
    seen
}
