//! How a simulated provider answers a request.
//!
//! A [`Behaviour`] is a value: what to answer (a constructor), and what is odd about it (the builder
//! methods, which combine freely). It holds no state, so that one may be set, scripted and cloned;
//! its chances are drawn by the provider, whose seed makes them repeatable.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::wire::{Cut, Fault};

/// How to answer a request.
#[derive(Debug, Clone)]
pub struct Behaviour {
    pub(crate) answer: Answer,
    pub(crate) delay: Duration,
    pub(crate) silent: bool,
    pub(crate) fault: Option<Fault>,
    pub(crate) chances: Chances,
    pub(crate) required_key: Option<String>,
    pub(crate) error_code: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) stall_after: Option<usize>,
    pub(crate) error_event_after: Option<usize>,
    pub(crate) without_done: bool,
}

/// What the answer is made of.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// What a sensible model would say.
    Echo {
        interval: Duration,
        chunks: Option<usize>,
    },
    /// These bytes.
    Body { content_type: String, body: Bytes },
    /// These writes, as server-sent events.
    Stream {
        chunks: Vec<Bytes>,
        interval: Duration,
    },
    /// A well-formed completion stream of these pieces of text.
    Text {
        pieces: Vec<String>,
        interval: Duration,
    },
    /// An error in the protocol's shape.
    Status(StatusCode),
    /// A proxy's error page.
    Html(StatusCode),
}

/// What happens to some requests only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chances {
    pub(crate) error_rate: f64,
    pub(crate) error_status: StatusCode,
    pub(crate) reset_rate: f64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::echo()
    }
}

/// What to answer.
impl Behaviour {
    /// Answers as a well-behaved provider does.
    ///
    /// Any path ending in `/chat/completions` gets a completion, streamed if the request asks for
    /// it, whose text names the provider and repeats the last user message; a call of the first tool
    /// if tools are offered; a text with the tool's result after one. `GET …/models` lists the
    /// provider's models.
    pub fn echo() -> Self {
        Self::answering(Answer::Echo {
            interval: Duration::ZERO,
            chunks: None,
        })
    }

    /// Answers every request with `value`.
    #[expect(clippy::needless_pass_by_value, reason = "`json!` makes values")]
    pub fn json(value: Value) -> Self {
        Self::body("application/json", value.to_string())
    }

    /// Answers every request with these bytes.
    pub fn body(content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::answering(Answer::Body {
            content_type: content_type.into(),
            body: body.into(),
        })
    }

    /// Answers with raw server-sent events: one write per chunk, one chunk per `interval`, the first
    /// at once.
    pub fn stream<C: Into<Bytes>>(chunks: impl IntoIterator<Item = C>, interval: Duration) -> Self {
        Self::answering(Answer::Stream {
            chunks: chunks.into_iter().map(Into::into).collect(),
            interval,
        })
    }

    /// Answers with a well-formed completion stream: the role, each word as one content delta, the
    /// finish reason, `[DONE]`; one event per `interval`.
    pub fn text_stream<W: Into<String>>(
        words: impl IntoIterator<Item = W>,
        interval: Duration,
    ) -> Self {
        Self::answering(Answer::Text {
            pieces: words.into_iter().map(Into::into).collect(),
            interval,
        })
    }

    /// Answers with this status and the error body that usually comes with it.
    pub fn status(status: u16) -> Self {
        Self::answering(Answer::Status(status_code(status)))
    }

    /// Answers with this status and an HTML page, as a proxy before a provider does.
    pub fn html(status: u16) -> Self {
        Self::answering(Answer::Html(status_code(status)))
    }

    /// Answers with bytes that are not HTTP, then closes.
    pub fn garbage() -> Self {
        let mut behaviour = Self::echo();
        behaviour.fault = Some(Fault::Garbage(Bytes::from_static(
            b"\x00\x01 this is not HTTP \xff\xfe\r\n\r\n",
        )));
        behaviour
    }

    fn answering(answer: Answer) -> Self {
        Self {
            answer,
            delay: Duration::ZERO,
            silent: false,
            fault: None,
            chances: Chances {
                error_rate: 0.0,
                error_status: StatusCode::INTERNAL_SERVER_ERROR,
                reset_rate: 0.0,
            },
            required_key: None,
            error_code: None,
            retry_after: None,
            headers: Vec::new(),
            status: None,
            stall_after: None,
            error_event_after: None,
            without_done: false,
        }
    }
}

/// What is odd about the answer.
impl Behaviour {
    /// Waits before answering anything.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Reads the request and never answers.
    #[must_use]
    pub fn hang(mut self) -> Self {
        self.silent = true;
        self
    }

    /// Falls silent after `chunks` chunks of the body, with the connection open.
    #[must_use]
    pub fn hang_after(mut self, chunks: usize) -> Self {
        self.stall_after = Some(chunks);
        self
    }

    /// Resets the connection before any byte of the answer.
    #[must_use]
    pub fn reset(self) -> Self {
        self.reset_after(0)
    }

    /// Resets the connection after `bytes` bytes of the answer, head and framing included.
    #[must_use]
    pub fn reset_after(mut self, bytes: usize) -> Self {
        self.fault = Some(Fault::CutAfter(bytes, Cut::Reset));
        self
    }

    /// Closes the connection in order after `bytes` bytes of the answer, head and framing included.
    #[must_use]
    pub fn truncate_after(mut self, bytes: usize) -> Self {
        self.fault = Some(Fault::CutAfter(bytes, Cut::Close));
        self
    }

    /// Leaves out the `[DONE]` at a stream's end.
    #[must_use]
    pub fn without_done(mut self) -> Self {
        self.without_done = true;
        self
    }

    /// Ends a stream after `chunks` chunks with an error event.
    #[must_use]
    pub fn error_event_after(mut self, chunks: usize) -> Self {
        self.error_event_after = Some(chunks);
        self
    }

    /// Sets the pace of an echoed stream.
    #[must_use]
    pub fn chunk_interval(mut self, period: Duration) -> Self {
        if let Answer::Echo { interval, .. } = &mut self.answer {
            *interval = period;
        }
        self
    }

    /// Sets the number of pieces an echoed text consists of, cutting or repeating its words.
    #[must_use]
    pub fn chunks(mut self, count: usize) -> Self {
        if let Answer::Echo { chunks, .. } = &mut self.answer {
            *chunks = Some(count);
        }
        self
    }

    /// Sets the `code` of error bodies.
    #[must_use]
    pub fn error_code(mut self, code: impl Into<String>) -> Self {
        self.error_code = Some(code.into());
        self
    }

    /// Sends `Retry-After`, in whole seconds rounded up, with error statuses.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Sends a header, replacing one of the same name; panics if it is not a valid header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = name.parse().expect("a valid header name");
        let value = value.parse().expect("a valid header value");
        self.headers.push((name, value));
        self
    }

    /// Sends this status with whatever the answer is made of.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status_code(status));
        self
    }

    /// Answers this share of the requests, from 0 to 1, with an error of this status.
    #[must_use]
    pub fn error_rate(mut self, rate: f64, status: u16) -> Self {
        self.chances.error_rate = rate;
        self.chances.error_status = status_code(status);
        self
    }

    /// Resets the connection of this share of the requests, from 0 to 1, before any answer byte.
    #[must_use]
    pub fn reset_rate(mut self, rate: f64) -> Self {
        self.chances.reset_rate = rate;
        self
    }

    /// Answers 401 unless the request bears this key.
    #[must_use]
    pub fn require_key(mut self, key: impl Into<String>) -> Self {
        self.required_key = Some(key.into());
        self
    }
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status from 100 to 999")
}
