//! Reads a request's body: whole, not too large, and not too slowly.

use std::time::Duration;

use axum::body::Body;
use berry_relay::waits::SLOWEST_UPLOAD;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

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

/// Reads the body, at most `limit` bytes, with at most `idle` between two pieces of it, and at least
/// [`SLOWEST_UPLOAD`] bytes a second beyond that time.
pub(crate) async fn read(mut body: Body, limit: usize, idle: Duration) -> Result<Bytes, ApiError> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(ApiError::request_too_large(limit));
    }
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut began = None;
    while !body.is_end_stream() {
        let read = first.len() + joined.len();
        let now = Instant::now();
        let began = *began.get_or_insert(now);
        let due = (now + idle).min(began + idle + seconds_for(read));
        let frame = timeout_at(due, body.frame())
            .await
            .map_err(|_| ApiError::request_timeout())?;
        let Some(frame) = frame else { break };
        let Ok(piece) = frame.map_err(|_| ApiError::body_broken())?.into_data() else {
            continue;
        };
        if read + piece.len() > limit {
            return Err(ApiError::request_too_large(limit));
        }
        if read == 0 {
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

/// Returns how long so many bytes may take at the slowest.
fn seconds_for(bytes: usize) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Duration::from_secs(1) * bytes / SLOWEST_UPLOAD
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    /// Reads a body whose pieces of this length come so many milliseconds apart, and says how long
    /// that took.
    async fn reads(pieces: usize, length: usize, apart: u64) -> (Option<usize>, Duration) {
        let body = stream::unfold(0, move |sent| async move {
            sleep(Duration::from_millis(apart)).await;
            let piece = Bytes::from(vec![b'x'; length]);
            (sent < pieces).then(|| (Ok::<_, Infallible>(piece), sent + 1))
        });
        let began = Instant::now();
        let read = read(Body::from_stream(body), 1 << 20, Duration::from_secs(60)).await;
        (read.ok().map(|body| body.len()), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_silent_and_slow_but_not_for_ever() {
        let within = |reading: (Option<usize>, Duration)| (reading.0, reading.1.as_secs());

        // A byte a second, and one just in time each.
        assert_eq!(within(reads(1000, 1, 1000).await), (None, 60));
        assert_eq!(within(reads(1000, 1, 59_000).await), (None, 60));
        assert_eq!(within(reads(58, 1, 1000).await), (Some(58), 59));
        assert_eq!(within(reads(1, 1, 60_001).await), (None, 60));
        // A little faster and slower than the slowest.
        assert_eq!(within(reads(100, 4200, 1000).await), (Some(420_000), 101));
        assert_eq!(within(reads(200, 2048, 1000).await), (None, 119));
    }

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
