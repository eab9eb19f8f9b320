//! The protocols that simulated providers speak, and what differs between them from outside.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::openai::{self, ApiError};
use crate::reply::Arrival;
use crate::{azure, claude, gemini};

/// A provider's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// OpenAI's.
    #[default]
    OpenAi,
    /// OpenAI's as Azure offers it.
    Azure,
    /// Anthropic's messages.
    Claude,
    /// Gemini's contents.
    Gemini,
}

/// An answer's content.
#[derive(Debug)]
pub(crate) enum Answered {
    /// One JSON body.
    Json(Bytes),
    /// Server-sent events.
    Events(Vec<Bytes>),
    /// Something else than JSON, with its content type.
    Other(&'static str, Bytes),
}

impl Protocol {
    /// Returns the path that ends a base URL, as clients write it.
    pub(crate) fn base_path(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Claude => "/v1",
            Self::Azure => "",
            Self::Gemini => "/v1beta",
        }
    }

    /// Answers a request as its path asks; `pieces` fixes the number of pieces of a text.
    pub(crate) fn answer(
        self,
        arrival: Arrival<'_>,
        pieces: Option<usize>,
    ) -> Result<Answered, ApiError> {
        let request = arrival.request;
        if let Some(only) = &arrival.persona.only
            && request.method == Method::POST
            && !request.path_and_query.ends_with(only.as_str())
        {
            return Err(ApiError::of(StatusCode::NOT_FOUND, None));
        }
        match self {
            Self::OpenAi => openai::answer(arrival, pieces),
            Self::Azure => azure::answer(arrival, pieces),
            Self::Claude => claude::answer(arrival, pieces),
            Self::Gemini => gemini::answer(arrival, pieces),
        }
    }

    /// Writes an error in the protocol's shape.
    pub(crate) fn error(self, error: &ApiError) -> Value {
        match self {
            Self::OpenAi | Self::Azure => error.to_json(),
            Self::Claude => claude::error(error),
            Self::Gemini => gemini::error(error),
        }
    }

    /// Returns the key that a request bears.
    pub(crate) fn key(self, headers: &http::HeaderMap) -> Option<&str> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        match self {
            Self::OpenAi => header(AUTHORIZATION.as_str())?.strip_prefix("Bearer "),
            Self::Azure => header("api-key"),
            Self::Claude => header("x-api-key"),
            Self::Gemini => header("x-goog-api-key"),
        }
    }
}
