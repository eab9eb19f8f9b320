//! Gives the refusals that hyper writes by itself the shape of all our errors.
//!
//! A head that is not HTTP, or is too large, never becomes a request: hyper answers it with an
//! empty body and closes. Such an answer is recognised as it is written, by its missing
//! `x-request-id`, and replaced. A connection that hyper refuses is over, so this happens once.

use berry_core::{ErrorBody, ErrorKind};
use bytes::Bytes;
use http::StatusCode;
use memchr::memmem;

use crate::arrival::{RequestId, X_REQUEST_ID};

/// A refusal in our shape.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) id: RequestId,
    pub(super) bytes: Bytes,
}

/// Returns what to write in place of `written`, where that is a refusal of hyper's own.
pub(super) fn replacement(written: &[u8]) -> Option<Refusal> {
    // An HTTP/1.0 client is answered in its own version.
    let after_version = written
        .strip_prefix(b"HTTP/1.1 ")
        .or(written.strip_prefix(b"HTTP/1.0 "));
    let status = after_version?.get(..3)?;
    let status = StatusCode::from_bytes(status)
        .ok()
        .filter(StatusCode::is_client_error)?;
    if memmem::find(written, X_REQUEST_ID.as_str().as_bytes()).is_some() {
        return None;
    }
    let (code, message) = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            "request_header_fields_too_large",
            "the request's headers are too large or too many",
        ),
        StatusCode::URI_TOO_LONG => ("uri_too_long", "the request's URL is too long"),
        _ => ("invalid_http", "the request is not valid HTTP"),
    };
    let body = ErrorBody::new(ErrorKind::InvalidRequest, message)
        .with_code(code)
        .to_json();
    let id = RequestId::new();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         {X_REQUEST_ID}: {}\r\nconnection: close\r\n\r\n",
        body.len(),
        id.as_str(),
    );
    Some(Refusal {
        status,
        id,
        bytes: [head.as_bytes(), &body].concat().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_a_request_id_gets_our_shape() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";

        let written = String::from_utf8(replacement(bare).unwrap().bytes.to_vec()).unwrap();

        assert!(
            written.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"),
            "{written}"
        );
        assert!(written.contains("\r\nx-request-id: "), "{written}");
        assert!(
            written.contains(r#""code":"request_header_fields_too_large""#),
            "{written}"
        );
    }

    #[test]
    fn answers_of_requests_and_other_bytes_are_left_alone() {
        for written in [
            &b"HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"data: {}\n\n",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert!(replacement(written).is_none());
        }
    }
}
