//! What a client asks for, apart from how its bytes arrived.

use std::sync::Arc;

use berry_core::ErrorBody;
use berry_core::limit::Estimate;
use berry_loadbalance::{Abilities, Mode};
use bytes::Bytes;
use http::{HeaderMap, Method};

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
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST /v1/responses`, and what is asked about a stored response
    Responses,
    /// `POST /v1/moderations`
    Moderations,
    /// `POST /v1/images/generations`
    ImageGenerations,
    /// `POST /v1/images/edits`
    ImageEdits,
    /// `POST /v1/audio/speech`
    Speech,
    /// `POST /v1/audio/transcriptions`
    Transcriptions,
    /// `POST /v1/audio/translations`
    Translations,
    /// `POST /v1/rerank`
    Rerank,
}

impl Operation {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 11] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Moderations,
        Self::ImageGenerations,
        Self::ImageEdits,
        Self::Speech,
        Self::Transcriptions,
        Self::Translations,
        Self::Rerank,
    ];

    /// Returns the path below the version segment, as OpenAI spells it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
            Self::Responses => "/responses",
            Self::Moderations => "/moderations",
            Self::ImageGenerations => "/images/generations",
            Self::ImageEdits => "/images/edits",
            Self::Speech => "/audio/speech",
            Self::Transcriptions => "/audio/transcriptions",
            Self::Translations => "/audio/translations",
            Self::Rerank => "/rerank",
        }
    }

    /// Returns whether its requests may be forms, which carry files.
    pub fn takes_forms(self) -> bool {
        matches!(
            self,
            Self::ImageEdits | Self::Transcriptions | Self::Translations
        )
    }

    /// Returns whether its answer may be something else than JSON: sound, or plain text.
    pub(crate) fn answers_bytes(self) -> bool {
        matches!(
            self,
            Self::Speech | Self::Transcriptions | Self::Translations
        )
    }

    /// Returns whether the member `stream` means something.
    fn streams(self) -> bool {
        !matches!(
            self,
            Self::Embeddings | Self::Moderations | Self::Speech | Self::Translations | Self::Rerank
        )
    }

    /// Returns whether a stream that was asked for must be one. Elsewhere older models ignore it.
    pub(crate) fn must_stream(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions | Self::Completions | Self::Responses
        )
    }

    /// Returns whether an answer may be a stream of events although `stream` did not ask for one.
    pub(crate) fn streams_unasked(self) -> bool {
        self == Self::Speech
    }

    /// Returns what an endpoint needs to be asked for it.
    pub fn ability(self) -> Abilities {
        Abilities::one(self as u32)
    }
}

/// Part of a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredPart {
    /// The response; `GET` or `DELETE`.
    Itself,
    /// `POST …/cancel`
    Cancel,
    /// `GET …/input_items`
    InputItems,
}

impl StoredPart {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Itself => "",
            Self::Cancel => "/cancel",
            Self::InputItems => "/input_items",
        }
    }
}

/// A question about a stored response.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The response's id.
    pub id: Box<str>,
    /// What of it is asked for.
    pub part: StoredPart,
    /// The client's query, which goes on.
    pub query: Option<Box<str>>,
}

/// What is sent.
#[derive(Debug)]
pub enum Ask {
    /// A request to a model.
    Model(Envelope),
    /// A question about what an earlier request left behind.
    Stored(Method, Stored),
}

/// One request, as handlers make it and the relay takes it.
#[derive(Debug)]
pub struct Exchange {
    /// How to speak to the client.
    pub dialect: Dialect,
    /// What is asked.
    pub operation: Operation,
    /// The request itself.
    pub ask: Ask,
    /// The client's headers that go on to the upstream, and no others.
    pub headers: Arc<HeaderMap>,
}

impl Exchange {
    /// Returns whether the answer is to come in pieces.
    pub fn mode(&self) -> Mode {
        match &self.ask {
            Ask::Model(envelope) if envelope.stream() && self.operation.streams() => Mode::Streamed,
            Ask::Model(_) | Ask::Stored(..) => Mode::Whole,
        }
    }

    /// Returns the tokens that it is expected to cost; looks at the whole body.
    pub fn estimate(&self) -> Estimate {
        self.envelope().map_or(Estimate::NONE, Envelope::estimate)
    }

    /// Returns the method and the path that it was asked by.
    pub fn asked(&self) -> String {
        let path = self.operation.path();
        match &self.ask {
            Ask::Model(_) => format!("POST /v1{path}"),
            Ask::Stored(method, stored) => {
                format!("{method} /v1{path}/{}{}", stored.id, stored.part.path())
            }
        }
    }

    /// Returns the request to a model, if it is one.
    pub fn envelope(&self) -> Option<&Envelope> {
        match &self.ask {
            Ask::Model(envelope) => Some(envelope),
            Ask::Stored(..) => None,
        }
    }
}
