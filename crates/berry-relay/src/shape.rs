//! What the bytes of an answer are.

use crate::abridge::Abridged;
use crate::sse::Splitter;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Server-sent events.
    Events(Splitter),
    /// One object; once it is too long to be held, a copy of what is to be known of it.
    Whole(Option<Box<Abridged>>),
    /// Sound, or text: the first of it is content, unless it looks like something else.
    Bytes,
}

impl Shape {
    /// Returns what splits them into events, if they are events.
    pub(crate) fn splitter(&self) -> Option<&Splitter> {
        match self {
            Self::Events(splitter) => Some(splitter),
            Self::Whole(_) | Self::Bytes => None,
        }
    }
}
