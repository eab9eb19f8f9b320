//! What is to be known of the attempts of a request that is traced.
//!
//! Each attempt is a span; the upstream is told its id, so that what the upstream records is part of
//! it. Of requests that are not traced nothing is here: they cost a branch. How spans are called and
//! where they are sent is decided above.

mod context;

use std::sync::Arc;

use berry_loadbalance::{EndpointKey, FailureKind, Mode};
use http::StatusCode;
use http::header::HeaderValue;
use tokio::time::Instant;

pub use context::{Parent, SpanId, TRACEPARENT, TRACESTATE, TraceContext, TraceId};

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Trace {
    context: Arc<TraceContext>,
    attempts: Vec<TracedAttempt>,
}

/// One attempt.
#[derive(Debug, Clone)]
pub struct TracedAttempt {
    /// Its span.
    pub span: SpanId,
    /// The endpoint that was asked.
    pub endpoint: EndpointKey,
    /// Whether the answer was to come in pieces.
    pub mode: Mode,
    /// When it was begun.
    pub began: Instant,
    /// When it failed. The one that answered ends with its answer, of which nothing is known here.
    pub failed: Option<(Instant, FailureKind)>,
    /// What the upstream said, as far as it said anything.
    pub status: Option<StatusCode>,
}

impl Trace {
    /// Begins without attempts.
    pub(crate) fn new(context: Arc<TraceContext>) -> Self {
        Self {
            context,
            attempts: Vec::new(),
        }
    }

    /// Returns the place of the request.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Returns the attempts in their order.
    pub fn attempts(&self) -> &[TracedAttempt] {
        &self.attempts
    }

    /// Begins an attempt; returns what the upstream is told of it.
    pub(crate) fn begin(
        &mut self,
        endpoint: &EndpointKey,
        mode: Mode,
        mut rng: fastrand::Rng,
    ) -> HeaderValue {
        let span = SpanId::draw(&mut rng);
        self.attempts.push(TracedAttempt {
            span,
            endpoint: endpoint.clone(),
            mode,
            began: Instant::now(),
            failed: None,
            status: None,
        });
        self.context.traceparent(span)
    }

    /// Notes that the last attempt was answered.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.status = Some(status);
        }
    }

    /// Notes that the last attempt failed.
    pub(crate) fn failed(&mut self, kind: FailureKind, status: Option<StatusCode>) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.failed = Some((Instant::now(), kind));
            attempt.status = status;
        }
    }
}
