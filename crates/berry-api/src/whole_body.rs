//! An answer that is here as a whole, and what its request keeps until it is out.
//!
//! The request's leave must not end before its answer: a client that asks much and reads nothing
//! would have as many answers in memory as it likes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

/// See the module's documentation. Its end is not announced with its last bytes, so that servers
/// hold it until these are on their way.
pub(crate) struct WholeBody<K> {
    body: Full<Bytes>,
    _kept: K,
}

impl<K> WholeBody<K> {
    /// Makes a body of these bytes that keeps something.
    pub(crate) fn new(bytes: Bytes, kept: K) -> Self {
        Self {
            body: Full::new(bytes),
            _kept: kept,
        }
    }
}

impl<K: Unpin> Body for WholeBody<K> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn what_it_keeps_is_kept_until_its_end_has_been_read() {
        let kept = Arc::new(());
        let mut body = WholeBody::new(Bytes::from_static(b"answer"), Arc::clone(&kept));
        assert_eq!(body.size_hint().exact(), Some(6));

        let frame = body.frame().await.unwrap().unwrap();

        assert_eq!(frame.into_data().unwrap(), "answer");
        assert!(!body.is_end_stream());
        assert_eq!(Arc::strong_count(&kept), 2);
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
