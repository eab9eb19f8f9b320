//! Bodies in the debug log, for operators who have switched that on.
//!
//! They hold what users said, so nothing of them is logged otherwise, at whatever level.

use bytes::Bytes;
use tracing::{Level, debug, enabled};

use crate::arrival::RequestId;

/// The most that is shown of a body.
const LONGEST: usize = 4096;

/// Logs the body of a request.
pub(crate) fn request(id: &RequestId, body: &Bytes) {
    debug!(
        request_id = id.as_str(),
        bytes = body.len(),
        body = &*shown(body),
        "request body"
    );
}

/// Gathers the body of an answer as it passes.
#[derive(Debug, Default)]
pub(crate) struct AnswerBody {
    beginning: Vec<u8>,
    bytes: usize,
}

impl AnswerBody {
    /// Returns one where anybody would see it.
    pub(crate) fn if_logged(switched_on: bool) -> Option<Self> {
        (switched_on && enabled!(Level::DEBUG)).then(Self::default)
    }

    /// Notes a piece.
    pub(crate) fn observe(&mut self, piece: &[u8]) {
        let room = LONGEST - self.beginning.len();
        self.beginning
            .extend_from_slice(piece.get(..room).unwrap_or(piece));
        self.bytes += piece.len();
    }

    /// Logs what was gathered.
    pub(crate) fn log(&self, id: &RequestId) {
        debug!(
            request_id = id.as_str(),
            bytes = self.bytes,
            body = &*shown(&self.beginning),
            "answer body"
        );
    }
}

fn shown(body: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(body.get(..LONGEST).unwrap_or(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_answer_the_beginning_is_kept() {
        let mut body = AnswerBody::default();
        for piece in [&[b'a'; 4000][..], &[b'b'; 100], b"c"] {
            body.observe(piece);
        }

        assert_eq!((body.beginning.len(), body.bytes), (4096, 4101));
        assert!(body.beginning.ends_with(&[b'b'; 96]));
    }
}
