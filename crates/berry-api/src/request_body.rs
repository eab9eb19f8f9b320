//! Reads a request's body: whole, not too large, and not too slowly.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::error::ApiError;

/// What a request's body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A JSON object.
    Json,
    /// A form with files.
    Form,
}

/// Returns what a body is said to be, or refuses it: JSON, and a form where the operation takes
/// one. Without a word it counts as JSON.
pub(crate) fn format(headers: &HeaderMap, takes_forms: bool) -> Result<Format, ApiError> {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return Ok(Format::Json);
    };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Format::Json),
        "multipart/form-data" if takes_forms => Ok(Format::Form),
        _ if essence.ends_with("+json") => Ok(Format::Json),
        _ => Err(ApiError::unsupported_media_type(takes_forms)),
    }
}

/// Reads the body, at most `limit` bytes, with at most `idle` between two pieces of it.
pub(crate) async fn read(mut body: Body, limit: usize, idle: Duration) -> Result<Bytes, ApiError> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(ApiError::request_too_large(limit));
    }
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    loop {
        let frame = timeout(idle, body.frame())
            .await
            .map_err(|_| ApiError::request_timeout())?;
        let Some(frame) = frame else { break };
        let Ok(piece) = frame.map_err(|_| ApiError::body_broken())?.into_data() else {
            continue;
        };
        if first.len() + joined.len() + piece.len() > limit {
            return Err(ApiError::request_too_large(limit));
        }
        if first.is_empty() && joined.is_empty() {
            // Most bodies come in one piece, which is then used as it is.
            first = piece;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(
                usize::try_from(announced)
                    .unwrap_or_default()
                    .max(first.len() + piece.len()),
            );
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.extend_from_slice(&piece);
    }
    Ok(if joined.is_empty() {
        first
    } else {
        joined.freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, takes_forms: bool) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        format(&headers, takes_forms).ok()
    }

    #[test]
    fn json_in_every_spelling_is_accepted_and_other_types_are_not() {
        assert_eq!(format(&HeaderMap::new(), false).ok(), Some(Format::Json));
        for kind in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/x+json",
        ] {
            assert_eq!(of(kind, true), Some(Format::Json), "{kind}");
        }
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "",
        ] {
            assert_eq!(of(kind, true), None, "{kind}");
        }
    }

    #[test]
    fn a_form_is_accepted_where_files_are_sent() {
        let kind = "multipart/form-data; boundary=x";

        assert_eq!(of(kind, true), Some(Format::Form));
        assert_eq!(of(kind, false), None);
    }
}
