//! An answer on its way out: the client half of the body.
//!
//! It keeps a silent stream alive with comments, also while the relay is still looking for an
//! endpoint, and says so when an answer breaks: as an error event, never as a clean end. It owns
//! the request's record, so the log line is written when the last byte is out or the client left.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use berry_relay::{Answer, Break, Dialect, Quiet, RelayError, Reply, ReplyBody};
use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};
use serde_json::Value;

use crate::access_log::AccessRecord;
use crate::error::ApiError;
use crate::tasks::Grace;
use crate::telemetry::visit::Visit;

/// The relay's work, where it outlasts the head of the answer.
pub(crate) type Work =
    Pin<Box<dyn Future<Output = (Result<Reply, RelayError>, Box<AccessRecord>)> + Send>>;

enum State {
    /// The head and comments are out; the relay is at work. The record is with it.
    Waiting(Work),
    /// Content is passing.
    Passing(Box<Answer>, Box<AccessRecord>),
    /// The last event. The record may have gone with the relay.
    Last(Bytes, Option<Box<AccessRecord>>),
    /// All is said; none holds the record.
    Ended,
}

/// See the module's documentation.
pub(crate) struct ClientBody {
    state: State,
    dialect: Dialect,
    quiet: Quiet,
    visit: Visit,
    grace: Grace,
    /// The silence that made a comment due was before this body began.
    comment_due: bool,
}

impl ClientBody {
    /// Passes an answer whose head is out.
    pub(crate) fn passing(
        answer: Box<Answer>,
        record: Box<AccessRecord>,
        dialect: Dialect,
        quiet: Quiet,
    ) -> Self {
        // Only a stream of events has room for comments.
        let quiet = if answer.is_events() {
            quiet
        } else {
            Quiet::new(None)
        };
        Self {
            visit: record.visit.clone(),
            grace: record.gateway.grace.clone(),
            state: State::Passing(answer, record),
            dialect,
            quiet,
            comment_due: false,
        }
    }

    /// Waits for the relay, keeping the client company. The first comment is due at once.
    pub(crate) fn waiting(
        work: Work,
        visit: Visit,
        grace: Grace,
        dialect: Dialect,
        quiet: Quiet,
    ) -> Self {
        Self {
            state: State::Waiting(work),
            dialect,
            quiet,
            visit,
            grace,
            comment_due: true,
        }
    }

    /// What the relay came to, where a comment has been sent before it.
    fn arrived(&self, result: Result<Reply, RelayError>, mut record: Box<AccessRecord>) -> State {
        match result {
            Ok(Reply {
                status,
                body: ReplyBody::Coming(answer),
                ..
            }) => {
                record.answered(status);
                State::Passing(answer, record)
            }
            Ok(Reply {
                status,
                body: ReplyBody::Refusal(body),
                ..
            }) => {
                record.refused(status);
                let event = refusal_event(status, body.as_ref(), self.dialect);
                State::Last(event, Some(record))
            }
            // A stream is never complete before it is passed on.
            Ok(Reply { .. }) => State::Ended,
            Err(error) => {
                let error = ApiError::from(error);
                record.unanswered(error.status());
                State::Last(error.into_event(self.dialect), Some(record))
            }
        }
    }

    /// What is said when an answer breaks off.
    fn broken(&self, broken: Break, mut record: Box<AccessRecord>) -> State {
        let error = ApiError::from(broken);
        record.failed(error.status());
        record.receipt.failure = Some(broken.kind);
        if broken.told {
            record.ended(None);
            return State::Ended;
        }
        State::Last(self.event(error, broken.torn), Some(record))
    }

    /// What is said when the process ends before the answer. That is nobody's failure.
    fn cut_off(&mut self) {
        let error = ApiError::shutting_down();
        self.state = match mem::replace(&mut self.state, State::Ended) {
            State::Waiting(_) => State::Last(self.event(error, false), None),
            // All has been said, and the upstream only keeps its connection open.
            State::Passing(answer, mut record) if answer.is_done() => {
                record.ended(answer.usage());
                State::Ended
            }
            State::Passing(answer, mut record) if answer.is_events() => {
                record.failed(error.status());
                record.cut(&answer);
                State::Last(self.event(error, answer.is_torn()), Some(record))
            }
            state => state,
        };
    }

    /// Returns an error as an event, behind one that is `torn` or not.
    fn event(&self, error: ApiError, torn: bool) -> Bytes {
        let event = error.into_event(self.dialect);
        if torn {
            [&b"\n\n"[..], &event].concat().into()
        } else {
            event
        }
    }
}

/// An upstream's refusal of the client's request, as an event: its own error object with the status
/// put in, or ours where it has none.
fn refusal_event(status: StatusCode, body: Option<&Bytes>, dialect: Dialect) -> Bytes {
    let body = body.and_then(|body| serde_json::from_slice::<Value>(body).ok());
    if let Some(mut body) = body
        && let Some(Value::Object(error)) = body.get_mut("error")
    {
        for member in ["message", "type", "param", "code"] {
            error.entry(member).or_insert(Value::Null);
        }
        error.insert("status".to_owned(), status.as_u16().into());
        return format!("data: {body}\n\n").into();
    }
    ApiError::refused(status).into_event(dialect)
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = Break;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Break>>> {
        self.visit.stopwatch().start();
        let polled = self.poll_next(cx);
        self.visit.stopwatch().stop();
        polled
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let State::Passing(answer, record) = &mut self.state {
            record.cut(answer);
        }
    }
}

impl ClientBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Break>>> {
        if self.grace.is_over() {
            self.cut_off();
        }
        if mem::take(&mut self.comment_due) {
            return Poll::Ready(Some(Ok(Frame::data(self.dialect.keep_alive()))));
        }
        loop {
            // In its place: what is passed on piece by piece is too large to be moved for each.
            match &mut self.state {
                State::Waiting(work) => match work.as_mut().poll(cx) {
                    Poll::Ready((result, record)) => self.state = self.arrived(result, record),
                    Poll::Pending => {
                        ready!(self.quiet.poll(cx));
                        return Poll::Ready(Some(Ok(Frame::data(self.dialect.keep_alive()))));
                    }
                },
                State::Passing(answer, record) => match answer.poll_chunk(cx) {
                    Poll::Ready(Some(Ok(chunk))) => {
                        record.passes(&chunk);
                        if answer.is_done() {
                            record.progress.written = answer.written();
                            // The client may send its next request before the upstream's own end.
                            record.settle(answer.usage());
                        }
                        self.quiet.broken();
                        return Poll::Ready(Some(Ok(Frame::data(chunk))));
                    }
                    Poll::Ready(Some(Err(broken))) => {
                        if let Some(broken) = self.breaks(broken) {
                            return Poll::Ready(Some(Err(broken)));
                        }
                    }
                    Poll::Ready(None) => {
                        record.progress.written = answer.written();
                        record.ended(answer.usage());
                        self.state = State::Ended;
                    }
                    Poll::Pending => {
                        ready!(self.quiet.poll(cx));
                        if !answer.is_torn() {
                            return Poll::Ready(Some(Ok(Frame::data(self.dialect.keep_alive()))));
                        }
                    }
                },
                State::Last(..) => {
                    return Poll::Ready(self.last().map(|event| Ok(Frame::data(event))));
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    /// Takes note that an answer has broken off; returns how, where that cannot be said in the answer.
    fn breaks(&mut self, broken: Break) -> Option<Break> {
        let State::Passing(answer, mut record) = mem::replace(&mut self.state, State::Ended) else {
            return None;
        };
        record.cut(&answer);
        if answer.is_events() {
            self.state = self.broken(broken, record);
            return None;
        }
        record.failed(StatusCode::BAD_GATEWAY);
        record.receipt.failure = Some(broken.kind);
        record.ended(None);
        Some(broken)
    }

    /// Says the last event.
    fn last(&mut self) -> Option<Bytes> {
        let State::Last(event, record) = mem::replace(&mut self.state, State::Ended) else {
            return None;
        };
        if let Some(mut record) = record {
            record.passes(&event);
            record.ended(None);
        }
        Some(event)
    }
}
