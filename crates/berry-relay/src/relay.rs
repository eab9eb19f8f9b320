//! The loop: pick, attempt, and after a failure pick again.

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
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::answer::Answer;
use crate::chance::Chance;
use crate::classify::{Failure, Judgement, judge};
use crate::error::{Failed, RelayError};
use crate::exchange::Exchange;
use crate::json;
use crate::snapshot::Route;
use crate::tap::Usage;
use crate::upstream::UpstreamBody;

/// The most that is read of an answer that is no success: some quote the whole request.
const ERROR_BODY: usize = 1024 * 1024;
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
    /// The upstream's refusal of what the client sent; none where it is not a JSON object.
    Refusal(Option<Bytes>),
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
        let begun = Attempts::begin(&route.pool, filter, self.clock, self.chance.fork());
        let (mut attempts, mut lease) = begun.map_err(|error| self.refused(error))?;
        let deadline = route
            .waits
            .deadline
            .map(|deadline| Instant::now() + deadline);
        let mut failures = SmallVec::new();
        loop {
            receipt.attempts = attempts.count();
            receipt.endpoint = Some(lease.endpoint().key().clone());
            let asked = until(deadline, attempt(route, &lease, exchange)).await;
            let failure = match asked {
                Some(Ok(answered)) => return Ok(answered.reply(lease)),
                Some(Err(failure)) => failure,
                None => {
                    let waited = lease.elapsed();
                    // An attempt that got only the rest of the time proves nothing.
                    let fair = route
                        .waits
                        .deadline
                        .is_some_and(|deadline| waited >= deadline / 2);
                    let cause = "no answer within the request's deadline";
                    let failure = Failure {
                        ours: !fair,
                        ..Failure::new(FailureKind::Timeout, cause)
                    };
                    note(receipt, &lease, &failure);
                    record(lease, &failure);
                    return Err(RelayError::Deadline);
                }
            };
            note(receipt, &lease, &failure);
            failures.push(Failed {
                kind: failure.fault.kind,
                retry_after: failure.retry_after,
            });
            let index = lease.index();
            record(lease, &failure);
            let next = match attempts.after(index, failure.fault) {
                Next::Now(lease) => Some(lease),
                Next::After(repeat) => {
                    if until(deadline, tokio::time::sleep(repeat.wait))
                        .await
                        .is_none()
                    {
                        return Err(RelayError::Deadline);
                    }
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

/// Waits, but not beyond the deadline.
async fn until<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

/// Notes a failed attempt for the request's line and the debug log.
fn note(receipt: &mut Receipt, lease: &Lease, failure: &Failure) {
    receipt.failure = Some(failure.fault.kind);
    debug!(
        endpoint = %lease.endpoint().key(),
        kind = %failure.fault.kind,
        cause = %failure.cause,
        status = failure.status.map(|status| status.as_u16()),
        "attempt failed"
    );
}

/// Ends a failed attempt's use of its endpoint.
fn record(lease: Lease, failure: &Failure) {
    if failure.ours {
        drop(lease);
    } else {
        lease.finish(Outcome::Failure(failure.fault));
    }
}

/// An upstream's answer that the client may have.
struct Answered {
    head: Parts,
    body: AnsweredBody,
}

enum AnsweredBody {
    /// What was asked for.
    Answer(Box<Answer>),
    /// The client's request is at fault.
    Refusal(Option<Bytes>),
}

impl Answered {
    /// Makes the reply; from here the lease is the answer's.
    fn reply(self, lease: Lease) -> Reply {
        let Parts {
            status, headers, ..
        } = self.head;
        match self.body {
            AnsweredBody::Answer(mut answer) => {
                answer.take_over(lease);
                let usage = answer.usage();
                let body = match answer.complete() {
                    Some(body) => ReplyBody::Complete(body),
                    None => ReplyBody::Coming(answer),
                };
                Reply {
                    status,
                    headers,
                    usage,
                    body,
                }
            }
            AnsweredBody::Refusal(body) => {
                lease.finish(Outcome::ClientFault);
                Reply {
                    status,
                    headers,
                    usage: None,
                    body: ReplyBody::Refusal(body),
                }
            }
        }
    }
}

/// One attempt: sends the request and reads the answer until the client may have it.
async fn attempt(route: &Route, lease: &Lease, exchange: &Exchange) -> Result<Answered, Failure> {
    let upstream = &route.upstreams[lease.index()];
    let response = upstream
        .send(exchange, &lease.endpoint().key().model)
        .await?;
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let body = refusal(&head, body).await?;
        return Ok(Answered {
            head,
            body: AnsweredBody::Refusal(body),
        });
    }
    let stream = exchange.envelope.stream();
    if let Some(cause) = wrong_kind(&head.headers, stream) {
        return Err(Failure::new(FailureKind::Protocol, cause));
    }
    let waits = &route.waits;
    let (mut answer, limit) = if stream {
        (Answer::events(body, waits.idle), waits.first_token)
    } else {
        (Answer::whole(body, waits.idle), None)
    };
    answer.read_content(limit).await?;
    Ok(Answered {
        head,
        body: AnsweredBody::Answer(Box::new(answer)),
    })
}

/// Reads an answer that is no success and judges whose fault it is. The body of one that is the
/// client's comes back where it is a JSON object.
pub(crate) async fn refusal(head: &Parts, body: UpstreamBody) -> Result<Option<Bytes>, Failure> {
    let body = timeout(ERROR_BODY_WAIT, Limited::new(body, ERROR_BODY).collect()).await;
    // An error whose body does not come is judged by its status.
    let body = body
        .ok()
        .and_then(Result::ok)
        .map(Collected::to_bytes)
        .unwrap_or_default();
    match judge(head.status, &head.headers, &body, Timestamp::now()) {
        Judgement::Failed(failure) => Err(failure),
        Judgement::ClientFault => Ok(Some(body).filter(|body| json::members(body, |_| ()).is_ok())),
    }
}

/// Says what is wrong with a successful answer's headers, if anything is.
pub(crate) fn wrong_kind(headers: &HeaderMap, stream: bool) -> Option<&'static str> {
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
