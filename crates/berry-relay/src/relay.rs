//! The loop: pick, attempt, and after a failure pick again.

use std::sync::Arc;
use std::time::Duration;

use berry_loadbalance::{
    Attempts, Clock, EndpointKey, FailureKind, Filter, Lease, Next, Outcome, PickError,
};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Collected, Limited};
use jiff::Timestamp;
use smallvec::SmallVec;
use tokio::time::timeout;
use tracing::debug;

use crate::answer::Answer;
use crate::chance::Chance;
use crate::classify::{Failure, Judgement, judge};
use crate::error::{Failed, RelayError};
use crate::exchange::Exchange;
use crate::snapshot::Route;
use crate::tap::Usage;
use crate::upstream::UpstreamBody;

/// The most that is read of an answer that is no success: enough for any error object.
const ERROR_BODY: usize = 64 * 1024;
/// An error's body may take this long after its head.
const ERROR_BODY_WAIT: Duration = Duration::from_secs(5);

/// An answer for the client.
#[derive(Debug)]
pub struct Reply {
    /// The upstream's status.
    pub status: StatusCode,
    /// The upstream's headers, all of them: which go on is decided above.
    pub headers: HeaderMap,
    /// The tokens it cost, where the answer is complete and says so.
    pub usage: Option<Usage>,
    /// What follows.
    pub body: ReplyBody,
}

/// The body of a [`Reply`].
#[derive(Debug)]
pub enum ReplyBody {
    /// All of it is here.
    Complete(Bytes),
    /// It is still coming.
    Coming(Box<Answer>),
}

/// What became known of a request while it was relayed, for the access line and its like.
#[derive(Debug, Clone, Default)]
pub struct Receipt {
    /// The endpoint that was asked last.
    pub endpoint: Option<EndpointKey>,
    /// How many attempts were begun.
    pub attempts: u32,
    /// The kind of the last failure.
    pub failure: Option<FailureKind>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Relay {
    clock: Clock,
    chance: Chance,
}

/// How an attempt ended without an answer.
struct Setback {
    failure: Failure,
    lease: Lease,
}

impl Relay {
    /// Makes a relay; `seed` determines all its choices.
    pub fn new(clock: Clock, seed: u64) -> Self {
        Self {
            clock,
            chance: Chance::new(seed),
        }
    }

    /// Relays one request: attempts until an endpoint answers with content, or none is left.
    ///
    /// # Errors
    /// No endpoint may be asked, or all attempts failed.
    pub async fn run(
        &self,
        route: &Route,
        filter: Filter,
        exchange: &Exchange,
        receipt: &mut Receipt,
    ) -> Result<Reply, RelayError> {
        let attempts = self.attempt_all(route, filter, exchange, receipt);
        match route.waits.deadline {
            Some(deadline) => timeout(deadline, attempts)
                .await
                .unwrap_or(Err(RelayError::Deadline)),
            None => attempts.await,
        }
    }

    async fn attempt_all(
        &self,
        route: &Route,
        filter: Filter,
        exchange: &Exchange,
        receipt: &mut Receipt,
    ) -> Result<Reply, RelayError> {
        let begun = Attempts::begin(&route.pool, filter, self.clock, self.chance.fork());
        let (mut attempts, mut lease) = begun.map_err(|error| self.refused(error))?;
        let mut failures = SmallVec::new();
        loop {
            receipt.attempts = attempts.count();
            receipt.endpoint = Some(lease.endpoint().key().clone());
            let Setback {
                failure,
                lease: failed,
            } = match attempt(route, lease, exchange).await {
                Ok(reply) => return Ok(reply),
                Err(setback) => *setback,
            };
            receipt.failure = Some(failure.fault.kind);
            debug!(
                endpoint = %failed.endpoint().key(),
                kind = %failure.fault.kind,
                cause = %failure.cause,
                status = failure.status.map(|status| status.as_u16()),
                "attempt failed"
            );
            failures.push(Failed {
                kind: failure.fault.kind,
                retry_after: failure.retry_after,
            });
            let index = failed.index();
            failed.finish(Outcome::Failure(failure.fault));
            let next = match attempts.after(index, failure.fault) {
                Next::Now(lease) => Some(lease),
                Next::After(repeat) => {
                    tokio::time::sleep(repeat.wait).await;
                    attempts.repeat(repeat)
                }
                Next::Stop => None,
            };
            let Some(next) = next else {
                return Err(RelayError::Exhausted {
                    failures,
                    tried_all: attempts.tried_all(),
                });
            };
            lease = next;
        }
    }

    fn refused(&self, error: PickError) -> RelayError {
        match error {
            PickError::NoMatch => RelayError::NoBackendForUser,
            PickError::NotHere => RelayError::BackendNotFound,
            PickError::Ejected { retry_at } => RelayError::Ejected {
                retry_after: retry_at.saturating_since(self.clock.now()),
            },
            // At the first pick nothing has been tried: only a provider without any retries left,
            // of which there is none yet, could leave nothing.
            PickError::Tried => RelayError::Ejected {
                retry_after: Duration::ZERO,
            },
        }
    }
}

/// One attempt: sends the request and reads the answer until the client may have it.
async fn attempt(route: &Route, lease: Lease, exchange: &Exchange) -> Result<Reply, Box<Setback>> {
    let upstream = Arc::clone(&route.upstreams[lease.index()]);
    let model = Arc::clone(&lease.endpoint().key().model);
    let setback = |failure, lease| Err(Box::new(Setback { failure, lease }));
    let (head, body) = match upstream.send(exchange, &model).await {
        Ok(response) => response.into_parts(),
        Err(error) => return setback(error.into(), lease),
    };
    if !head.status.is_success() {
        return refusal(head, body, lease).await;
    }
    if let Some(cause) = wrong_kind(&head.headers, exchange.envelope.stream()) {
        return setback(Failure::new(FailureKind::Protocol, cause), lease);
    }
    let waits = &route.waits;
    let (answer, limit) = if exchange.envelope.stream() {
        (Answer::events(body, lease, waits.idle), waits.first_token)
    } else {
        (Answer::whole(body, lease, waits.idle), None)
    };
    let mut answer = match answer.until_content(limit).await {
        Ok(answer) => answer,
        Err((failure, lease)) => return setback(failure, lease),
    };
    let usage = answer.usage();
    let body = match answer.complete() {
        Some(body) => ReplyBody::Complete(body),
        None => ReplyBody::Coming(Box::new(answer)),
    };
    Ok(Reply {
        status: head.status,
        headers: head.headers,
        usage,
        body,
    })
}

/// Reads an answer that is no success and judges whose fault it is.
async fn refusal(head: Parts, body: UpstreamBody, lease: Lease) -> Result<Reply, Box<Setback>> {
    let body = timeout(ERROR_BODY_WAIT, Limited::new(body, ERROR_BODY).collect()).await;
    // An error whose body does not come is judged by its status.
    let body = body
        .ok()
        .and_then(Result::ok)
        .map(Collected::to_bytes)
        .unwrap_or_default();
    match judge(head.status, &head.headers, &body, Timestamp::now()) {
        Judgement::Failed(failure) => Err(Box::new(Setback { failure, lease })),
        Judgement::ClientFault => {
            lease.finish(Outcome::ClientFault);
            let body = ReplyBody::Complete(body);
            Ok(Reply {
                status: head.status,
                headers: head.headers,
                usage: None,
                body,
            })
        }
    }
}

/// Says what is wrong with a successful answer's headers, if anything is.
fn wrong_kind(headers: &HeaderMap, stream: bool) -> Option<&'static str> {
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return Some("compressed although that was not accepted");
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let is = |text: &str| kind.to_ascii_lowercase().contains(text);
    if is("html") {
        return Some("a web page");
    }
    if stream && is("json") {
        return Some("a whole answer where a stream was asked for");
    }
    (!stream && is("event-stream")).then_some("a stream where a whole answer was asked for")
}
