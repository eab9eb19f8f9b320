//! Traces: a span for each request and one for each of its attempts, sent to a collector by OTLP over
//! HTTP.
//!
//! Whether a request is traced is decided when it arrives: a client's own decision holds, and of the
//! others a share is traced. From then on a request carries its context, or none. Its spans are made
//! when it has ended, as bytes; one task sends them in batches. Where no collector is configured a
//! request costs one branch.
//!
//! A batch that a collector does not take for now is kept and tried again, and spans beyond a bound
//! are lost and counted: no request ever waits. Pages of the gateway's own, which something asks for
//! every few seconds, are not traced.

mod names;
mod protobuf;
mod span;
mod target;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use berry_core::config::Telemetry;
use berry_relay::trace::{Parent, TraceContext};
use berry_relay::{Chance, UpstreamError};
use bytes::Bytes;
use http::HeaderMap;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::loss::Loss;
use super::visit::Visit;
use crate::access_log::{AccessRecord, Outcome};
use crate::arrival::RequestId;
use span::Seen;
use target::Sent;
pub(crate) use target::Target;
use waiting::{Batch, Waiting};

/// How long a span waits for others.
const GATHERING: Duration = Duration::from_secs(1);
/// How long after a failure a batch is tried again; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// About what the spans of a request take.
const USUAL: usize = 1_024;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Tracer {
    is_on: AtomicBool,
    target: ArcSwapOption<Target>,
    chance: Chance,
    waiting: Waiting,
}

impl Tracer {
    /// Begins as configured; `seed` determines all ids.
    ///
    /// # Errors
    /// The collector cannot be reached from here.
    pub(crate) fn new(telemetry: &Telemetry, seed: u64) -> Result<Self, UpstreamError> {
        let tracer = Self {
            is_on: AtomicBool::new(false),
            target: ArcSwapOption::empty(),
            chance: Chance::new(seed),
            waiting: Waiting::default(),
        };
        tracer.follow(tracer.prepare(telemetry)?);
        Ok(tracer)
    }

    /// Makes what a configuration says of traces, to be followed later.
    ///
    /// # Errors
    /// The collector cannot be reached from here.
    pub(crate) fn prepare(
        &self,
        telemetry: &Telemetry,
    ) -> Result<Option<Arc<Target>>, UpstreamError> {
        let before = self.target.load();
        Ok(Target::of(telemetry, before.as_deref())?.map(Arc::new))
    }

    /// Sends spans there from now on, or nowhere.
    pub(crate) fn follow(&self, target: Option<Arc<Target>>) {
        self.is_on.store(target.is_some(), Ordering::Relaxed);
        self.target.store(target);
    }

    /// Returns what is lost of spans.
    pub(crate) fn loss(&self) -> &Loss {
        &self.waiting.loss
    }

    /// Returns the place of a request in its trace, if it is traced.
    pub(crate) fn begin(&self, headers: &HeaderMap, visit: &Visit) -> Option<Arc<TraceContext>> {
        if !self.is_on.load(Ordering::Relaxed) || !is_traced(visit.labels().path) {
            return None;
        }
        let share = self.target.load().as_ref()?.share;
        let parent = Parent::of(headers);
        if parent.as_ref().is_some_and(|parent| !parent.is_sampled()) {
            return None;
        }
        let is_root = parent.is_none();
        let context = TraceContext::begin(parent, &mut self.chance.fork());
        let is_sampled = !is_root || context.trace.chance() < share;
        is_sampled.then(|| Arc::new(context))
    }

    /// Takes the span of a request that was not relayed.
    pub(crate) fn answered(
        &self,
        context: &TraceContext,
        visit: &Visit,
        status: u16,
        id: &RequestId,
    ) {
        let seen = Seen {
            context,
            labels: visit.labels(),
            status,
            id,
        };
        let mut spans = Vec::with_capacity(USUAL);
        seen.write(&mut spans, Instant::now(), |_| ());
        self.waiting.put(&spans, 1);
    }

    /// Takes the spans of a request that has ended like this, if it is traced.
    pub(crate) fn relayed(&self, record: &AccessRecord, outcome: Outcome) {
        let Some(trace) = &record.receipt.trace else {
            return;
        };
        let seen = Seen {
            context: trace.context(),
            labels: record.visit.labels(),
            status: outcome.status,
            id: &record.request_id,
        };
        let mut spans = Vec::with_capacity(USUAL);
        let count = span::write_relayed(&mut spans, record, outcome, trace.attempts(), &seen);
        self.waiting.put(&spans, count);
    }

    /// Sends spans until `ending`, and then what is left.
    pub(crate) async fn export(&self, ending: CancellationToken) {
        let mut unsent = None;
        let mut pause = FIRST_PAUSE;
        while !ending.is_cancelled() {
            let batch = match unsent.take() {
                Some(batch) => batch,
                None => match ending.run_until_cancelled(self.gather()).await {
                    Some(batch) => batch,
                    None => break,
                },
            };
            unsent = match self.send(batch).await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                Err(Unsent { batch, wait }) => {
                    let wait = wait.unwrap_or(pause).min(LONGEST_PAUSE);
                    ending.run_until_cancelled(sleep(wait)).await;
                    Some(batch)
                }
            };
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        for batch in unsent.into_iter().chain([self.waiting.take()]) {
            if batch.count > 0 {
                // Nobody is there any more who could try again.
                let _ = self.send(batch).await;
            }
        }
    }

    /// Returns how many spans were not sent.
    pub(crate) fn unsent(&self) -> u64 {
        self.waiting.unsent()
    }

    async fn gather(&self) -> Batch<Bytes> {
        self.waiting.something().await;
        // In time or not: it is sent.
        let _ = timeout(GATHERING, self.waiting.much()).await;
        self.waiting.take()
    }

    /// Sends a batch, or gives it back where that is worth another try.
    async fn send(&self, batch: Batch<Bytes>) -> Result<(), Unsent> {
        let loss = &self.waiting.loss;
        let Some(target) = self.target.load_full() else {
            // Nobody wants it any more.
            self.waiting.done(batch.count);
            return Ok(());
        };
        match target.send(batch.spans.clone()).await {
            Sent::Taken { rejected: 0 } => loss.works(),
            Sent::Taken { rejected } => loss.lose(rejected, "the collector took only a part"),
            Sent::Refused(cause) => loss.lose(batch.count, cause),
            Sent::Later(cause, wait) => {
                loss.lose(0, cause);
                return Err(Unsent { batch, wait });
            }
        }
        self.waiting.done(batch.count);
        Ok(())
    }
}

/// A batch that may be sent later.
struct Unsent {
    batch: Batch<Bytes>,
    wait: Option<Duration>,
}

/// Returns whether requests of a route are traced: those that take a credential.
fn is_traced(route: &str) -> bool {
    let traced = ["/v1/", "/models", "/admin/"];
    traced.iter().any(|begin| route.starts_with(begin)) && route != "/v1/health"
}
