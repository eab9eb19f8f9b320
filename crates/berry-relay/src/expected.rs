//! What may come back for a request, and what did by its headers.

use berry_loadbalance::Mode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::exchange::{Ask, Exchange, Operation};

/// The form of a successful answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Server-sent events.
    Events,
    /// One JSON object.
    Whole,
    /// Sound, or plain text.
    Bytes,
}

/// See the module's documentation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    operation: Operation,
    mode: Mode,
    stored: bool,
}

impl Expected {
    /// An object, as the list of models is one.
    pub(crate) const OBJECT: Self = Self {
        operation: Operation::Embeddings,
        mode: Mode::Whole,
        stored: false,
    };

    /// Returns what may come back for a request.
    pub(crate) fn of(exchange: &Exchange) -> Self {
        Self {
            operation: exchange.operation,
            mode: exchange.mode(),
            stored: matches!(exchange.ask, Ask::Stored(..)),
        }
    }

    /// Returns whether the request is about something that an earlier one left behind.
    pub(crate) fn is_stored(self) -> bool {
        self.stored
    }

    /// Says what a successful answer is, or what is wrong with it.
    pub(crate) fn form(
        self,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Form, &'static str> {
        if status == StatusCode::PARTIAL_CONTENT {
            return Err("a part of an answer, which nobody asked for");
        }
        let encoding = headers.get(CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            return Err("compressed although that was not accepted");
        }
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let (events, json, page) = match kind {
            // As most upstreams spell them.
            "application/json" => (false, true, false),
            "text/event-stream" => (true, false, false),
            _ => {
                let kind = kind.to_ascii_lowercase();
                let is = |text| kind.contains(text);
                (is("event-stream"), is("json"), is("html"))
            }
        };
        let must_stream = self.mode == Mode::Streamed && self.operation.must_stream();
        let may_stream =
            self.mode == Mode::Streamed || self.stored || self.operation.streams_unasked();
        match () {
            () if page => Err("a web page"),
            () if must_stream && json => Err("a whole answer where a stream was asked for"),
            () if events && !may_stream => Err("a stream where a whole answer was asked for"),
            () if events || must_stream => Ok(Form::Events),
            () if !json && self.operation.answers_bytes() => Ok(Form::Bytes),
            () => Ok(Form::Whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_form_of_an_answer_is_that_of_its_content_type() {
        use Operation::{ChatCompletions, Embeddings, ImageGenerations, Speech, Transcriptions};
        const EVENTS: &str = "text/event-stream";
        const JSON: &str = "application/json; charset=utf-8";
        let (whole, streamed) = (Mode::Whole, Mode::Streamed);
        for (operation, mode, kind, expected) in [
            (ChatCompletions, whole, JSON, Some(Form::Whole)),
            (ChatCompletions, whole, "", Some(Form::Whole)),
            (ChatCompletions, whole, EVENTS, None),
            (ChatCompletions, streamed, EVENTS, Some(Form::Events)),
            (ChatCompletions, streamed, "", Some(Form::Events)),
            (ChatCompletions, streamed, JSON, None),
            (ChatCompletions, streamed, "text/html", None),
            (Embeddings, whole, JSON, Some(Form::Whole)),
            (ImageGenerations, streamed, JSON, Some(Form::Whole)),
            (ImageGenerations, streamed, EVENTS, Some(Form::Events)),
            (Speech, whole, "audio/mpeg", Some(Form::Bytes)),
            (Speech, whole, EVENTS, Some(Form::Events)),
            (Transcriptions, whole, "text/plain", Some(Form::Bytes)),
            (Transcriptions, whole, JSON, Some(Form::Whole)),
            (Transcriptions, whole, "TEXT/HTML", None),
        ] {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(kind))];
            let expectation = Expected {
                operation,
                mode,
                stored: false,
            };

            let headers = headers.into_iter().collect();
            let form = expectation.form(StatusCode::OK, &headers);
            let part = expectation.form(StatusCode::PARTIAL_CONTENT, &headers);

            assert_eq!(form.ok(), expected, "{operation:?} {mode:?} {kind}");
            assert_eq!(part.ok(), None);
        }
    }
}
