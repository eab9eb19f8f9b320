//! What all relayed requests have in common, once it is known what is asked and of whom.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use berry_core::{User, on_heap};
use berry_loadbalance::Filter;
use berry_relay::trace::TRACESTATE;
use berry_relay::{Dialect, Exchange, Quiet, Receipt, RelayError, Reply, ReplyBody, Route};
use http::HeaderMap;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::time::timeout;
use tracing::info;

use crate::access_log::{AccessRecord, Progress};
use crate::arrival::{Arrival, X_REQUEST_ID};
use crate::body_log::AnswerBody;
use crate::caller::{Caller, Permit};
use crate::client_body::{ClientBody, Work};
use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::headers;
use crate::tasks::Grace;
use crate::telemetry::visit::Visit;
use crate::whole_body::WholeBody;

const X_BERRY_BACKEND: HeaderName = HeaderName::from_static("x-berry-backend");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Users with this tag are told which backend answered.
const DEBUG_TAG: &str = "debug";

/// A request that may be relayed.
pub(super) struct Accepted {
    pub(super) user: Arc<User>,
    pub(super) permit: Permit,
    pub(super) route: Arc<Route>,
    pub(super) filter: Filter,
    pub(super) exchange: Exchange,
    /// The silence after which a comment is sent; none for whole answers.
    pub(super) keep_alive: Option<Duration>,
    /// What is answered goes to the debug log.
    pub(super) logs_answer: bool,
}

/// Answers a request: relays it, or says what is wrong with it; and how much the caller has left.
///
/// What is begun at once need not be kept until it is awaited: a request's future is the smaller for it.
pub(super) fn respond(
    gateway: Arc<Gateway>,
    arrival: Arrival,
    caller: &Caller,
    accepted: Result<Accepted, ApiError>,
) -> impl Future<Output = Response> + use<'_> {
    let begun = accepted.map(|accepted| begin(gateway, arrival, accepted));
    async {
        match begun {
            Ok((out, work)) => caller.answer(out.first(work).await),
            Err(error) => caller.refuse(error),
        }
    }
}

/// Puts the relay to work on a request.
fn begin(gateway: Arc<Gateway>, arrival: Arrival, accepted: Accepted) -> (Out, Work) {
    let Accepted {
        user,
        permit,
        route,
        filter,
        mut exchange,
        keep_alive,
        logs_answer,
    } = accepted;
    let address = arrival.sender().map(|sender| sender.address);
    let Arrival {
        id, visit, trace, ..
    } = arrival;
    // An upstream's operator can look for the same request.
    let headers = Arc::make_mut(&mut exchange.headers);
    headers.insert(X_REQUEST_ID, id.clone().into_header());
    if trace.as_ref().is_some_and(|trace| trace.parent.is_none()) {
        // It belongs to a parent that is not there.
        headers.remove(TRACESTATE);
    }
    let names_backend = filter.provider.is_some();
    // A name that is no provider's is the client's text, which is not for the log.
    let mut endpoints = route.pool.endpoints().iter();
    if let Some(backend) = &filter.provider
        && endpoints.any(|endpoint| endpoint.key().provider == *backend)
    {
        info!(request_id = id.as_str(), user_id = %user.id, %backend, "backend chosen by the request");
    }
    let out = Out {
        dialect: exchange.dialect,
        keep_alive,
        names_backend: user.is_admin() || user.has_tag(DEBUG_TAG),
        visit: visit.clone(),
        grace: gateway.grace.clone(),
    };
    visit.is_recorded();
    let mut record = on_heap(|| AccessRecord {
        gateway: Arc::clone(&gateway),
        address,
        asked: address.map(|_| exchange.asked().into()),
        operation: exchange.operation,
        names_backend,
        request_id: id,
        user_id: user.id.as_str().into(),
        model: route.model.name.as_str().into(),
        strategy: route.model.strategy,
        visit,
        first_byte: None,
        status: None,
        own_error: false,
        ended: false,
        usage: None,
        answer: AnswerBody::if_logged(logs_answer),
        progress: Progress::default(),
        expected: None,
        receipt: Receipt::traced(trace),
        permit: Some(permit),
    });
    let work = Box::into_pin(on_heap(|| async move {
        let mut asking = Asking {
            exchange: &exchange,
            record: &mut record,
            is_counted: false,
        };
        let receipt = &mut asking.record.receipt;
        let result = gateway.relay.run(&route, filter, &exchange, receipt).await;
        asking.is_counted = result.as_ref().is_ok_and(|reply| reply.usage.is_some());
        drop(asking);
        (result, record)
    }));
    (out, work)
}

/// A request that an answer is awaited for. Where that comes without a count, or the client does not wait for
/// it, the record learns what was expected: the request itself is gone then.
struct Asking<'a> {
    exchange: &'a Exchange,
    record: &'a mut AccessRecord,
    is_counted: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.record.receipt.is_asked && !self.is_counted {
            let envelope = self.exchange.envelope();
            self.record.expected = envelope.map(|_| self.exchange.estimate().input);
        }
    }
}

/// How this client is answered.
struct Out {
    dialect: Dialect,
    /// The silence after which a comment is sent; none for whole answers.
    keep_alive: Option<Duration>,
    names_backend: bool,
    visit: Visit,
    grace: Grace,
}

impl Out {
    /// Answers with what the relay came to, or that the answer will come.
    async fn first(self, mut work: Work) -> Response {
        let head = async {
            match self.keep_alive {
                None => Some((&mut work).await),
                Some(limit) => timeout(limit, &mut work).await.ok(),
            }
        };
        match self.grace.within(head).await {
            Some(Some((result, record))) => self.answer(result, record),
            Some(None) => self.wait(work),
            // The record goes with the work, and says the same.
            None => ApiError::shutting_down().into_response(),
        }
    }

    /// Answers with what the relay came to.
    fn answer(&self, result: Result<Reply, RelayError>, mut record: Box<AccessRecord>) -> Response {
        let backend = record
            .receipt
            .endpoint
            .as_ref()
            .filter(|_| self.names_backend);
        let backend = backend.and_then(|key| HeaderValue::try_from(key.to_string()).ok());
        let mut response = match result {
            Ok(reply) => self.reply(reply, record),
            Err(error) => {
                let error = ApiError::from(error);
                record.unanswered(error.status());
                record.ended(None);
                error.into_response()
            }
        };
        if let Some(backend) = backend {
            response.headers_mut().insert(X_BERRY_BACKEND, backend);
        }
        response
    }

    fn reply(&self, reply: Reply, mut record: Box<AccessRecord>) -> Response {
        record.answered(reply.status);
        let (body, events) = match reply.body {
            ReplyBody::Refusal(None) => {
                record.refused(reply.status);
                record.ended(None);
                return ApiError::refused(reply.status).into_response();
            }
            ReplyBody::Refusal(Some(body)) => {
                record.passes(&body);
                let permit = record.refused(reply.status);
                record.ended(None);
                (Body::new(WholeBody::new(body, permit)), false)
            }
            ReplyBody::Complete(body) => {
                record.passes(&body);
                record.progress.written = reply.written;
                let permit = record.charge(reply.usage);
                record.ended(reply.usage);
                (Body::new(WholeBody::new(body, permit)), false)
            }
            ReplyBody::Coming(answer) => {
                let events = answer.is_events();
                let quiet = Quiet::new(self.keep_alive);
                let body = ClientBody::passing(answer, record, self.dialect, quiet);
                (Body::new(body), events)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = reply.status;
        *response.headers_mut() = headers::to_client(&reply.headers, &reply.scrub);
        if !reply.status.is_success() {
            // Whatever it was called, it was read as JSON.
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
        }
        if events {
            set_event_stream(response.headers_mut());
        }
        response
    }

    /// Answers that the answer will come: the head and comments, while the relay is at work.
    fn wait(&self, work: Work) -> Response {
        let quiet = Quiet::new(self.keep_alive);
        let visit = self.visit.clone();
        let grace = self.grace.clone();
        let body = ClientBody::waiting(work, visit, grace, self.dialect, quiet);
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = StatusCode::OK;
        set_event_stream(response.headers_mut());
        response
    }
}

/// A stream of events passes every proxy at once, and no cache keeps it.
fn set_event_stream(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}
