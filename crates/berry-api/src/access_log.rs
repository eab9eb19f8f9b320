//! The one line per request, written when its answer has ended; it is counted by then too.

use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use berry_relay::{Answer, Operation, Receipt, Spent, Usage};
use http::{Method, StatusCode};
use jiff::Timestamp;
use tracing::{error, info};

use crate::arrival::RequestId;
use crate::audit::{Action, Event};
use crate::body_log::AnswerBody;
use crate::caller::{Permit, Refused};
use crate::gateway::Gateway;
use crate::ledger::{Row, nanodollars};
use crate::telemetry::label::CLIENT_LEFT;
use crate::telemetry::stopwatch::Times;
use crate::telemetry::visit::Visit;

/// Writes the line of a request that no endpoint was asked for; who sent it, where that is a user who
/// was refused.
pub(crate) fn finished(
    id: &RequestId,
    (method, path): (&Method, &str),
    refused: Option<&Refused>,
    status: u16,
    latency: Duration,
) {
    macro_rules! line {
        ($level:ident) => {
            $level!(
                target: "berry_api::loadbalance",
                request_id = id.as_str(),
                %method,
                path,
                user_id = refused.map(|refused| refused.user.as_str()),
                model = refused.and_then(|refused| Some(refused.model.as_ref()?.as_str())),
                status,
                client_left = (status == CLIENT_LEFT).then_some(true),
                latency_ms = milliseconds(latency),
                "Request finished"
            )
        };
    }
    if status >= 500 {
        line!(error);
    } else {
        line!(info);
    }
}

/// What is known of a relayed request. Its line is written when this is dropped, which is when the
/// last byte has been sent or the client has left.
#[derive(Debug)]
pub(crate) struct AccessRecord {
    pub(crate) gateway: Arc<Gateway>,
    /// Where the client is, where auditors want to know.
    pub(crate) address: Option<IpAddr>,
    /// The method and the path, likewise.
    pub(crate) asked: Option<Box<str>>,
    pub(crate) operation: Operation,
    /// The request says which provider to use.
    pub(crate) names_backend: bool,
    pub(crate) request_id: RequestId,
    pub(crate) user_id: Box<str>,
    pub(crate) model: Box<str>,
    pub(crate) strategy: &'static str,
    pub(crate) visit: Visit,
    pub(crate) first_byte: Option<Duration>,
    /// None while nothing has been decided: the client left.
    pub(crate) status: Option<StatusCode>,
    /// Berry's own error, not the upstream's answer.
    pub(crate) own_error: bool,
    /// The answer went out to its end.
    pub(crate) ended: bool,
    /// What the whole answer has used, as the upstream says.
    pub(crate) usage: Option<Usage>,
    /// What was answered, where that is logged.
    pub(crate) answer: Option<AnswerBody>,
    pub(crate) progress: Progress,
    /// About how many tokens were read, for where nobody says; none where nothing was asked of a
    /// model.
    pub(crate) expected: Option<u32>,
    pub(crate) receipt: Receipt,
    /// The request's leave, until its answer has come to an end.
    pub(crate) permit: Option<Permit>,
}

/// What came of a request in the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    /// Before its answer had ended.
    pub(crate) client_left: bool,
    pub(crate) times: Times,
    settlement: Settlement,
}

/// How far an answer has come, for where nobody counts it to its end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// About how many tokens have gone out.
    pub(crate) written: u64,
    /// What the upstream had counted when the answer was left, or broke.
    pub(crate) counted: Option<Usage>,
}

impl AccessRecord {
    /// Notes that the first content is here.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.first_byte = Some(self.visit.stopwatch().read().latency);
    }

    /// Notes a piece of the answer.
    pub(crate) fn passes(&mut self, piece: &[u8]) {
        if let Some(answer) = &mut self.answer {
            answer.observe(piece);
        }
    }

    /// Notes how far an answer has come that will not come to its end.
    pub(crate) fn cut(&mut self, answer: &Answer) {
        self.progress = Progress {
            written: answer.written(),
            counted: answer.usage(),
        };
        if answer.is_counted() {
            self.usage = answer.usage();
        }
    }

    /// Notes that the answer is out to its end.
    pub(crate) fn ended(&mut self, usage: Option<Usage>) {
        self.ended = true;
        self.settle(usage);
    }

    /// Notes that the answer has come to its end, although its body may still be open, and what it
    /// cost.
    pub(crate) fn settle(&mut self, usage: Option<Usage>) {
        drop(self.charge(usage));
    }

    /// Notes what the answer has cost. The request has its place as long as what is returned lives.
    pub(crate) fn charge(&mut self, usage: Option<Usage>) -> Option<Permit> {
        self.usage = usage.or(self.usage);
        let mut permit = self.permit.take()?;
        let counted = self.progress.counted.filter(|counted| counted.input() > 0);
        let counted = counted.map(|counted| counted.at_least(self.progress.written));
        let spent = self.spent();
        match self.usage.or(counted) {
            Some(usage) => permit.settle(usage.plus(spent)),
            None => permit.settle_unknown(self.progress.written + spent.input() + spent.output()),
        }
        Some(permit)
    }

    /// Notes that the upstream has refused the request: one was sent, and that cost no tokens. The
    /// request has its place as long as what is returned lives.
    pub(crate) fn refused(&mut self, status: StatusCode) -> Option<Permit> {
        self.answered(status);
        let mut permit = self.permit.take()?;
        permit.settle(self.spent());
        Some(permit)
    }

    /// Notes that nobody answered, and with which error of Berry's own the request ends.
    pub(crate) fn unanswered(&mut self, status: StatusCode) {
        self.failed(status);
        if let Some(permit) = self.permit.take() {
            permit.refund();
        }
    }

    /// Notes that the answer is an error of Berry's own.
    pub(crate) fn failed(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.own_error = true;
    }

    /// Notes for auditors who asked what of whom, and what came of it.
    fn audit(&self, status: u16) {
        let audit = &self.gateway.audit;
        if !audit.is_on() {
            return;
        }
        let resource = format!(
            "{} {} {}",
            self.asked.as_deref().unwrap_or("-"),
            self.model,
            self.receipt.label().unwrap_or("-")
        );
        let event = Event {
            user_id: Some(&self.user_id),
            action: Action::Request,
            resource: &resource,
            result: &status.to_string(),
            ip_address: self.address,
            request_id: Some(self.request_id.as_str()),
        };
        if self.names_backend {
            audit.record(Event {
                action: Action::ChooseBackend,
                ..event
            });
        }
        audit.record(event);
    }

    /// Returns what attempts that failed had counted.
    fn spent(&self) -> Usage {
        let spent = self.receipt.spent.as_ref();
        spent.map(|spent| spent.usage).unwrap_or_default()
    }

    /// Returns what the request has used in the end. What is said of it anywhere comes from here.
    fn settlement(&self, status: u16) -> Settlement {
        if self.usage.is_some() {
            return Settlement {
                usage: self.usage,
                is_estimate: false,
            };
        }
        // Content came, and a client that leaves or an answer that breaks off does not undo that.
        let is_answered = self.first_byte.is_some() && (self.own_error || status < 400);
        let estimate = self.expected.filter(|_| is_answered).map(|input| {
            let counted = self
                .progress
                .counted
                .unwrap_or_default()
                .at_least(self.progress.written);
            match counted.input() {
                0 => Usage {
                    uncached: input.into(),
                    ..counted
                },
                _ => counted,
            }
        });
        // What was counted before any content was paid, too.
        let unseen = self.receipt.counted.filter(|_| self.first_byte.is_none());
        // Who has been asked works on it, although nobody waits any more.
        let is_left = self.status.is_none() && self.receipt.is_asked;
        let left = self.expected.filter(|_| is_left).map(|input| Usage {
            uncached: input.into(),
            ..Usage::default()
        });
        let usage = estimate.or(unseen).or(left);
        Settlement {
            usage,
            is_estimate: usage.is_some(),
        }
    }

    /// Counts the request, which has come to its end.
    fn count(&mut self) -> Outcome {
        if self.status.is_none() {
            if std::thread::panicking() {
                self.failed(StatusCode::INTERNAL_SERVER_ERROR);
            } else if self.gateway.grace.is_over() {
                self.unanswered(StatusCode::SERVICE_UNAVAILABLE);
            }
        }
        // Of an answer that the client left, or that broke off, what has been written is paid.
        self.settle(None);
        let status = self.status.map_or(CLIENT_LEFT, |status| status.as_u16());
        let settlement = self.settlement(status);
        if let Some(usage) = settlement.usage {
            self.receipt.charge(usage);
        }
        Outcome {
            status,
            client_left: !self.ended && !self.gateway.grace.is_over(),
            times: self.visit.relayed(status),
            settlement,
        }
    }

    /// Makes the request's row in the ledger; nothing is read of the record afterwards.
    fn row(&mut self, outcome: Outcome) -> Row {
        let Settlement { usage, is_estimate } = outcome.settlement;
        let row = Row {
            at: Timestamp::now(),
            user: mem::take(&mut self.user_id),
            model: mem::take(&mut self.model),
            endpoint: self.receipt.endpoint.take(),
            status: outcome.status,
            usage: usage.unwrap_or_default(),
            estimated: is_estimate,
            nanodollars: usage.map_or(Some(0), |usage| nanodollars(usage, &self.receipt.prices)),
            first_byte: self.first_byte,
            latency: outcome.times.latency,
            attempts: self.receipt.attempts,
        };
        match &self.receipt.spent {
            Some(spent) => row.with(spent),
            None => row,
        }
    }
}

/// What a request has used of the endpoint that was asked last.
#[derive(Debug, Clone, Copy)]
struct Settlement {
    usage: Option<Usage>,
    /// It is not all the upstream's own count.
    is_estimate: bool,
}

impl Settlement {
    /// Returns the same of all endpoints that were asked. Nobody knows whether what failed attempts had
    /// counted was all.
    fn with(self, spent: &Spent) -> Self {
        Self {
            usage: Some(self.usage.unwrap_or_default().plus(spent.usage)),
            is_estimate: true,
        }
    }
}

impl Drop for AccessRecord {
    fn drop(&mut self) {
        let outcome = self.count();
        let Outcome {
            status,
            client_left,
            times,
            settlement,
        } = outcome;
        let endpoint = self.receipt.endpoint.as_ref();
        let trace = self.receipt.trace.as_ref();
        let trace = trace.map(|trace| trace.context().trace);
        let all = match &self.receipt.spent {
            Some(spent) => settlement.with(spent),
            None => settlement,
        };
        let is_error = self.own_error && status >= 500;
        // It was not for anybody to answer: the ledger has what was used.
        let is_refused = self.receipt.attempts == 0 && self.own_error && status < 500;
        self.audit(status);
        if let Some(answer) = &self.answer {
            answer.log(&self.request_id);
        }
        macro_rules! line {
            ($level:ident, $message:literal) => {
                $level!(
                    target: "berry_api::loadbalance",
                    message = $message,
                    event = endpoint.map(|_| "selected backend"),
                    request_id = self.request_id.as_str(),
                    trace_id = trace.map(tracing::field::display),
                    user_id = &*self.user_id,
                    model = &*self.model,
                    provider = endpoint.map(|key| key.provider.as_str()),
                    backend = self.receipt.label(),
                    strategy = self.strategy,
                    attempts = self.receipt.attempts,
                    failure = self.receipt.failure.map(|kind| kind.as_str()),
                    status,
                    client_left = client_left.then_some(true),
                    first_byte_ms = self.first_byte.map(milliseconds),
                    latency_ms = milliseconds(times.latency),
                    overhead_ms = milliseconds(times.overhead),
                    tokens_in = all.usage.map(|usage| usage.input()),
                    tokens_out = all.usage.map(|usage| usage.output()),
                    estimated = all.is_estimate.then_some(true),
                )
            };
        }
        match (endpoint.is_some(), is_error) {
            (true, false) => line!(info, "Backend selected"),
            (true, true) => line!(error, "Backend selected"),
            (false, false) => line!(info, "Request finished"),
            (false, true) => line!(error, "Request finished"),
        }
        self.gateway.tracer.relayed(self, outcome);
        if self.gateway.ledger.is_kept() && !is_refused {
            let row = self.row(outcome);
            self.gateway.ledger.put(row);
        }
    }
}

/// Milliseconds to the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    // Its own way to a float would go over 128 bits.
    let micros = duration.as_secs() * 1_000_000 + u64::from(duration.subsec_micros());
    micros as f64 / 1000.0
}
