//! Asks providers whether they work, through the same code that relays requests.
//!
//! Each backend becomes a model of its own, so that nothing is chosen and nothing is repeated: what
//! answers is what was asked. The models list and the chat are the gateway's own probes; the
//! stream is a request as a client would send it, timed to its first content and read to its end.

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
use http::HeaderMap;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::args::Format;
use crate::opened;
use crate::output::{self, Table, Told};

/// The most providers that are asked at once.
const AT_ONCE: usize = 16;

/// One thing to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    Models,
    Chat,
    Stream,
}

impl Check {
    fn as_str(self) -> &'static str {
        match self {
            Self::Models => "models list",
            Self::Chat => "chat",
            Self::Stream => "streaming",
        }
    }
}

/// Whom to ask, and for what.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) backend: Backend,
    pub(crate) checks: Vec<Check>,
}

/// What came of one check.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    provider: String,
    /// None where the provider as a whole was asked.
    model: Option<String>,
    check: Check,
    result: &'static str,
    latency_ms: u128,
    /// Why it failed.
    cause: Option<String>,
}

impl Outcome {
    fn is_failure(&self) -> bool {
        self.result == FAILED
    }
}

const PASSED: &str = "passed";
const FAILED: &str = "failed";
const UNKNOWN: &str = "unknown";

/// Returns what there is to ask of the enabled providers: each for its models, and each endpoint
/// that bills by token for an answer. One that bills by request is not asked: it would cost.
pub(crate) fn of_all(config: &Config, only: Option<&str>) -> Vec<Task> {
    let asked = |provider: &&Arc<Provider>| {
        provider.enabled && only.is_none_or(|id| provider.id.as_str() == id)
    };
    let mut tasks = Vec::new();
    for provider in config.providers.iter().filter(asked) {
        // The list is the provider's own: any model stands for it.
        let model = provider.models.first().map_or("any", |model| model);
        tasks.push(Task {
            backend: backend_of(provider, model),
            checks: vec![Check::Models],
        });
        let models = config.models.iter().filter(|model| model.enabled);
        let mut seen: Vec<&str> = Vec::new();
        for backend in models.flat_map(|model| &model.backends) {
            let is_its = backend.enabled && backend.provider.id == provider.id;
            if !is_its
                || backend.billing == BillingMode::PerRequest
                || seen.contains(&&*backend.model)
            {
                continue;
            }
            seen.push(&backend.model);
            tasks.push(Task {
                backend: backend.clone(),
                checks: vec![Check::Chat, Check::Stream],
            });
        }
    }
    tasks
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

/// Asks all of them; the results come in the order of the tasks.
pub(crate) async fn run(config: &Config, tasks: Vec<Task>) -> anyhow::Result<Vec<Outcome>> {
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
        let mut outcomes = Vec::new();
        for &check in &task.checks {
            let began = Instant::now();
            let (result, cause) = match check {
                Check::Models => self.probe(route, ProbeDepth::Models).await,
                Check::Chat => self.probe(route, ProbeDepth::Chat).await,
                Check::Stream => {
                    match timeout(self.patience, Box::pin(self.stream(route, task))).await {
                        Ok(Ok(())) => (PASSED, None),
                        Ok(Err(error)) => (FAILED, Some(format!("{error:#}"))),
                        Err(_) => (FAILED, Some(format!("no end within {:?}", self.patience))),
                    }
                }
            };
            outcomes.push(Outcome {
                provider: task.backend.provider.id.to_string(),
                model: (check != Check::Models).then(|| task.backend.model.to_string()),
                check,
                result,
                latency_ms: began.elapsed().as_millis(),
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
            ProbeOutcome::Unknown => (FAILED, Some("it could not be asked".to_owned())),
            ProbeOutcome::Failed(failure) => (
                FAILED,
                Some(format!("{}: {}", failure.kind.as_str(), failure.cause)),
            ),
        }
    }

    /// Sends a streamed chat of a few tokens and reads it to its end.
    async fn stream(&self, route: &Route, task: &Task) -> anyhow::Result<()> {
        let body = json!({
            "model": route.model.name.as_str(),
            "messages": [{ "role": "user", "content": "hi" }],
            "stream": true,
        });
        let exchange = Exchange {
            dialect: Dialect::OpenAi,
            operation: Operation::ChatCompletions,
            ask: Ask::Model(Envelope::parse(Bytes::from(body.to_string()))?),
            headers: HeaderMap::new(),
        };
        let filter = Filter {
            user: Arc::clone(&self.user),
            provider: Some(task.backend.provider.id.clone()),
            account: None,
            needs: exchange.operation.ability(),
            mode: Mode::Streamed,
            affinity: None,
        };
        let mut receipt = Receipt::default();
        let reply = self.relay.run(route, filter, &exchange, &mut receipt).await;
        let reply = reply.map_err(|error| match receipt.failure {
            Some(kind) => anyhow::anyhow!("{}: {error}", kind.as_str()),
            None => anyhow::anyhow!(error),
        })?;
        match reply.body {
            ReplyBody::Complete(_) => Ok(()),
            ReplyBody::Refusal(body) => {
                let said = body.unwrap_or_default();
                let status = reply.status.as_u16();
                anyhow::bail!("refused with {status}: {}", String::from_utf8_lossy(&said));
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

/// Prints what came of the checks, by provider.
///
/// # Errors
/// A check failed.
pub(crate) fn report(outcomes: &[Outcome], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        output::json(&outcomes)?;
    } else {
        for group in outcomes.chunk_by(|a, b| a.provider == b.provider) {
            let [first, ..] = group else { continue };
            let id = &first.provider;
            if group.iter().any(Outcome::is_failure) {
                output::line(&format!("❌ Provider {id} is unhealthy"))?;
            } else {
                output::line(&format!("✅ Provider {id} is healthy"))?;
            }
            output::text(&table(group).to_string())?;
        }
    }
    fail_if_any(outcomes)
}

/// Prints what came of the checks of one backend.
///
/// # Errors
/// A check failed.
pub(crate) fn report_one(
    outcomes: &[Outcome],
    format: Format,
    passed: &str,
    failed: &str,
) -> anyhow::Result<()> {
    if format == Format::Json {
        output::json(&outcomes)?;
    } else {
        let any_failed = outcomes.iter().any(Outcome::is_failure);
        output::text(&table(outcomes).to_string())?;
        output::line(if any_failed { failed } else { passed })?;
    }
    fail_if_any(outcomes)
}

fn fail_if_any(outcomes: &[Outcome]) -> anyhow::Result<()> {
    if outcomes.iter().any(Outcome::is_failure) {
        return Err(Told.into());
    }
    Ok(())
}

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::indented();
    for outcome in outcomes {
        table.row([
            outcome.model.clone().unwrap_or_default(),
            outcome.check.as_str().to_owned(),
            outcome.result.to_owned(),
            format!("{} ms", outcome.latency_ms),
            outcome.cause.clone().unwrap_or_default(),
        ]);
    }
    table
}
