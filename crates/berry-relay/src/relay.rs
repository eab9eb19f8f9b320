//! The loop: pick, attempt, and after a failure pick again.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use berry_core::on_heap;
use berry_loadbalance::{Attempts, Clock, FailureKind, Filter, Lease, Next, Outcome, PickError};
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Collected, Limited};
use jiff::Timestamp;
use smallvec::SmallVec;
use tokio::time::{Instant, timeout};

use crate::adapter::translate::Untranslatable;
use crate::answer::Answer;
use crate::chance::Chance;
use crate::classify::{Failure, Judgement, judge, may_excuse};
use crate::error::{Failed, RelayError};
use crate::exchange::{Exchange, Operation};
use crate::expected::{Expected, Form};
use crate::patience::Patience;
use crate::pins::{Pin, Pinning, Pins};
use crate::receipt::Receipt;
use crate::snapshot::Route;
use crate::source::Source;
use crate::tap::Usage;
use crate::until::until;
use crate::upstream::{Place, Prepared, Purpose, Scrub, Unsayable, UpstreamBody};
use crate::waits::until_said;

/// The most that is read of an answer that is no success: some quote the whole request.
const ERROR_BODY: usize = 1024 * 1024;
/// The body of an answer that may be the client's fault may take this long after its head: it says whose
/// it is, and the client gets it.
pub(crate) const REFUSAL_WAIT: Duration = Duration::from_secs(5);
/// The same where it only says more of a failure: what is to come next waits for it.
pub(crate) const FAILURE_WAIT: Duration = Duration::from_millis(250);

/// How long a request waits for a place at a provider, where it may go elsewhere. Other places are
/// chosen for a reason (price, priority), so a moment is worth it; more is not.
pub(crate) const QUEUE_OR_MOVE: Duration = Duration::from_millis(100);
/// The same where the only other answer is an error.
pub(crate) const QUEUE_OR_FAIL: Duration = Duration::from_secs(2);

/// An answer for the client.
#[derive(Debug)]
pub struct Reply {
    /// The upstream's status.
    pub status: StatusCode,
    /// The upstream's headers, all of them: which go on is decided above.
    pub headers: HeaderMap,
    /// Removes from them what is not for clients.
    pub scrub: Arc<Scrub>,
    /// The tokens it cost, where the answer is complete and says so.
    pub usage: Option<Usage>,
    /// About how many tokens were written, where it is complete.
    pub written: u64,
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

/// See the module's documentation.
#[derive(Debug)]
pub struct Relay {
    clock: Clock,
    chance: Chance,
    pins: Arc<Pins>,
}

impl Relay {
    /// Makes a relay; `seed` determines all its choices.
    pub fn new(clock: Clock, seed: u64) -> Self {
        Self {
            clock,
            chance: Chance::new(seed),
            pins: Arc::default(),
        }
    }

    /// Returns who made a stored response, where that is known.
    pub fn pin(&self, response: &str) -> Option<Pin> {
        self.pins.get(response)
    }

    /// Relays one request: attempts until an endpoint answers with content, or none is left.
    ///
    /// # Errors
    /// No endpoint may be asked, or all attempts failed.
    pub async fn run(
        &self,
        route: &Route,
        mut filter: Filter,
        exchange: &Exchange,
        receipt: &mut Receipt,
    ) -> Result<Reply, RelayError> {
        filter.needs = filter.needs.and(exchange.operation.ability());
        self.follow_previous(route, &mut filter, exchange)?;
        let pinned = filter.account.is_some();
        let user = Arc::clone(&filter.user);
        let asked = self.attempt_all(route, filter, exchange, receipt).await;
        let (answered, lease) = match asked {
            Err(error) if pinned && error.is_outage() => return Err(RelayError::PinnedDown),
            asked => asked?,
        };
        let pinning = (exchange.operation == Operation::Responses).then(|| Pinning {
            pins: Arc::clone(&self.pins),
            pin: Pin {
                model: route.model.name.clone(),
                user: user.id.clone(),
                account: lease.endpoint().key().account(),
            },
        });
        let scrub = Arc::clone(route.upstreams[lease.index()].scrub());
        Ok(answered.reply(lease, scrub, pinning))
    }

    /// Binds a request that continues a response to the account that made it.
    fn follow_previous(
        &self,
        route: &Route,
        filter: &mut Filter,
        exchange: &Exchange,
    ) -> Result<(), RelayError> {
        if exchange.operation != Operation::Responses {
            return Ok(());
        }
        let previous = exchange
            .envelope()
            .and_then(|envelope| envelope.previous_response());
        let Some(pin) = previous.and_then(|id| self.pins.get(id)) else {
            return Ok(());
        };
        if pin.user != filter.user.id {
            return Err(RelayError::PreviousNotFound);
        }
        // Where the model has no such account its own provider says so.
        let mut endpoints = route.pool.endpoints().iter();
        if endpoints.any(|endpoint| endpoint.key().is_of(&pin.account)) {
            filter.account = Some(pin.account);
        }
        Ok(())
    }

    async fn attempt_all(
        &self,
        route: &Route,
        filter: Filter,
        exchange: &Exchange,
        receipt: &mut Receipt,
    ) -> Result<(Answered, Lease), RelayError> {
        let metered = route.metered || filter.user.rate_limit.tokens_per_minute.is_some();
        let begun = Attempts::begin(&route.pool, filter, self.clock, self.chance.fork());
        let (mut attempts, mut lease) = begun.map_err(|error| self.refused(error))?;
        let deadline = route
            .waits
            .deadline
            .map(|deadline| Instant::now() + deadline);
        let expected = Expected::of(exchange);
        let mut failures = SmallVec::new();
        loop {
            let mut prepared = match self.prepare(route, &lease, exchange, metered) {
                Ok(prepared) => prepared,
                Err(unsayable) => {
                    let needs = route.upstreams[lease.index()].another_protocol();
                    lease = match attempts.decline(lease, needs) {
                        Ok(lease) => lease,
                        Err(_) if !failures.is_empty() => {
                            return Err(exhausted(failures, &attempts));
                        }
                        Err(error @ PickError::Ejected { .. }) => return Err(self.refused(error)),
                        Err(_) => return Err(unsayable.into()),
                    };
                    continue;
                }
            };
            let place = match route.upstreams[lease.index()].try_enter() {
                Some(place) => Some(place),
                None => until(deadline, queue(route, &mut lease, &attempts))
                    .await
                    .ok_or(RelayError::Deadline)?,
            };
            let Some(place) = place else {
                lease = match attempts.pass_by(lease) {
                    Some(lease) => lease,
                    None if !failures.is_empty() => return Err(exhausted(failures, &attempts)),
                    None => return Err(RelayError::Busy),
                };
                continue;
            };
            receipt.asks(&lease, attempts.count());
            self.name_attempt(route, &lease, &mut prepared, receipt);
            let asked = {
                // The largest part of a request is not moved.
                let asking = attempt(route, &lease, expected, &mut prepared, place, receipt);
                until(deadline, pin!(asking)).await
            };
            let failure = match asked {
                Some(Ok(answered)) => {
                    receipt.answered(answered.head.status);
                    return Ok((answered, lease));
                }
                Some(Err(failure)) => failure,
                None => return Err(out_of_time(route, lease, receipt)),
            };
            receipt.failed(&lease, &failure);
            failures.push(Failed {
                kind: failure.fault.kind,
                retry_after: failure.retry_after,
            });
            let index = lease.index();
            record(lease, &failure);
            let next = match attempts.after(index, failure.fault, failure.retry_after) {
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
            lease = next.ok_or_else(|| exhausted(failures.clone(), &attempts))?;
        }
    }

    /// Makes the request that the leased endpoint's upstream is to get.
    fn prepare(
        &self,
        route: &Route,
        lease: &Lease,
        exchange: &Exchange,
        metered: bool,
    ) -> Result<Prepared, Unsayable> {
        let purpose = Purpose {
            model: &lease.endpoint().key().model,
            metered,
            chance: &self.chance,
        };
        route.upstreams[lease.index()].prepare(exchange, purpose)
    }

    /// Begins the attempt's span and tells the upstream of it, where the request is traced.
    fn name_attempt(
        &self,
        route: &Route,
        lease: &Lease,
        prepared: &mut Prepared,
        receipt: &mut Receipt,
    ) {
        if let Some(trace) = &mut receipt.trace {
            let key = lease.endpoint().key();
            let traceparent = trace.begin(key, prepared.mode, self.chance.fork());
            route.upstreams[lease.index()].name_attempt(&mut prepared.outgoing, traceparent);
        }
    }

    fn refused(&self, error: PickError) -> RelayError {
        match error {
            PickError::NoMatch => RelayError::NoBackendForUser,
            PickError::NotHere => RelayError::BackendNotFound,
            PickError::Unable => RelayError::Unsupported,
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

impl From<Unsayable> for RelayError {
    fn from(unsayable: Unsayable) -> Self {
        match unsayable {
            Unsayable::Untranslatable(Untranslatable { param, message }) => {
                Self::Untranslatable { param, message }
            }
            Unsayable::NoPlace => Self::Unsupported,
        }
    }
}

/// Returns the end of a request that nobody could answer.
fn exhausted(failures: SmallVec<[Failed; 4]>, attempts: &Attempts) -> RelayError {
    RelayError::Exhausted {
        failures,
        tried_all: attempts.tried_all(),
    }
}

/// Waits for a place at the leased endpoint's provider; none where it is busy for too long.
async fn queue(route: &Route, lease: &mut Lease, attempts: &Attempts) -> Option<Place> {
    let upstream = &route.upstreams[lease.index()];
    let patience = if attempts.may_pass_by(lease) {
        QUEUE_OR_MOVE
    } else {
        QUEUE_OR_FAIL
    };
    let place = upstream.queue(patience).await;
    // The wait was ours: it says nothing of how fast the endpoint is.
    lease.restart();
    place
}

/// Ends an attempt that was cut off by the request's own deadline.
fn out_of_time(route: &Route, lease: Lease, receipt: &mut Receipt) -> RelayError {
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
    receipt.failed(&lease, &failure);
    record(lease, &failure);
    RelayError::Deadline
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
    fn reply(self, lease: Lease, scrub: Arc<Scrub>, pinning: Option<Pinning>) -> Reply {
        let Parts {
            status, headers, ..
        } = self.head;
        match self.body {
            AnsweredBody::Answer(mut answer) => {
                answer.take_over(lease);
                let (usage, written) = (answer.usage(), answer.written());
                if let Some(pinning) = pinning {
                    answer.pin(pinning);
                }
                let (usage, written, body) = match answer.complete() {
                    Some(body) => (usage, written, ReplyBody::Complete(body)),
                    None => (None, 0, ReplyBody::Coming(answer)),
                };
                Reply {
                    status,
                    headers,
                    scrub,
                    usage,
                    written,
                    body,
                }
            }
            AnsweredBody::Refusal(body) => {
                lease.finish(Outcome::ClientFault);
                Reply {
                    status,
                    headers,
                    scrub,
                    usage: None,
                    written: 0,
                    body: ReplyBody::Refusal(body),
                }
            }
        }
    }
}

/// One attempt: sends the request and reads the answer until the client may have it.
async fn attempt(
    route: &Route,
    lease: &Lease,
    expected: Expected,
    prepared: &mut Prepared,
    place: Place,
    receipt: &mut Receipt,
) -> Result<Answered, Failure> {
    let upstream = &route.upstreams[lease.index()];
    let response = upstream
        .send(&prepared.outgoing, prepared.mode, place)
        .await?;
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let body = refusal(&head, body, expected).await?;
        return Ok(Answered {
            head,
            body: AnsweredBody::Refusal(upstream.error_for_client(body)),
        });
    }
    let form = expected.form(head.status, &head.headers);
    let form = form.map_err(|cause| Failure::new(FailureKind::Protocol, cause))?;
    let source = Source::new(body, mem::take(&mut prepared.translation));
    let tap = mem::take(&mut prepared.tap);
    let (waits, scrub) = (&route.waits, upstream.scrub());
    let patience = upstream.patience();
    let (mut answer, limit) = match form {
        Form::Events => {
            let limit = waits.first_token.unwrap_or(patience);
            let dull = until_said(patience, waits.idle);
            let patience = Patience::new(None, waits.idle).with_content_within(dull);
            let answer = on_heap(|| Answer::events(source, tap, scrub, patience));
            (answer, Some(limit))
        }
        Form::Whole => {
            let answer = on_heap(|| Answer::whole(source, tap, scrub, waits.idle));
            (answer, Some(patience))
        }
        Form::Bytes => (on_heap(|| Answer::bytes(source, scrub, waits.idle)), None),
    };
    answer.read_content(limit, &mut receipt.counted).await?;
    Ok(Answered {
        head,
        body: AnsweredBody::Answer(answer),
    })
}

/// Reads an answer that is no success and judges whose fault it is. The body of one that is the
/// client's comes back.
pub(crate) async fn refusal(
    head: &Parts,
    body: UpstreamBody,
    expected: Expected,
) -> Result<Bytes, Failure> {
    let wait = if may_excuse(head.status) || expected.is_stored() {
        REFUSAL_WAIT
    } else {
        FAILURE_WAIT
    };
    let body = timeout(wait, Limited::new(body, ERROR_BODY).collect()).await;
    // An error whose body does not come is judged by its status.
    let body = body
        .ok()
        .and_then(Result::ok)
        .map(Collected::to_bytes)
        .unwrap_or_default();
    match judge(head.status, &head.headers, &body, Timestamp::now()) {
        // What is not stored here is nobody's failure, and stored nowhere else.
        Judgement::Failed(_) if expected.is_stored() && head.status == StatusCode::NOT_FOUND => {
            Ok(body)
        }
        Judgement::Failed(failure) => Err(failure),
        Judgement::ClientFault => Ok(body),
    }
}
