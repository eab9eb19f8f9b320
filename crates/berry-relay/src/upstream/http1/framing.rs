//! Where a body ends.

use crate::upstream::http1::NotHttp;
use crate::upstream::http1::chunks::Chunks;

/// See the module's documentation.
#[derive(Debug)]
pub(super) enum Framing {
    /// After as many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked(Chunks),
    /// With the connection.
    Close,
}

impl Framing {
    /// Of no body.
    pub(super) const NONE: Self = Self::Length(0);

    /// Returns whether the body is at its end.
    pub(super) fn at_end(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.at_end(),
            Self::Close => false,
        }
    }

    /// Returns what is wrong with the body, behind all of its content that was taken out.
    pub(super) fn fault(&self) -> Option<NotHttp> {
        match self {
            Self::Chunked(chunks) => chunks.fault(),
            Self::Length(_) | Self::Close => None,
        }
    }

    /// Returns how much content is known to follow before anything else.
    pub(super) fn run(&self) -> u64 {
        match self {
            Self::Length(left) => *left,
            Self::Chunked(chunks) => chunks.run(),
            Self::Close => 0,
        }
    }

    /// Notes that as much of a [`run`](Self::run) was read.
    pub(super) fn skip(&mut self, content: u64) {
        match self {
            Self::Length(left) => *left = left.saturating_sub(content),
            Self::Chunked(chunks) => chunks.skip(content),
            Self::Close => {}
        }
    }

    /// Moves the content of what was read to its front. Returns how much content there is, and how much
    /// belonged to the body.
    pub(super) fn compact(&mut self, bytes: &mut [u8]) -> (usize, usize) {
        match self {
            Self::Length(left) => {
                let all = bytes.len();
                let content = usize::try_from(*left).map_or(all, |left| left.min(all));
                *left -= content as u64;
                (content, content)
            }
            Self::Chunked(chunks) => chunks.compact(bytes),
            Self::Close => (bytes.len(), bytes.len()),
        }
    }
}
