//! What a well-behaved provider says.
//!
//! Requests and answers in the protocol's shapes, made from the request alone: ids come from the
//! order of arrival and the time of creation is fixed, so that the same requests get the same bytes.

mod chat;
mod error;
mod events;
mod message;
mod models;
mod operations;
mod request;
mod tool;

use bytes::Bytes;
use http::{Method, StatusCode};

use self::chat::Completion;
pub(crate) use self::chat::Content;
use self::events::EventWriter;
use self::request::ChatRequest;
use crate::protocol::{Answered, Protocol};
use crate::reply::Arrival;

pub(crate) use self::error::ApiError;
pub(crate) use self::events::DONE;
pub(crate) use self::message::Prompt;

/// The time at which everything was created, in seconds since 1970: fixed, so that answers repeat.
const CREATED: u64 = 1_767_225_600;

/// Who a simulated provider is.
#[derive(Debug)]
pub(crate) struct Persona {
    /// The name its answers carry.
    pub(crate) name: String,
    /// The models it lists.
    pub(crate) models: Vec<String>,
    /// The protocol it speaks.
    pub(crate) protocol: Protocol,
    /// The end of the only path that its models can be asked for.
    pub(crate) only: Option<String>,
}

impl Default for Persona {
    fn default() -> Self {
        Self {
            name: "upstream".to_owned(),
            models: vec!["gpt-4o".to_owned(), "gpt-4o-mini".to_owned()],
            protocol: Protocol::default(),
            only: None,
        }
    }
}

/// Answers a request as its path asks; `pieces` fixes the number of pieces of a text.
pub(crate) fn answer(arrival: Arrival<'_>, pieces: Option<usize>) -> Result<Answered, ApiError> {
    let request = arrival.request;
    let path = request.path_and_query.split('?').next().unwrap_or_default();
    match request.method {
        Method::POST if path.ends_with("/chat/completions") => {
            let chat = ChatRequest::parse(&request.body)?;
            let completion = Completion::new(arrival, &chat, pieces)?;
            Ok(if chat.stream() {
                Answered::Events(completion.events(EventWriter::new(arrival.number, &chat)))
            } else {
                Answered::Json(completion.to_json(arrival.number, &chat).to_string().into())
            })
        }
        _ if let Some(answered) = operations::answer(arrival, path) => answered,
        Method::GET => models::answer(arrival.persona, path)
            .map(|list| Answered::Json(list.to_string().into())),
        _ => Err(ApiError::of(StatusCode::NOT_FOUND, None)),
    }
}

/// Writes `pieces` as a completion stream, whatever the request asked for.
pub(crate) fn text_events(arrival: Arrival<'_>, pieces: &[String]) -> Vec<Bytes> {
    let chat = ChatRequest::parse(&arrival.request.body).unwrap_or_default();
    let writer = EventWriter::new(arrival.number, &chat);
    Completion::text(&chat, pieces.to_vec()).events(writer)
}
