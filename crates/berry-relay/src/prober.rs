//! Asks upstreams whether they work, over the same connections and by the same table of failures as
//! requests, and with the same headers.
//!
//! A chat is as small as the protocol allows: one token. Newer models refuse `max_tokens`, older
//! servers do not know `max_completion_tokens`, so the second is sent where the first is refused. A
//! refusal of what we sent still shows that the endpoint is there and reads requests: it passes.
//! Not every server lists its models, and one that does not has told us nothing.

use std::sync::Arc;
use std::time::Duration;

use berry_loadbalance::{EndpointKey, FailureKind, ProbeDepth, ProbeFailure, ProbeOutcome, Prober};
use bytes::Bytes;
use hashbrown::HashMap;
use http::{Response, StatusCode};
use serde_json::json;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::classify::Failure;
use crate::relay::{refusal, wrong_kind};
use crate::snapshot::Snapshot;
use crate::upstream::{Upstream, UpstreamBody};

/// The members that bound an answer's length, in the order in which they are tried.
const LENGTHS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// See the module's documentation.
#[derive(Debug)]
pub struct UpstreamProber {
    upstreams: HashMap<EndpointKey, Arc<Upstream>>,
    timeout: Duration,
}

impl UpstreamProber {
    /// Makes a prober for the endpoints of a configuration.
    pub fn new(snapshot: &Snapshot) -> Self {
        let routes = snapshot.routes.iter();
        let pairs = routes.flat_map(|route| route.pool.endpoints().iter().zip(&route.upstreams));
        Self {
            upstreams: pairs
                .map(|(endpoint, upstream)| (endpoint.key().clone(), Arc::clone(upstream)))
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
        Ok(match read(response).await? {
            Read::Answer => ProbeOutcome::Passed,
            Read::Refusal(_) => ProbeOutcome::Unknown,
        })
    }

    async fn chat(&self, upstream: &Upstream, model: &str) -> Result<ProbeOutcome, Failure> {
        for length in LENGTHS {
            let body = json!({
                "model": model,
                "messages": [{ "role": "user", "content": "hi" }],
                length: 1,
            });
            let response = upstream.chat(body.to_string().into(), self.timeout).await?;
            match read(response).await? {
                Read::Refusal(Some(body)) if names(&body, length) => {}
                Read::Answer | Read::Refusal(_) => break,
            }
        }
        Ok(ProbeOutcome::Passed)
    }
}

impl Prober for UpstreamProber {
    async fn probe(&self, endpoint: &EndpointKey, depth: ProbeDepth) -> ProbeOutcome {
        let Some(upstream) = self.upstreams.get(endpoint) else {
            return ProbeOutcome::Unknown;
        };
        let asked = timeout(self.timeout, async {
            match depth {
                ProbeDepth::Models => self.list_models(upstream).await,
                ProbeDepth::Chat => self.chat(upstream, &endpoint.model).await,
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

/// An answer that is nobody's failure but perhaps ours.
enum Read {
    /// What was asked for.
    Answer,
    /// What was sent is refused; the body, where it is a JSON object.
    Refusal(Option<Bytes>),
}

/// Reads an answer to its end and judges it as a request's would be.
async fn read(response: Response<UpstreamBody>) -> Result<Read, Failure> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return refusal(&head, body).await.map(Read::Refusal);
    }
    if let Some(cause) = wrong_kind(&head.headers, false) {
        return Err(Failure::new(FailureKind::Protocol, cause));
    }
    Answer::whole(body, None).read_content(None).await?;
    Ok(Read::Answer)
}

/// Returns whether an error speaks of this member.
fn names(body: &[u8], member: &str) -> bool {
    memchr::memmem::find(body, member.as_bytes()).is_some()
}
