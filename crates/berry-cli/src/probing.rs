//! Asks providers whether they work, through the same code that relays requests.
//!
//! Each backend becomes a model of its own, so that nothing is chosen and nothing is repeated: what
//! answers is what was asked. The models list and the chat are the gateway's own probes; the
//! stream is a request as a client would send it, timed to its first content and read to its end.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use berry_core::config::{Affinity, BillingMode, Prices};
use berry_core::{Backend, Config, Model, ModelName, Provider, User};
use berry_loadbalance::{Clock, Filter, Mode, ProbeDepth, ProbeOutcome, Prober};
use berry_relay::{
    Ask, Dialect, Envelope, Exchange, Operation, Receipt, Relay, ReplyBody, Route, UpstreamProber,
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::opened;
use crate::output;
use crate::report::{FAILED, Outcome, PASSED, UNKNOWN};

/// The most providers that are asked at once.
const AT_ONCE: usize = 16;

/// The most characters of what a provider says of a refusal.
const LONGEST_MESSAGE: usize = 300;

/// One thing to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    Models,
    Chat,
    Stream,
    Embeddings,
}

impl Check {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Models => "models list",
            Self::Chat => "chat",
            Self::Stream => "streaming",
            Self::Embeddings => "embeddings",
        }
    }

    /// Returns what there is to ask of a model, as far as its name says what it does.
    pub(crate) fn of(model: &str) -> Vec<Self> {
        if model.to_ascii_lowercase().contains("embed") {
            vec![Self::Embeddings]
        } else {
            vec![Self::Chat, Self::Stream]
        }
    }
}

/// Whom to ask, and for what.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) backend: Backend,
    pub(crate) checks: Vec<Check>,
}

/// Who is asked, and who is not.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) tasks: Vec<Task>,
    skipped: Vec<Outcome>,
}

/// Returns what there is to ask of the providers: each for its models, and each of its upstream models
/// for an answer. What is off is skipped, and so is what bills by request: it would cost.
pub(crate) fn of_all(config: &Config, only: Option<&str>) -> Plan {
    let mut plan = Plan::default();
    let asked = |provider: &&Arc<Provider>| only.is_none_or(|id| provider.id.as_str() == id);
    for provider in config.providers.iter().filter(asked) {
        if !provider.enabled {
            let skipped = Outcome::skipped(provider, None, "the provider is disabled");
            plan.skipped.push(skipped);
            continue;
        }
        // The list is the provider's own: any model stands for it.
        let model = provider.models.first().map_or("any", |model| model);
        plan.tasks.push(Task {
            backend: backend_of(provider, model),
            checks: vec![Check::Models],
        });
        for (backend, obstacle) in backends_at(config, provider) {
            match obstacle {
                None => plan.tasks.push(Task {
                    backend: backend.clone(),
                    checks: Check::of(&backend.model),
                }),
                Some(cause) => {
                    let skipped = Outcome::skipped(provider, Some(&backend.model), cause);
                    plan.skipped.push(skipped);
                }
            }
        }
    }
    plan
}

/// Returns each upstream model at a provider once, and what keeps it from being asked; where several
/// backends use one, nothing does unless it keeps all of them.
fn backends_at<'a>(
    config: &'a Config,
    provider: &Provider,
) -> Vec<(&'a Backend, Option<&'static str>)> {
    let mut found: Vec<(&Backend, Option<&str>)> = Vec::new();
    for model in &config.models {
        let its = |backend: &&Backend| backend.provider.id == provider.id;
        for backend in model.backends.iter().filter(its) {
            let obstacle = if !model.enabled {
                Some("its model is disabled")
            } else if !backend.enabled {
                Some("it is disabled")
            } else if backend.billing == BillingMode::PerRequest {
                Some("it bills by request: `test-backend` asks it all the same")
            } else {
                None
            };
            let known = found
                .iter_mut()
                .find(|(other, _)| other.model == backend.model);
            match known {
                Some(known) if known.1.is_some() => *known = (backend, obstacle),
                Some(_) => {}
                None => found.push((backend, obstacle)),
            }
        }
    }
    found
}

/// Returns a backend as it is where nothing more is configured.
pub(crate) fn backend_of(provider: &Arc<Provider>, model: &str) -> Backend {
    Backend {
        provider: Arc::clone(provider),
        model: model.into(),
        weight: 1.0,
        priority: 0,
        enabled: true,
        tags: Vec::new(),
        billing: BillingMode::PerToken,
        prices: Prices::default(),
    }
}

/// Asks whom there is to ask; the results come by provider, what was skipped the last of each.
pub(crate) async fn run(config: &Config, plan: Plan) -> anyhow::Result<Vec<Outcome>> {
    let Plan { tasks, skipped } = plan;
    let mut outcomes = ask(config, tasks).await?;
    outcomes.extend(skipped);
    let place = |outcome: &Outcome| {
        let mut providers = config.providers.iter();
        providers.position(|provider| provider.id.as_str() == outcome.provider)
    };
    outcomes.sort_by_key(place);
    Ok(outcomes)
}

/// Asks all of them; the results come in the order of the tasks.
pub(crate) async fn ask(config: &Config, tasks: Vec<Task>) -> anyhow::Result<Vec<Outcome>> {
    let mut alone = Config {
        models: Vec::new(),
        users: Vec::new(),
        ..config.clone()
    };
    alone.settings.max_retries = 0;
    for (number, task) in tasks.iter().enumerate() {
        let name = ModelName::parse(&format!("probe-{number}")).context("a name of our own")?;
        alone.models.push(Arc::new(Model {
            key: name.clone(),
            name,
            enabled: true,
            strategy: "failover",
            affinity: Affinity::None,
            backends: vec![task.backend.clone()],
        }));
    }
    let snapshot = opened::compile(alone)?;
    let asker = Arc::new(Asker {
        prober: UpstreamProber::new(&snapshot),
        relay: Relay::new(Clock::start(), 0),
        user: Arc::new(User::anybody()),
        patience: config.settings.health_check_timeout,
    });
    let bar = output::progress(tasks.len(), "asking providers");
    let (mut running, mut ended) = (JoinSet::new(), Vec::new());
    let mut waiting = tasks
        .into_iter()
        .zip(snapshot.routes.iter().cloned())
        .enumerate();
    loop {
        if running.len() < AT_ONCE
            && let Some((place, (task, route))) = waiting.next()
        {
            let asker = Arc::clone(&asker);
            running.spawn(async move { (place, Box::pin(asker.ask(&task, &route)).await) });
            continue;
        }
        let Some(done) = running.join_next().await else {
            break;
        };
        ended.push(done?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    ended.sort_by_key(|(place, _)| *place);
    Ok(ended
        .into_iter()
        .flat_map(|(_, outcomes)| outcomes)
        .collect())
}

struct Asker {
    prober: UpstreamProber,
    relay: Relay,
    user: Arc<User>,
    patience: Duration,
}

impl Asker {
    /// Makes the checks of one task, one after the other.
    async fn ask(&self, task: &Task, route: &Route) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for &check in &task.checks {
            if check == Check::Stream && outcomes.iter().any(|earlier| earlier.result == UNKNOWN) {
                continue;
            }
            let began = Instant::now();
            let (result, cause) = match check {
                Check::Models => self.probe(route, ProbeDepth::Models).await,
                Check::Chat => self.probe(route, ProbeDepth::Chat).await,
                Check::Stream | Check::Embeddings => {
                    match timeout(self.patience, Box::pin(self.request(route, task, check))).await {
                        Ok(Ok(())) => (PASSED, None),
                        Ok(Err(error)) => (FAILED, Some(format!("{error:#}"))),
                        Err(_) => (FAILED, Some(format!("no end within {:?}", self.patience))),
                    }
                }
            };
            outcomes.push(Outcome {
                provider: task.backend.provider.id.to_string(),
                model: (check != Check::Models).then(|| task.backend.model.to_string()),
                check: Some(check),
                result,
                latency_ms: Some(began.elapsed().as_millis()),
                cause,
            });
        }
        outcomes
    }

    async fn probe(&self, route: &Route, depth: ProbeDepth) -> (&'static str, Option<String>) {
        let Some(endpoint) = route.pool.endpoints().first() else {
            return (FAILED, Some("it is disabled".to_owned()));
        };
        match self.prober.probe(endpoint.key(), depth).await {
            ProbeOutcome::Passed => (PASSED, None),
            ProbeOutcome::Unknown if depth == ProbeDepth::Models => {
                (UNKNOWN, Some("it does not list its models".to_owned()))
            }
            ProbeOutcome::Unknown => (UNKNOWN, Some("it neither chats nor embeds".to_owned())),
            ProbeOutcome::Failed(failure) => (
                FAILED,
                Some(format!("{}: {}", failure.kind.as_str(), failure.cause)),
            ),
        }
    }

    /// Sends a small request as a client would, and reads the answer to its end.
    async fn request(&self, route: &Route, task: &Task, check: Check) -> anyhow::Result<()> {
        let model = route.model.name.as_str();
        let (operation, mode, body) = if check == Check::Embeddings {
            let body = json!({ "model": model, "input": "hi" });
            (Operation::Embeddings, Mode::Whole, body)
        } else {
            let messages = json!([{ "role": "user", "content": "hi" }]);
            let body = json!({ "model": model, "messages": messages, "stream": true });
            (Operation::ChatCompletions, Mode::Streamed, body)
        };
        let exchange = Exchange {
            dialect: Dialect::OpenAi,
            operation,
            ask: Ask::Model(Envelope::parse(Bytes::from(body.to_string()))?),
            headers: Arc::default(),
        };
        let filter = Filter {
            user: Arc::clone(&self.user),
            provider: Some(task.backend.provider.id.clone()),
            account: None,
            needs: exchange.operation.ability(),
            mode,
            affinity: None,
        };
        let mut receipt = Receipt::default();
        let reply = self.relay.run(route, filter, &exchange, &mut receipt).await;
        let reply = reply.map_err(|error| match (receipt.failure, receipt.cause) {
            (Some(kind), Some(cause)) => anyhow::anyhow!("{}: {cause}", kind.as_str()),
            _ => anyhow::anyhow!(error),
        })?;
        match reply.body {
            ReplyBody::Complete(_) => Ok(()),
            ReplyBody::Refusal(body) => {
                let said = message(&body.unwrap_or_default());
                let status = reply.status.as_u16();
                anyhow::bail!("refused with {status}{said}");
            }
            ReplyBody::Coming(mut answer) => {
                while let Some(chunk) = poll_fn(|cx| answer.poll_chunk(cx)).await {
                    chunk
                        .map_err(|broken| anyhow::anyhow!("broke off: {}", broken.kind.as_str()))?;
                }
                Ok(())
            }
        }
    }
}

/// Returns what a refusal says, to be put behind its status: on one line, and no more than a line is for.
fn message(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let said = json
        .as_ref()
        .and_then(|body| body["error"]["message"].as_str());
    let said = said.map_or_else(|| String::from_utf8_lossy(body), Cow::Borrowed);
    let mut shown: String = said
        .split(|character: char| character.is_control() || character.is_whitespace())
        .filter(|word| !word.is_empty())
        .flat_map(|word| [" ", word])
        .flat_map(str::chars)
        .take(LONGEST_MESSAGE)
        .collect();
    if !shown.is_empty() {
        shown.insert(0, ':');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_its_message_on_one_line() {
        let long = "x".repeat(9_000);
        for (body, expected) in [
            (
                r#"{"error": {"message": "no such\nmodel"}}"#,
                ": no such model",
            ),
            (
                "{\n  \"detail\": \"wrong\"\n}",
                ": { \"detail\": \"wrong\" }",
            ),
            ("oops\u{1b}[2J\r\n", ": oops [2J"),
            ("", ""),
        ] {
            assert_eq!(message(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(message(long.as_bytes()).len(), LONGEST_MESSAGE + 1);
    }
}
