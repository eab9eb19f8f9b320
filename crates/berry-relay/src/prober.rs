//! Asks upstreams whether they work, over the same connections and by the same table of failures as
//! requests, and with the same headers.
//!
//! A chat is as small as the protocol allows: one token. Newer models refuse `max_tokens`, older
//! servers do not know `max_completion_tokens`, so the second is sent where the first is refused. A
//! refusal of what we sent still shows that the endpoint is there and reads requests: it passes.
//! Where requests ask for another operation, so does the probe: not every model chats. One that nobody
//! has asked yet and that refuses to chat is asked to embed. What paints or speaks is not asked, for
//! that costs. Not every server lists its models, and one that does not has
//! told us nothing.

use std::sync::Arc;
use std::time::Duration;

use berry_loadbalance::{
    EndpointKey, EndpointState, FailureKind, ProbeDepth, ProbeFailure, ProbeOutcome, Prober,
    Verdict,
};
use bytes::Bytes;
use hashbrown::HashMap;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use smallvec::SmallVec;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::chance::Chance;
use crate::classify::Failure;
use crate::envelope::Envelope;
use crate::exchange::{Ask, Dialect, Exchange, Operation};
use crate::expected::Expected;
use crate::relay::refusal;
use crate::snapshot::Snapshot;
use crate::source::{Source, Translation};
use crate::tap::{Grammar, Tap, Unwanted};
use crate::upstream::{Prepared, Purpose, Upstream, UpstreamBody};

/// The members that bound an answer's length, in the order in which they are tried.
const LENGTHS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// See the module's documentation.
#[derive(Debug)]
pub struct UpstreamProber {
    targets: HashMap<EndpointKey, Target>,
    timeout: Duration,
}

/// An endpoint, as far as probes need it.
#[derive(Debug)]
struct Target {
    upstream: Arc<Upstream>,
    state: Arc<EndpointState>,
}

impl UpstreamProber {
    /// Makes a prober for the endpoints of a configuration.
    pub fn new(snapshot: &Snapshot) -> Self {
        let routes = snapshot.routes.iter();
        let pairs = routes.flat_map(|route| route.pool.endpoints().iter().zip(&route.upstreams));
        Self {
            targets: pairs
                .map(|(endpoint, upstream)| {
                    let target = Target {
                        upstream: Arc::clone(upstream),
                        state: Arc::clone(&endpoint.state),
                    };
                    (endpoint.key().clone(), target)
                })
                .collect(),
            timeout: snapshot.config.settings.health_check_timeout,
        }
    }

    async fn list_models(&self, upstream: &Upstream) -> Result<ProbeOutcome, Failure> {
        let response = upstream.list_models(self.timeout).await?;
        let silent = [
            StatusCode::NOT_FOUND,
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::NOT_IMPLEMENTED,
        ];
        if silent.contains(&response.status()) {
            return Ok(ProbeOutcome::Unknown);
        }
        let read = read(
            response,
            Expected::OBJECT,
            Translation::None,
            Tap::new(Grammar::Other, Unwanted::default()),
        );
        Ok(match read.await? {
            Read::Answer => ProbeOutcome::Passed,
            Read::Refusal(_) => ProbeOutcome::Unknown,
        })
    }

    /// Asks for what requests ask for.
    async fn ask(&self, target: &Target, model: &str) -> Result<ProbeOutcome, Failure> {
        let needs = target.state.last_needs();
        let last = Operation::ALL
            .into_iter()
            .find(|operation| needs.include(operation.ability()));
        let asked = self.ask_for(last.unwrap_or(Operation::ChatCompletions), target, model);
        match (asked.await, last) {
            // Before the first request nobody knows what a model is for.
            (Err(failure), None) if is_refusal(&failure) => {
                match self.ask_for(Operation::Embeddings, target, model).await {
                    Ok(ProbeOutcome::Passed) => Ok(ProbeOutcome::Passed),
                    // It may paint or speak, which is not asked.
                    _ if failure.fault.kind == FailureKind::Model && !failure.no_such_model => {
                        Ok(ProbeOutcome::Unknown)
                    }
                    _ => Err(failure),
                }
            }
            (asked, _) => asked,
        }
    }

    async fn ask_for(
        &self,
        operation: Operation,
        target: &Target,
        model: &str,
    ) -> Result<ProbeOutcome, Failure> {
        let Some(bodies) = question(operation, model) else {
            return Ok(ProbeOutcome::Unknown);
        };
        for (body, length) in bodies {
            let Some((expected, prepared)) = target.prepare(operation, &body, model) else {
                return Ok(ProbeOutcome::Unknown);
            };
            let Prepared {
                outgoing,
                translation,
                tap,
                ..
            } = prepared;
            let response = target.upstream.probe(&outgoing, self.timeout).await?;
            match read(response, expected, translation, tap).await? {
                Read::Refusal(body) if length.is_some_and(|length| names(&body, length)) => {}
                Read::Answer | Read::Refusal(_) => break,
            }
        }
        Ok(ProbeOutcome::Passed)
    }
}

impl Target {
    fn prepare(
        &self,
        operation: Operation,
        body: &Value,
        model: &str,
    ) -> Option<(Expected, Prepared)> {
        let exchange = Exchange {
            dialect: Dialect::OpenAi,
            operation,
            ask: Ask::Model(Envelope::parse(body.to_string().into()).ok()?),
            headers: Arc::default(),
        };
        let purpose = Purpose {
            model,
            metered: false,
            chance: &Chance::new(0),
        };
        let prepared = self.upstream.prepare(&exchange, purpose).ok()?;
        Some((Expected::of(&exchange), prepared))
    }
}

/// Bodies to be tried, each with the member whose refusal makes the next one worth a try.
type Bodies = SmallVec<[(Value, Option<&'static str>); 2]>;

/// Returns the smallest requests for an operation; none where it is not cheap.
fn question(operation: Operation, model: &str) -> Option<Bodies> {
    let one = |body: Value| SmallVec::from_iter([(body, None)]);
    Some(match operation {
        Operation::ChatCompletions => LENGTHS
            .iter()
            .map(|&length| {
                let message = json!({ "role": "user", "content": "hi" });
                let body = json!({ "model": model, "messages": [message], length: 1 });
                (body, Some(length))
            })
            .collect(),
        Operation::Completions => one(json!({ "model": model, "prompt": "hi", "max_tokens": 1 })),
        // Fewer tokens are refused.
        Operation::Responses => {
            one(json!({ "model": model, "input": "hi", "max_output_tokens": 16, "store": false }))
        }
        Operation::Embeddings | Operation::Moderations => {
            one(json!({ "model": model, "input": "hi" }))
        }
        Operation::Rerank => {
            one(json!({ "model": model, "query": "hi", "documents": ["hi"], "top_n": 1 }))
        }
        Operation::ImageGenerations
        | Operation::ImageEdits
        | Operation::Speech
        | Operation::Transcriptions
        | Operation::Translations => return None,
    })
}

impl Prober for UpstreamProber {
    async fn probe(&self, endpoint: &EndpointKey, depth: ProbeDepth) -> ProbeOutcome {
        let Some(target) = self.targets.get(endpoint) else {
            return ProbeOutcome::Unknown;
        };
        let asked = timeout(self.timeout, async {
            match depth {
                ProbeDepth::Models => self.list_models(&target.upstream).await,
                ProbeDepth::Chat => self.ask(target, &endpoint.model).await,
            }
        });
        let asked = asked.await.unwrap_or_else(|_| {
            let cause = format!("no answer within {:?}", self.timeout);
            Err(Failure::new(FailureKind::Timeout, cause))
        });
        match asked {
            Ok(outcome) => outcome,
            Err(failure) if failure.ours => ProbeOutcome::Unknown,
            Err(failure) => ProbeOutcome::Failed(ProbeFailure {
                kind: failure.fault.kind,
                cause: failure.cause,
            }),
        }
    }
}

/// Returns whether a failed chat may mean that the model does not chat.
fn is_refusal(failure: &Failure) -> bool {
    failure.fault.kind == FailureKind::Model || failure.fault.verdict == Verdict::OpenIfRepeated
}

/// An answer that is nobody's failure but perhaps ours.
enum Read {
    /// What was asked for.
    Answer,
    /// What was sent is refused, in these words.
    Refusal(Bytes),
}

/// Reads an answer to its end and judges it as a request's would be.
async fn read(
    response: Response<UpstreamBody>,
    expected: Expected,
    translation: Translation,
    tap: Tap,
) -> Result<Read, Failure> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return refusal(&head, body, expected).await.map(Read::Refusal);
    }
    let form = expected.form(head.status, &head.headers);
    form.map_err(|cause| Failure::new(FailureKind::Protocol, cause))?;
    let source = Source::new(body, translation);
    // Nobody is shown what it says.
    let scrub = Arc::default();
    let mut answer = Answer::whole(source, tap, &scrub, None);
    answer.read_content(None, &mut None).await?;
    Ok(Read::Answer)
}

/// Returns whether an error speaks of this member.
fn names(body: &[u8], member: &str) -> bool {
    memchr::memmem::find(body, member.as_bytes()).is_some()
}
