//! One connection to an upstream, worked by whoever waits for its answer.
//!
//! A connection that is kept does nothing: what has become of it shows when it is taken again. It may be
//! used again when the request was written and the answer read, each to its end and not a byte further.

use std::future::poll_fn;
use std::mem::{self, MaybeUninit};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BufMut, Bytes};
use http::{Method, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::upstream::connection::Connection;
use crate::upstream::http1::framing::Framing;
use crate::upstream::http1::request::{Form, Unsent};
use crate::upstream::http1::{Http1Error, response};
use crate::upstream::request::Outgoing;

/// What is read at once, on the stack: of a head, and of a body that comes in small pieces.
const READ: usize = 8 * 1024;
/// Of a body whose next bytes are known to be so many, so many are read at once, and not moved again.
const LARGE_READ: usize = 64 * 1024;
/// A body of so many bytes at most gets room as soon as its length is known. Where the last answer was longer than
/// [`READ`], as much of the next is read at once with its head: those of one upstream are often about as long.
const LONGEST_READ: usize = 128 * 1024;
/// With a byte to spare, a read shows that nothing is left to be read, and nothing behind the end.
const SPARE: usize = 1;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Session<C = Connection> {
    pub(super) stream: C,
    pub(in crate::upstream) opened: Instant,
    /// Bytes were read since the request.
    heard: bool,
    /// The beginning of a head.
    partial: Vec<u8>,
    /// The beginning of the body, which came with the head, behind as many bytes as `before` says. Where the rest
    /// is known to be short, there is room for it.
    first: Vec<u8>,
    /// The length of the head in front of what has come of the body, where they were not parted.
    before: usize,
    /// The length of the last answer, its head included, where it was known and not too long.
    usual: usize,
    /// What has come of a body that is wanted in one piece.
    gathered: Option<Vec<u8>>,
    framing: Framing,
    keep_alive: bool,
    /// What an upstream has not waited for that answers early.
    unsent: Option<Box<Unsent>>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Session<C> {
    /// Takes an open connection.
    pub(in crate::upstream) fn new(stream: C) -> Self {
        Self {
            stream,
            opened: Instant::now(),
            heard: false,
            partial: Vec::new(),
            first: Vec::new(),
            before: 0,
            usual: 0,
            gathered: None,
            framing: Framing::NONE,
            keep_alive: true,
            unsent: None,
        }
    }

    /// Sends a request and waits for the answer's head.
    pub(in crate::upstream) async fn send(
        &mut self,
        outgoing: &Outgoing,
        form: Form<'_>,
    ) -> Result<Response<()>, Http1Error> {
        self.heard = false;
        let mut unsent = Unsent::new(outgoing, form);
        // What nobody has asked for yet is hardly there, and needs no room.
        let mut room = 0;
        let response = poll_fn(|cx| {
            unsent.write(&mut self.stream, cx);
            let head = self.poll_head(cx, &outgoing.method, room);
            room = self.usual;
            head
        })
        .await?;
        if !unsent.is_sent() {
            self.unsent = Some(Box::new(unsent));
        }
        Ok(response)
    }

    /// Returns whether the upstream has said anything since the last request.
    pub(in crate::upstream) fn has_heard(&self) -> bool {
        self.heard
    }

    /// Returns whether nothing is left to be read of the answer.
    pub(in crate::upstream) fn has_ended(&self) -> bool {
        self.first.is_empty() && self.framing.at_end()
    }

    /// Returns whether it may carry another request, as far as can be said without looking.
    pub(in crate::upstream) fn may_stay(&self) -> bool {
        self.keep_alive && self.has_ended() && self.unsent.is_none()
    }

    /// Returns whether its peer is still there, and has nothing to say.
    pub(in crate::upstream) fn is_alive(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        let read = Pin::new(&mut self.stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte));
        read.is_pending()
    }

    /// Reads the head, and with it what has come of the body and has as much `room`.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        room: usize,
    ) -> Poll<Result<Response<()>, Http1Error>> {
        if self.partial.is_empty() && room > READ {
            return self.poll_long_head(cx, method, room);
        }
        let mut space = [MaybeUninit::uninit(); READ];
        loop {
            let mut buffer = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))
                .map_err(Http1Error::Broken)?;
            let read = buffer.filled_mut();
            if read.is_empty() {
                return Poll::Ready(Err(Http1Error::Ended));
            }
            self.heard = true;
            if self.partial.is_empty() {
                if let Some(head) = response::parse(read, method)? {
                    return Poll::Ready(Ok(self.begin(head, read)));
                }
                self.partial = read.to_vec();
            } else {
                self.partial.extend_from_slice(read);
                if let Some(head) = response::parse(&self.partial, method)? {
                    let read = mem::take(&mut self.partial);
                    return Poll::Ready(Ok(self.begin_in(head, read)));
                }
            }
        }
    }

    /// The same where that may be all of the answer, and a little more than `room`.
    fn poll_long_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        room: usize,
    ) -> Poll<Result<Response<()>, Http1Error>> {
        let mut long = Vec::with_capacity(room + room / 4);
        let read = pin!(self.stream.read_buf(&mut long));
        let read = ready!(read.poll(cx)).map_err(Http1Error::Broken)?;
        if read == 0 {
            return Poll::Ready(Err(Http1Error::Ended));
        }
        self.heard = true;
        let Some(head) = response::parse(&long, method)? else {
            long.shrink_to_fit();
            self.partial = long;
            return self.poll_head(cx, method, 0);
        };
        Poll::Ready(Ok(self.begin_in(head, long)))
    }

    /// Takes what a head says of its body, and keeps what is here of that where it was read: there may be room
    /// for the rest.
    fn begin_in(&mut self, head: response::Head, mut read: Vec<u8>) -> Response<()> {
        let before = head.length;
        let (response, content) = self.take_head(head, &mut read);
        if content == 0 {
            self.begin_body(&[]);
        } else {
            read.truncate(before + content);
            (self.first, self.before) = (read, before);
        }
        response
    }

    /// Takes what a head says of its body, and copies what is here of that.
    fn begin(&mut self, head: response::Head, read: &mut [u8]) -> Response<()> {
        let before = head.length;
        let (response, content) = self.take_head(head, read);
        self.begin_body(read.get(before..before + content).unwrap_or_default());
        response
    }

    /// Takes what a head says of its body. So much content of that is behind it.
    fn take_head(&mut self, head: response::Head, read: &mut [u8]) -> (Response<()>, usize) {
        self.framing = head.framing;
        self.usual = self.short_rest().map_or(0, |body| head.length + body);
        self.keep_alive = head.keep_alive;
        let body = read.get_mut(head.length..).unwrap_or_default();
        let content = self.decode(body).len();
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        (response, content)
    }

    /// Keeps the beginning of the body.
    fn begin_body(&mut self, content: &[u8]) {
        let room = self.short_rest().map_or(0, |rest| rest + SPARE);
        self.first = Vec::with_capacity(content.len() + room);
        self.first.extend_from_slice(content);
    }

    /// Returns how much of the body is to come, where that is known and no more than [`LONGEST_READ`].
    fn short_rest(&self) -> Option<usize> {
        match self.framing {
            Framing::Length(rest @ 1..) => usize::try_from(rest).ok(),
            _ => None,
        }
        .filter(|rest| *rest <= LONGEST_READ)
    }

    /// Takes the content out of what was read of the body.
    fn decode<'a>(&mut self, read: &'a mut [u8]) -> &'a [u8] {
        let (content, used) = self.framing.compact(read);
        if used < read.len() {
            // Nobody has asked for what is behind the end.
            self.keep_alive = false;
        }
        read.get(..content).unwrap_or_default()
    }

    /// Has the answer's body come in one piece, where it is known to have no more than `most` bytes. What
    /// comes before its end is then an empty piece: a sign of life.
    pub(in crate::upstream) fn gather(&mut self, most: usize) {
        let Framing::Length(left @ 1..) = self.framing else {
            return;
        };
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if left.saturating_add(self.first.len() - self.before) > most {
            return;
        }
        let mut gathered = mem::take(&mut self.first);
        gathered.reserve_exact(left + SPARE);
        self.gathered = Some(gathered);
    }

    /// Returns more of the answer's body; nothing at its end.
    pub(in crate::upstream) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Http1Error>>> {
        if let Some(unsent) = &mut self.unsent {
            unsent.write(&mut self.stream, cx);
            self.unsent.take_if(|unsent| unsent.is_sent());
        }
        if !self.first.is_empty() {
            let first = mem::take(&mut self.first);
            return Poll::Ready(Some(Ok(self.without_head(first))));
        }
        if self.gathered.is_some() {
            return self.poll_gathered(cx).map(Some);
        }
        // Nobody wants it in one piece, and the connection may be kept for long.
        self.first = Vec::new();
        loop {
            if let Some(fault) = self.framing.fault() {
                return Poll::Ready(Some(Err(fault.into())));
            }
            if self.framing.at_end() {
                return Poll::Ready(None);
            }
            let run = usize::try_from(self.framing.run()).unwrap_or(LARGE_READ);
            let data = if run > READ {
                ready!(self.poll_large(cx, run.min(LARGE_READ)))
            } else {
                ready!(self.poll_small(cx))
            };
            match data {
                Ok(data) if data.is_empty() => {}
                data => return Poll::Ready(Some(data)),
            }
        }
    }

    /// Reads more of a body that is wanted in one piece; returns it at its end.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Http1Error>> {
        let gathered = self.gathered.get_or_insert_default();
        let left = usize::try_from(self.framing.run()).unwrap_or(usize::MAX);
        let read = pin!(self.stream.read_buf(gathered));
        let read = ready!(read.poll(cx)).map_err(Http1Error::Broken)?;
        if read == 0 {
            return Poll::Ready(self.end());
        }
        self.framing.skip(read as u64);
        if !self.framing.at_end() {
            return Poll::Ready(Ok(Bytes::new()));
        }
        let mut whole = mem::take(&mut self.gathered).unwrap_or_default();
        if let Some(behind) = read.checked_sub(left + 1) {
            // Nobody has asked for what is behind the end.
            self.keep_alive = false;
            whole.truncate(whole.len() - behind - 1);
        }
        Poll::Ready(Ok(self.without_head(whole)))
    }

    /// Returns what has come of the body.
    fn without_head(&mut self, mut read: Vec<u8>) -> Bytes {
        // Somebody may keep it for long.
        if read.len() < read.capacity() / 2 {
            read.shrink_to_fit();
        }
        let mut body = Bytes::from(read);
        body.advance(mem::take(&mut self.before));
        body
    }

    /// Reads what there is, which may be no content.
    fn poll_small(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Http1Error>> {
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))
            .map_err(Http1Error::Broken)?;
        let read = buffer.filled_mut();
        if read.is_empty() {
            return Poll::Ready(self.end());
        }
        Poll::Ready(Ok(Bytes::copy_from_slice(self.decode(read))))
    }

    /// Reads as much content at most.
    fn poll_large(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<Bytes, Http1Error>> {
        let mut content = Vec::with_capacity(most);
        let mut buffer = (&mut content).limit(most);
        let read = pin!(self.stream.read_buf(&mut buffer));
        let read = ready!(read.poll(cx)).map_err(Http1Error::Broken)?;
        if read == 0 {
            return Poll::Ready(self.end());
        }
        self.framing.skip(read as u64);
        // Somebody may keep it for long.
        content.shrink_to_fit();
        Poll::Ready(Ok(content.into()))
    }

    /// Takes the end of the connection for that of the body, where it is.
    fn end(&mut self) -> Result<Bytes, Http1Error> {
        if !matches!(self.framing, Framing::Close) {
            return Err(Http1Error::Ended);
        }
        self.framing = Framing::NONE;
        self.keep_alive = false;
        Ok(Bytes::new())
    }
}
