//! A request as it is written: the head, with what fits behind it of the body, and the body's other
//! pieces as they are.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::Method;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use smallvec::SmallVec;
use tokio::io::AsyncWrite;

use crate::upstream::headers::line;
use crate::upstream::request::Outgoing;

/// How many pieces are written at once.
const SLICES: usize = 8;
/// Heads are seldom longer, and short requests neither: they are written in one piece, because a copy of
/// so little costs less than several pieces do.
const HEAD: usize = 2 * 1024;

/// The form of a request's target, which depends on who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form<'a> {
    /// The target itself: the path; the host in a header.
    Origin,
    /// A forwarding proxy: the whole URI.
    Absolute {
        /// The proxy's credential.
        authorization: Option<&'a HeaderValue>,
    },
}

/// What is still to be written of a request.
#[derive(Debug)]
pub(super) struct Unsent {
    /// The head first; those before `next` are written.
    parts: SmallVec<[Bytes; 5]>,
    next: usize,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Writing,
    Done,
    /// Nothing more can be written; an answer may be there all the same.
    Failed,
}

impl Unsent {
    pub(super) fn new(outgoing: &Outgoing, form: Form<'_>) -> Self {
        let mut head = head(outgoing, form);
        let mut rest = SmallVec::<[_; 4]>::new();
        for piece in outgoing.body.iter().filter(|piece| !piece.is_empty()) {
            if rest.is_empty() && piece.len() <= head.capacity() - head.len() {
                head.extend_from_slice(piece);
            } else {
                rest.push(piece.clone());
            }
        }
        let mut parts = SmallVec::new();
        parts.push(head.into());
        parts.extend(rest);
        Self {
            parts,
            next: 0,
            state: State::Writing,
        }
    }

    /// Returns whether all of it is written.
    pub(super) fn is_sent(&self) -> bool {
        self.state == State::Done
    }

    /// Writes as much as goes. A failure is not told: what was answered before it counts, and where
    /// nothing was, reading says why.
    pub(super) fn write<C: AsyncWrite + Unpin>(&mut self, stream: &mut C, cx: &mut Context<'_>) {
        if self.state != State::Writing {
            return;
        }
        self.state = match self.poll_write(stream, cx) {
            Poll::Pending => State::Writing,
            Poll::Ready(Ok(())) => State::Done,
            Poll::Ready(Err(_)) => State::Failed,
        };
    }

    fn poll_write<C: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut C,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let stream = Pin::new(&mut *stream);
            let written = match self.parts.get(self.next..).unwrap_or_default() {
                [] => return stream.poll_flush(cx),
                [part] => stream.poll_write(cx, part),
                left => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    for (slice, part) in slices.iter_mut().zip(left) {
                        *slice = IoSlice::new(part);
                    }
                    let count = left.len().min(SLICES);
                    stream.poll_write_vectored(cx, slices.get(..count).unwrap_or_default())
                }
            };
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(part) = self.parts.get_mut(self.next) {
            if written < part.len() {
                part.advance(written);
                return;
            }
            written -= part.len();
            self.next += 1;
        }
    }
}

/// Writes a request's head.
fn head(outgoing: &Outgoing, form: Form<'_>) -> Vec<u8> {
    let Outgoing {
        method,
        uri,
        headers,
        body,
    } = outgoing;
    let mut head = Vec::with_capacity(HEAD);
    head.extend_from_slice(method.as_str().as_bytes());
    head.push(b' ');
    let authorization = match form {
        Form::Origin => {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            head.extend_from_slice(path.as_bytes());
            None
        }
        Form::Absolute { authorization } => {
            let _ = write!(head, "{uri}");
            authorization
        }
    };
    head.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(host) = uri.authority()
        && !headers.contains(&HOST)
    {
        head.extend_from_slice(b"host: ");
        head.extend_from_slice(host.as_str().as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    headers.write(&mut head, authorization.map(|_| &PROXY_AUTHORIZATION));
    if let Some(authorization) = authorization {
        line(&mut head, &PROXY_AUTHORIZATION, authorization);
    }
    let length: usize = body.iter().map(Bytes::len).sum();
    if length > 0 || *method == Method::POST {
        let _ = write!(head, "content-length: {length}\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Uri};

    use super::*;

    fn outgoing(method: Method, uri: &'static str, body: &[&'static str]) -> Outgoing {
        let mut headers = HeaderMap::new();
        headers.append("x", HeaderValue::from_static("1"));
        headers.append("x", HeaderValue::from_static("2"));
        headers.insert(PROXY_AUTHORIZATION, HeaderValue::from_static("ours"));
        Outgoing {
            method,
            uri: Uri::from_static(uri),
            headers: headers.into(),
            body: body.iter().map(|&piece| Bytes::from(piece)).collect(),
        }
    }

    fn written(outgoing: &Outgoing, form: Form<'_>) -> String {
        String::from_utf8(head(outgoing, form)).unwrap()
    }

    #[test]
    fn a_target_is_told_the_path_and_its_name() {
        let post = outgoing(
            Method::POST,
            "http://host:8080/v1/chat?x=y",
            &["ab", "", "c"],
        );
        let get = outgoing(Method::GET, "http://host", &[]);
        let cancel = outgoing(Method::POST, "http://host/cancel", &[]);

        let both = "x: 1\r\nx: 2\r\nproxy-authorization: ours\r\n";
        assert_eq!(
            written(&post, Form::Origin),
            format!(
                "POST /v1/chat?x=y HTTP/1.1\r\nhost: host:8080\r\n{both}content-length: 3\r\n\r\n"
            )
        );
        assert_eq!(
            written(&get, Form::Origin),
            format!("GET / HTTP/1.1\r\nhost: host\r\n{both}\r\n")
        );
        assert_eq!(
            written(&cancel, Form::Origin),
            format!("POST /cancel HTTP/1.1\r\nhost: host\r\n{both}content-length: 0\r\n\r\n")
        );
    }

    #[test]
    fn a_proxy_is_told_the_whole_address_and_its_credential() {
        let credential = HeaderValue::from_static("theirs");
        let mut request = outgoing(Method::GET, "http://host:8080/v1/models", &[]);
        request
            .headers
            .insert(HOST, HeaderValue::from_static("named"));
        let form = Form::Absolute {
            authorization: Some(&credential),
        };

        assert_eq!(
            written(&request, form),
            "GET http://host:8080/v1/models HTTP/1.1\r\nx: 1\r\nx: 2\r\nhost: named\r\n\
             proxy-authorization: theirs\r\n\r\n"
        );
    }

    #[test]
    fn what_is_short_is_written_in_one_piece_and_what_is_long_is_not_copied() {
        let long: &str = "x".repeat(HEAD).leak();
        for (body, ends, parts) in [
            (&["abc", "", "de"][..], "\r\n\r\nabcde", 1),
            (&["abc", long, "de"], "\r\n\r\nabc", 3),
            (&[long], "\r\n\r\n", 2),
            (&[], "\r\n\r\n", 1),
        ] {
            let unsent = Unsent::new(&outgoing(Method::POST, "http://h/", body), Form::Origin);

            assert_eq!(unsent.parts.len(), parts, "{ends}");
            assert!(unsent.parts[0].ends_with(ends.as_bytes()), "{ends}");
            assert!(unsent.parts.concat().ends_with(body.concat().as_bytes()));
        }
    }

    #[test]
    fn pieces_that_are_taken_in_part_are_written_once() {
        let long: &str = "x".repeat(HEAD).leak();
        let mut unsent = Unsent::new(
            &outgoing(Method::POST, "http://h/", &["abc", long, "de"]),
            Form::Origin,
        );
        let whole = unsent.parts.concat();

        let mut seen = Vec::new();
        for step in (1..).take_while(|_| true) {
            let left = unsent.parts[unsent.next..].concat();
            let count = left.len().min(step);
            seen.extend_from_slice(&left[..count]);
            unsent.advance(count);
            if unsent.next == unsent.parts.len() {
                break;
            }
        }

        assert_eq!(seen, whole);
    }
}
