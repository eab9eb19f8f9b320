//! How requests and attempts become spans.

use berry_loadbalance::Mode;
use berry_relay::trace::{SpanId, TraceContext, TracedAttempt};
use http::{StatusCode, Uri};
use tokio::time::Instant;

use super::names;
use super::protobuf::Message;
use crate::access_log::{AccessRecord, Outcome, milliseconds};
use crate::arrival::RequestId;
use crate::telemetry::traffic::Labels;

/// The field of a scope that holds a span.
const SPANS: u32 = 2;
/// What `Span.flags` says besides W3C's: whether the parent is another process's is known, and is.
const REMOTE_IS_KNOWN: u32 = 1 << 8;
const IS_REMOTE: u32 = 1 << 9;

/// Whose side of an exchange a span is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Server = 2,
    Client = 3,
}

/// What every span has.
struct Span<'a> {
    context: &'a TraceContext,
    id: SpanId,
    parent: Option<SpanId>,
    parent_is_remote: bool,
    kind: Kind,
    name: &'a str,
    began: Instant,
    ended: Instant,
    /// Its kind, where it is one.
    error: Option<&'a str>,
}

/// The attributes of a span, or of what all spans have in common.
pub(super) struct Attributes<'a, 'b> {
    message: &'a mut Message<'b>,
    field: u32,
}

impl<'a, 'b> Attributes<'a, 'b> {
    /// Writes to a field of a message.
    pub(super) fn new(message: &'a mut Message<'b>, field: u32) -> Self {
        Self { message, field }
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.put(name, |any| any.bytes(1, value));
    }

    fn truth(&mut self, name: &str, value: bool) {
        self.put(name, |any| any.varint(2, value.into()));
    }

    fn number(&mut self, name: &str, value: u64) {
        self.put(name, |any| any.varint(3, value));
    }

    fn real(&mut self, name: &str, value: f64) {
        self.put(name, |any| any.fixed64(4, value.to_bits()));
    }

    fn put(&mut self, name: &str, value: impl FnOnce(&mut Message<'_>)) {
        self.message.message(self.field, |attribute| {
            attribute.bytes(1, name);
            attribute.message(2, value);
        });
    }
}

impl Span<'_> {
    fn write(&self, out: &mut Vec<u8>, attributes: impl FnOnce(&mut Attributes<'_, '_>)) {
        Message::new(out).message(SPANS, |span| {
            let context = self.context;
            span.bytes(1, context.trace.bytes());
            span.bytes(2, self.id.bytes());
            if let Some(parent) = &context.parent
                && !parent.state.is_empty()
            {
                span.bytes(3, &*parent.state);
            }
            if let Some(parent) = self.parent {
                span.bytes(4, parent.bytes());
            }
            span.bytes(5, self.name);
            span.varint(6, self.kind as u64);
            span.fixed64(7, context.nanoseconds(self.began));
            span.fixed64(8, context.nanoseconds(self.ended));
            let mut written = Attributes::new(span, 9);
            attributes(&mut written);
            if let Some(error) = self.error {
                written.text(names::ERROR_TYPE, error);
                span.message(15, |status| status.varint(3, 2));
            }
            let remote = if self.parent_is_remote { IS_REMOTE } else { 0 };
            let flags = u32::from(context.flags()) | REMOTE_IS_KNOWN | remote;
            span.fixed32(16, flags);
        });
    }
}

/// What is known of a request as its client sees it.
pub(super) struct Seen<'a> {
    pub(super) context: &'a TraceContext,
    pub(super) labels: Labels,
    pub(super) status: u16,
    pub(super) id: &'a RequestId,
}

impl Seen<'_> {
    /// Writes the span of a request.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        ended: Instant,
        more: impl FnOnce(&mut Attributes<'_, '_>),
    ) {
        let Labels { path, method } = self.labels;
        let parent = self.context.parent.as_ref();
        let status = self.status.to_string();
        let span = Span {
            context: self.context,
            id: self.context.span,
            parent: parent.map(|parent| parent.span),
            parent_is_remote: parent.is_some(),
            kind: Kind::Server,
            name: &format!("{method} {path}"),
            began: self.context.began(),
            ended,
            // What the client gets wrong is no error of the server's.
            error: (self.status >= 500).then_some(&*status),
        };
        span.write(out, |attributes| {
            attributes.text(names::HTTP_METHOD, method);
            attributes.text(names::HTTP_ROUTE, path);
            attributes.number(names::HTTP_STATUS, self.status.into());
            attributes.text(names::BERRY_REQUEST_ID, self.id.as_str());
            more(attributes);
        });
    }
}

/// Writes the span of a relayed request and those of its attempts; returns how many.
pub(super) fn write_relayed(
    out: &mut Vec<u8>,
    record: &AccessRecord,
    outcome: Outcome,
    attempts: &[TracedAttempt],
    seen: &Seen<'_>,
) -> u64 {
    let ended = Instant::now();
    seen.write(out, ended, |attributes| {
        attributes.text(names::USER_ID, &record.user_id);
        attributes.text(names::BERRY_MODEL, &record.model);
        attributes.text(names::BERRY_STRATEGY, record.strategy);
        attributes.number(names::BERRY_ATTEMPTS, record.receipt.attempts.into());
        if let Some(first_byte) = record.first_byte {
            attributes.real(names::BERRY_FIRST_BYTE, milliseconds(first_byte));
        }
        attributes.real(names::BERRY_OVERHEAD, milliseconds(outcome.times.overhead));
        if outcome.client_left {
            attributes.truth(names::BERRY_CLIENT_LEFT, true);
        }
    });
    for (index, attempt) in attempts.iter().enumerate() {
        let is_last = index + 1 == attempts.len();
        let answering = (is_last && attempt.failed.is_none()).then_some(record);
        write_attempt(
            out,
            seen.context,
            record,
            (index, attempt),
            answering,
            ended,
        );
    }
    1 + attempts.len() as u64
}

/// Writes the span of an attempt. The one that is `answering` ends with the answer, and as that does.
fn write_attempt(
    out: &mut Vec<u8>,
    context: &TraceContext,
    record: &AccessRecord,
    (index, attempt): (usize, &TracedAttempt),
    answering: Option<&AccessRecord>,
    ended: Instant,
) {
    let operation = names::operation(record.operation);
    let refusal = attempt.status.filter(|status| !status.is_success());
    let broke = answering.filter(|record| record.own_error);
    let kind = match attempt.failed {
        Some((_, kind)) => Some(kind),
        None => broke.and_then(|record| record.receipt.failure),
    };
    let error = match (kind, &refusal) {
        (Some(kind), _) => Some(kind.as_str()),
        (None, refusal) => refusal.as_ref().map(StatusCode::as_str),
    };
    let span = Span {
        context,
        id: attempt.span,
        parent: Some(context.span),
        parent_is_remote: false,
        kind: Kind::Client,
        name: &format!("{operation} {}", attempt.endpoint.model),
        began: attempt.began,
        ended: attempt.failed.map_or(ended, |(at, _)| at),
        error,
    };
    span.write(out, |attributes| {
        let endpoint = &attempt.endpoint;
        attributes.text(names::OPERATION, operation);
        attributes.text(names::PROVIDER, names::provider(endpoint.protocol));
        attributes.text(names::REQUEST_MODEL, &endpoint.model);
        attributes.truth(names::REQUEST_STREAM, attempt.mode == Mode::Streamed);
        attributes.text(names::BERRY_PROVIDER, endpoint.provider.as_str());
        server(attributes, &endpoint.base_url);
        if index > 0 {
            attributes.number(names::HTTP_RESENDS, index as u64);
        }
        if let Some(status) = attempt.status {
            attributes.number(names::HTTP_STATUS, status.as_u16().into());
        }
        if let Some(usage) = answering.and_then(|record| record.usage) {
            attributes.number(names::INPUT_TOKENS, usage.input());
            attributes.number(names::OUTPUT_TOKENS, usage.output());
            attributes.number(names::CACHE_READ_TOKENS, usage.cache_read);
            attributes.number(names::CACHE_WRITE_TOKENS, usage.cache_write);
            attributes.number(names::REASONING_TOKENS, usage.reasoning);
        }
    });
}

/// Says who is asked.
fn server(attributes: &mut Attributes<'_, '_>, base_url: &str) {
    let Ok(url) = Uri::try_from(base_url) else {
        return;
    };
    if let Some(host) = url.host() {
        attributes.text(names::SERVER_ADDRESS, host.trim_matches(['[', ']']));
    }
    let usual = if url.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let port = url.port_u16().unwrap_or(usual);
    attributes.number(names::SERVER_PORT, port.into());
}
