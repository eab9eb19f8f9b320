//! What becomes known of a request while it is relayed.

use std::borrow::Cow;
use std::ops::Add;
use std::sync::Arc;

use berry_core::config::Prices;
use berry_loadbalance::{EndpointKey, EndpointState, FailureKind, Lease, Tokens};
use http::StatusCode;
use tracing::debug;

use crate::classify::Failure;
use crate::tap::Usage;
use crate::trace::{Trace, TraceContext};

/// What the access line and its like are made of, whatever the request comes to.
#[derive(Debug, Clone, Default)]
pub struct Receipt {
    /// The endpoint that was asked last.
    pub endpoint: Option<EndpointKey>,
    /// Its state, where what the request cost is counted.
    pub state: Option<Arc<EndpointState>>,
    /// How many attempts were begun.
    pub attempts: u32,
    /// The last of them has not failed.
    pub is_asked: bool,
    /// The kind of the last failure.
    pub failure: Option<FailureKind>,
    /// What it was, for operators: it may name hosts.
    pub cause: Option<Cow<'static, str>>,
    /// What that endpoint charges.
    pub prices: Prices,
    /// What it had counted of an answer that never had content, when that failed or the client left.
    pub counted: Option<Usage>,
    /// What the attempts before that had counted, where they had.
    pub spent: Option<Box<Spent>>,
    /// The attempts as spans, where the request is traced.
    pub trace: Option<Box<Trace>>,
}

/// What failed attempts had counted: it is paid although nobody has got anything for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// All their tokens.
    pub usage: Usage,
    /// What they cost where they were counted, as far as prices are known.
    pub dollars: Option<f64>,
}

impl Receipt {
    /// Begins the receipt of a request with this place in a trace, if it is traced.
    pub fn traced(context: Option<Arc<TraceContext>>) -> Self {
        Self {
            trace: context.map(|context| Box::new(Trace::new(context))),
            ..Self::default()
        }
    }

    /// Returns what that endpoint is called in logs.
    pub fn label(&self) -> Option<&str> {
        Some(self.state.as_ref()?.label())
    }

    /// Counts what the request cost in the end.
    pub fn charge(&self, usage: Usage) {
        if let Some(state) = &self.state {
            state.meter().charge(usage.into(), &self.prices);
        }
    }

    /// Notes that an attempt is begun.
    pub(crate) fn asks(&mut self, lease: &Lease, attempts: u32) {
        self.spend();
        self.attempts = attempts;
        self.is_asked = true;
        self.endpoint = Some(lease.endpoint().key().clone());
        self.state = Some(Arc::clone(&lease.endpoint().state));
        self.prices = lease.endpoint().prices;
    }

    /// Counts what the attempt that has failed had counted, before another takes its place.
    fn spend(&mut self) {
        let Some(usage) = self.counted.take() else {
            return;
        };
        self.charge(usage);
        let spent = self.spent.get_or_insert_default();
        spent.usage = spent.usage.plus(usage);
        let dollars = Tokens::from(usage).cost(&self.prices);
        spent.dollars = spent.dollars.into_iter().chain(dollars).reduce(f64::add);
    }

    /// Notes that the attempt was answered.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        if let Some(trace) = &mut self.trace {
            trace.answered(status);
        }
    }

    /// Notes that the attempt failed; the debug log says why.
    pub(crate) fn failed(&mut self, lease: &Lease, failure: &Failure) {
        self.is_asked = false;
        self.failure = Some(failure.fault.kind);
        self.cause = Some(failure.cause.clone());
        if let Some(trace) = &mut self.trace {
            trace.failed(failure.fault.kind, failure.status);
        }
        debug!(
            endpoint = %lease.endpoint().key(),
            kind = %failure.fault.kind,
            cause = %failure.cause,
            status = failure.status.map(|status| status.as_u16()),
            "attempt failed"
        );
    }
}
