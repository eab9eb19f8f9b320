//! What a client asks for, apart from how its bytes arrived.

use berry_core::ErrorBody;
use bytes::Bytes;
use http::HeaderMap;

use crate::envelope::Envelope;

/// The protocol a client speaks. Errors keep their cause until here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's API.
    OpenAi,
}

impl Dialect {
    /// Returns an error as the body of an answer.
    pub fn error(self, error: &ErrorBody) -> Bytes {
        match self {
            Self::OpenAi => error.to_json().into(),
        }
    }

    /// Returns an error as the last event of a stream.
    pub fn error_event(self, error: &ErrorBody) -> Bytes {
        match self {
            Self::OpenAi => error.to_event().into(),
        }
    }

    /// Returns what keeps a silent stream's connection open, and is nothing to its reader.
    pub fn keep_alive(self) -> Bytes {
        match self {
            Self::OpenAi => Bytes::from_static(b": keep-alive\n\n"),
        }
    }
}

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `POST /v1/chat/completions`
    ChatCompletions,
}

impl Operation {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 1] = [Self::ChatCompletions];

    /// Returns the path below the version segment, as OpenAI spells it.
    pub fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
        }
    }
}

/// One request, as handlers make it and the relay takes it.
#[derive(Debug)]
pub struct Exchange {
    /// How to speak to the client.
    pub dialect: Dialect,
    /// What is asked.
    pub operation: Operation,
    /// The body.
    pub envelope: Envelope,
    /// The client's headers that go on to the upstream, and no others.
    pub headers: HeaderMap,
}
