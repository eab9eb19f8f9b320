//! Reads the head of an answer.
//!
//! Strict where two readers could take the same bytes for different answers, because one of them may
//! stand in between: a body of which it is not clear where it ends is none.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, StatusCode};
use httparse::{ParserConfig, Status};

use crate::upstream::http1::NotHttp;
use crate::upstream::http1::chunks::Chunks;
use crate::upstream::http1::framing::Framing;

/// The longest head, with the informational ones before it.
pub(super) const LONGEST: usize = 48 * 1024;
/// The most headers.
const HEADERS: usize = 100;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// The connection may be used again.
    pub(super) keep_alive: bool,
    /// How many bytes it took, with the informational ones before it.
    pub(super) length: usize,
}

/// What a head says of its connection and its body.
#[derive(Debug, Default)]
struct Said {
    close: bool,
    keep_alive: bool,
    length: Option<u64>,
    chunked: bool,
}

/// Reads the head of an answer to a request of this method; none where more of it is to come. Heads that
/// are only for information are passed over.
pub(super) fn parse(bytes: &[u8], method: &Method) -> Result<Option<Head>, NotHttp> {
    let mut begin = 0;
    loop {
        let rest = bytes.get(begin..).unwrap_or_default();
        let Some(mut head) = parse_one(rest, method)? else {
            return if bytes.len() > LONGEST {
                Err(NotHttp::LongHead)
            } else {
                Ok(None)
            };
        };
        head.length += begin;
        if head.length > LONGEST {
            return Err(NotHttp::LongHead);
        }
        if !head.status.is_informational() {
            return Ok(Some(head));
        }
        begin = head.length;
    }
}

fn parse_one(bytes: &[u8], method: &Method) -> Result<Option<Head>, NotHttp> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers)
        .map_err(NotHttp::Head)?;
    let Status::Complete(length) = status else {
        return Ok(None);
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(NotHttp::Status)?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(NotHttp::Switch);
    }
    let (mut said, mut map) = (
        Said::default(),
        HeaderMap::with_capacity(parsed.headers.len()),
    );
    // One copy for all values.
    let head = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
    for header in parsed.headers.iter() {
        let begin = header.value.as_ptr().addr() - bytes.as_ptr().addr();
        let value = head.slice(begin..begin + header.value.len());
        let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(header.name.as_bytes()),
            HeaderValue::from_maybe_shared(value),
        ) else {
            return Err(NotHttp::Head(httparse::Error::HeaderValue));
        };
        said.note(&name, value.as_bytes())?;
        map.append(name, value);
    }
    let is_current = parsed.version == Some(1);
    Ok(Some(Head {
        framing: said.framing(status, method, is_current)?,
        keep_alive: !said.close && (is_current || said.keep_alive),
        status,
        headers: map,
        length,
    }))
}

impl Said {
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), NotHttp> {
        if *name == CONNECTION {
            for option in list(value) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if *name == CONTENT_LENGTH {
            for length in list(value) {
                let length = number(length).ok_or(NotHttp::Length)?;
                if self.length.is_some_and(|other| other != length) {
                    return Err(NotHttp::Length);
                }
                self.length = Some(length);
            }
        } else if *name == TRANSFER_ENCODING {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(NotHttp::Coding);
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn framing(
        &self,
        status: StatusCode,
        method: &Method,
        is_current: bool,
    ) -> Result<Framing, NotHttp> {
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if bodiless || status.is_informational() || *method == Method::HEAD {
            return Ok(Framing::NONE);
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(NotHttp::TwoFramings),
            (true, None) if is_current => Ok(Framing::Chunked(Chunks::begin())),
            (true, None) => Err(NotHttp::Coding),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::Close),
        }
    }
}

/// Returns the members of a header's list.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Reads a number of nothing but digits.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, NotHttp> {
        parse(text.as_bytes(), &Method::POST)
    }

    /// Returns how a head says that its body ends, and whether the connection may be used again.
    fn framing(text: &str) -> Result<(String, bool), NotHttp> {
        let head = read(text)?.unwrap();
        let framing = match head.framing {
            Framing::Length(length) => length.to_string(),
            Framing::Chunked(_) => "chunked".to_owned(),
            Framing::Close => "close".to_owned(),
        };
        Ok((framing, head.keep_alive))
    }

    #[test]
    fn a_head_says_where_its_body_ends_and_whether_the_connection_stays() {
        for (head, body, stays) in [
            ("1.1 200 OK\r\ncontent-length: 5", "5", true),
            (
                "1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5",
                "5",
                true,
            ),
            ("1.1 200\r\nContent-Length:5", "5", true),
            ("1.1 200 OK\r\ntransfer-encoding: Chunked", "chunked", true),
            ("1.1 200 OK\r\nx: y", "close", true),
            (
                "1.1 200 OK\r\ncontent-length: 5\r\nconnection: x, Close",
                "5",
                false,
            ),
            (
                "1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\nconnection: keep-alive",
                "5",
                false,
            ),
            ("1.0 200 OK\r\ncontent-length: 5", "5", false),
            (
                "1.0 200 OK\r\ncontent-length: 5\r\nconnection: Keep-Alive",
                "5",
                true,
            ),
            ("1.0 200 OK\r\nx: y", "close", false),
            ("1.1 204 No Content\r\ncontent-length: 5", "0", true),
            ("1.1 304 Not Modified\r\ncontent-length: 5", "0", true),
            (
                "1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5",
                "5",
                true,
            ),
        ] {
            let framing = framing(&format!("HTTP/{head}\r\n\r\n"));

            assert_eq!(framing, Ok((body.to_owned(), stays)), "{head}");
        }
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";

        let head = parse(head, &Method::HEAD).unwrap().unwrap();

        assert!(head.framing.at_end());
    }

    #[test]
    fn hostile_heads_are_refused() {
        use httparse::Error::{HeaderName, HeaderValue, Status, Token, TooManyHeaders, Version};
        let (many, long) = ("x: y\r\n".repeat(101), "x".repeat(LONGEST));
        let hints = "103 x\r\n\r\nHTTP/1.1 ".repeat(LONGEST / 18);
        for (head, fault) in [
            (
                "200 OK\r\ncontent-length: 5\r\ncontent-length: 6",
                NotHttp::Length,
            ),
            ("200 OK\r\ncontent-length: 5, 6", NotHttp::Length),
            ("200 OK\r\ncontent-length: 5,", NotHttp::Length),
            ("200 OK\r\ncontent-length:", NotHttp::Length),
            ("200 OK\r\ncontent-length: +5", NotHttp::Length),
            ("200 OK\r\ncontent-length: -5", NotHttp::Length),
            ("200 OK\r\ncontent-length: 0x5", NotHttp::Length),
            (
                "200 OK\r\ncontent-length: 18446744073709551616",
                NotHttp::Length,
            ),
            (
                "200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5",
                NotHttp::TwoFramings,
            ),
            (
                "200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked",
                NotHttp::TwoFramings,
            ),
            ("200 OK\r\ntransfer-encoding: gzip", NotHttp::Coding),
            (
                "200 OK\r\ntransfer-encoding: gzip, chunked",
                NotHttp::Coding,
            ),
            (
                "200 OK\r\ntransfer-encoding: chunked, gzip",
                NotHttp::Coding,
            ),
            (
                "200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
                NotHttp::Coding,
            ),
            ("200 OK\r\ntransfer-encoding: xchunked", NotHttp::Coding),
            ("200 OK\r\nx: y\r\n folded", NotHttp::Head(HeaderName)),
            ("200 OK\r\ncontent-length : 5", NotHttp::Head(HeaderName)),
            ("200 OK\r\n: 5", NotHttp::Head(HeaderName)),
            ("200 OK\r\nno colon", NotHttp::Head(HeaderName)),
            ("200 OK\r\nx: a\0b", NotHttp::Head(HeaderValue)),
            ("200 OK\r\nx: a\rb", NotHttp::Head(HeaderValue)),
            ("2000 OK", NotHttp::Head(Status)),
            ("20 OK", NotHttp::Head(Status)),
            ("099 OK", NotHttp::Status),
            ("101 Switching Protocols\r\nupgrade: x", NotHttp::Switch),
            (&format!("200 OK\r\n{many}"), NotHttp::Head(TooManyHeaders)),
            (&format!("200 OK\r\nx: {long}"), NotHttp::LongHead),
            (&format!("{hints}200 OK"), NotHttp::LongHead),
            ("200 O\0K", NotHttp::Head(Status)),
        ] {
            let read = read(&format!("HTTP/1.1 {head}\r\n\r\n"));

            let shown = head.get(..60).unwrap_or(head);
            assert_eq!(read.err(), Some(fault), "{shown}");
        }
        for (head, fault) in [
            ("HTTP/2.0 200 OK\r\n\r\n", Version),
            ("HTTP/1.2 200 OK\r\n\r\n", Version),
            ("http/1.1 200 OK\r\n\r\n", Version),
            ("SSH-2.0-OpenSSH\r\n", Version),
            ("\0\0\0\x04\0\0\0\0\0", Version),
            ("HTTP/1.1\t200 OK\r\n\r\n", Version),
        ] {
            assert!(
                matches!(read(head), Err(NotHttp::Head(found)) if found == fault || found == Token),
                "{head}: {:?}",
                read(head)
            );
        }
    }

    #[test]
    fn a_length_beside_chunks_is_refused_in_http_1_0_as_well() {
        let old = framing("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");

        assert_eq!(old, Err(NotHttp::Coding));
    }

    #[test]
    fn a_head_that_is_cut_anywhere_is_waited_for() {
        let head = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\n\r\n";

        for cut in 0..head.len() {
            assert!(matches!(read(&head[..cut]), Ok(None)), "{cut}");
        }
        let whole = read(&format!("{head}body")).unwrap().unwrap();
        assert_eq!(whole.length, head.len());
        assert_eq!(whole.headers["x"], "y");
    }
}
