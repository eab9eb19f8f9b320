//! From a behaviour and a request to the answer that goes out.
//!
//! Pure: neither clocks nor sockets. Delay, silence and faults are applied by the service around it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::behaviour::{Answer, Behaviour};
use crate::journal::Recorded;
use crate::openai::{self, ApiError, Persona};
use crate::protocol::{Answered, Protocol};
use crate::script::Luck;

/// The bytes of an answer, and how they are spread over time.
#[derive(Debug)]
pub(crate) enum Payload {
    /// At once, with a length announced.
    Whole(Bytes),
    /// One chunk per interval.
    Stream {
        chunks: Vec<Bytes>,
        interval: Duration,
    },
}

/// An answer: everything but its timing before the head and its faults.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
}

/// A request with what the provider knows about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) request: &'a Recorded,
    /// Its place in the order of arrival, from 1.
    pub(crate) number: usize,
    pub(crate) luck: Luck,
    pub(crate) persona: &'a Persona,
}

impl Reply {
    /// Decides the answer to `arrival`.
    pub(crate) fn new(behaviour: &Behaviour, arrival: Arrival<'_>) -> Self {
        let mut reply = Self::undecorated(behaviour, arrival);
        reply.status = behaviour.status.unwrap_or(reply.status);
        reply.headers.insert(
            HeaderName::from_static("x-request-id"),
            header_value(&format!("req_{}", arrival.number)),
        );
        if let Some(wait) = behaviour.retry_after
            && (reply.status.is_client_error() || reply.status.is_server_error())
        {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            reply
                .headers
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in &behaviour.headers {
            reply.headers.insert(name, value.clone());
        }
        reply
    }

    fn undecorated(behaviour: &Behaviour, arrival: Arrival<'_>) -> Self {
        let protocol = arrival.persona.protocol;
        let error = |status| {
            Self::error(
                protocol,
                &ApiError::of(status, behaviour.error_code.as_deref()),
            )
        };
        if !bears_key(behaviour, arrival) {
            return Self::error(protocol, &ApiError::of(StatusCode::UNAUTHORIZED, None));
        }
        if arrival.luck == Luck::Error {
            return error(behaviour.chances.error_status);
        }
        match &behaviour.answer {
            Answer::Echo { interval, chunks } => match protocol.answer(arrival, *chunks) {
                Ok(Answered::Json(body)) => Self::json(StatusCode::OK, body),
                Ok(Answered::Other(kind, body)) => {
                    Self::whole(StatusCode::OK, HeaderValue::from_static(kind), body)
                }
                Ok(Answered::Events(events)) => Self::stream(behaviour, events, *interval),
                Err(refusal) => Self::error(protocol, &refusal),
            },
            Answer::Text { pieces, interval } => {
                let events = openai::text_events(arrival, pieces);
                Self::stream(behaviour, events, *interval)
            }
            Answer::Stream { chunks, interval } => {
                Self::stream(behaviour, chunks.clone(), *interval)
            }
            Answer::Body { content_type, body } => {
                Self::whole(StatusCode::OK, header_value(content_type), body.clone())
            }
            Answer::Status(status) => error(*status),
            Answer::Html(status) => Self::whole(
                *status,
                HeaderValue::from_static("text/html"),
                format!("<html><body><h1>{status}</h1></body></html>\n"),
            ),
        }
    }

    fn whole(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type)]),
            payload: Payload::Whole(body.into()),
        }
    }

    fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::whole(status, HeaderValue::from_static("application/json"), body)
    }

    fn error(protocol: Protocol, error: &ApiError) -> Self {
        Self::json(error.status, protocol.error(error).to_string())
    }

    fn stream(behaviour: &Behaviour, mut chunks: Vec<Bytes>, interval: Duration) -> Self {
        if behaviour.without_done {
            chunks.retain(|chunk| chunk != openai::DONE);
        }
        if let Some(count) = behaviour.error_event_after {
            chunks.truncate(count);
            let code = behaviour.error_code.as_deref();
            let error = ApiError::of(StatusCode::INTERNAL_SERVER_ERROR, code);
            chunks.push(format!("data: {}\n\n", error.to_json()).into());
        }
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
                (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            ]),
            payload: Payload::Stream { chunks, interval },
        }
    }
}

fn bears_key(behaviour: &Behaviour, arrival: Arrival<'_>) -> bool {
    let Some(key) = &behaviour.required_key else {
        return true;
    };
    arrival.persona.protocol.key(&arrival.request.headers) == Some(key)
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a valid header value")
}
