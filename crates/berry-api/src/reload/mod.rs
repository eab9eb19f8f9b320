//! The one task that changes what is served.
//!
//! A signal, an admin or the file itself asks for a reload. The file is read, checked and compiled
//! beside the requests; then one store makes it what new requests begin with. Those in flight end
//! with what they began with. Whatever is wrong leaves everything as it was, and is said.

mod made;
mod watch;

use std::error::Error;
use std::fmt;
use std::future::pending;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter::successors;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use berry_core::config::{ConfigDiff, Listening, Severity, SourceError};
use berry_core::{Diagnostics, Source, UserName};
use berry_loadbalance::{Cadence, Plan, Registry, Roster};
use berry_relay::{CompileError, Snapshot, UpstreamError, UpstreamProber};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::arrival::RequestId;
use crate::audit::{self, Action, AuditError, Event};
use crate::exposure;
use crate::gateway::Gateway;
use crate::supervisor;
use crate::telemetry::{LogError, LogFile};
use made::Made;
pub(crate) use watch::Watch;

/// Requests for a reload that wait while one is under way. One would do for signals; admins each
/// want an answer.
const WAITING: usize = 16;
/// The most findings in one log line.
const MOST_LOGGED: usize = 20;
/// How long a file may lack everything because it is being written.
const LONGEST_UNFINISHED: Duration = Duration::from_secs(2);

/// An admin who asks for a reload. The reload goes on where they leave.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) user: UserName,
    /// Where they are, where auditors want to know.
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: RequestId,
}

/// Who asked for a reload.
#[derive(Debug)]
enum Trigger {
    Signal,
    Admin(Asker),
    File,
}

impl Trigger {
    fn asker(&self) -> Option<&Asker> {
        match self {
            Self::Admin(asker) => Some(asker),
            Self::Signal | Self::File => None,
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "signal",
            Self::Admin(_) => "admin",
            Self::File => "file",
        })
    }
}

/// What a reload has changed.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) generation: u64,
    pub(crate) diff: ConfigDiff,
    pub(crate) warnings: Findings,
}

/// Findings and the text they are about.
#[derive(Debug)]
pub(crate) struct Findings {
    diagnostics: Diagnostics,
    source: Source,
}

impl Findings {
    /// Returns each finding as an object; see [`Diagnostics::to_json`].
    pub(crate) fn to_json(&self) -> String {
        self.diagnostics.to_json(&self.source)
    }

    /// Returns each finding of this severity as a line, but not endlessly many.
    fn lines(&self, severity: Severity) -> Vec<String> {
        let lines = self.diagnostics.lines(severity, &self.source);
        let mut lines: Vec<_> = lines.take(MOST_LOGGED).collect();
        let all = self.diagnostics.count(severity);
        if let Some(more) = all.checked_sub(MOST_LOGGED).filter(|&more| more > 0) {
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

/// Shows the errors, which are what matters where a reload is refused.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines(Severity::Error).join("; "))
    }
}

/// Why what is served stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SourceError),
    /// There is nothing in the file, which as it is would take every model away.
    #[error("the file is empty: `{}`", .0.display())]
    Empty(PathBuf),
    /// The file has errors, or changes what cannot change.
    #[error("{0}")]
    Invalid(Findings),
    /// The configuration is valid and cannot be served.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The audit log that is configured cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Nothing can be sent to the collector of traces.
    #[error("`telemetry.otlp_endpoint` cannot be used")]
    Traces(#[from] UpstreamError),
    /// The log file cannot be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A bug of ours.
    #[error("the reload panicked")]
    Panicked,
    /// The process is about to end.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

impl ReloadError {
    /// Returns what is wrong, with its causes.
    pub(crate) fn explained(&self) -> String {
        let causes = successors(self.source(), |&cause| cause.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

type Outcome = Result<Reloaded, ReloadError>;

/// A wish for a reload.
#[derive(Debug)]
pub(crate) struct Request {
    trigger: Trigger,
    reply: Option<oneshot::Sender<Outcome>>,
}

impl Request {
    /// What the file itself asks for.
    fn of_file() -> Self {
        Self {
            trigger: Trigger::File,
            reply: None,
        }
    }
}

/// Asks for reloads.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<Request>);

impl Reloads {
    /// Makes one, and what the task listens to.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// Asks for a reload because the process was told to by a signal.
    pub fn hang_up(&self) {
        // Where there is no room, reloads are waiting that will read the same file.
        let _ = self.0.try_send(Request {
            trigger: Trigger::Signal,
            reply: None,
        });
    }

    /// Asks for a reload and waits for it.
    pub(crate) async fn ask(&self, asker: Asker) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            trigger: Trigger::Admin(asker),
            reply: Some(reply),
        };
        let closed = |_| ReloadError::ShuttingDown;
        self.0.send(request).await.map_err(closed)?;
        answer.await.map_err(|_| ReloadError::ShuttingDown)?
    }
}

/// What a reload reaches.
#[derive(Debug)]
pub(crate) struct Affected {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) plans: mpsc::Sender<Plan<UpstreamProber>>,
    pub(crate) log_file: LogFile,
    pub(crate) listening: Listening,
}

/// The task; see the module's documentation.
#[derive(Debug)]
pub(crate) struct Reloader {
    affected: Affected,
    requests: mpsc::Receiver<Request>,
    watch: Watch,
    /// What is served, as it is written.
    served: Source,
    /// What the file held when it was looked at last, good or bad.
    seen: u64,
    /// Until when the file may lack all models or all users, if it does.
    unfinished_until: Option<Instant>,
}

impl Reloader {
    /// Makes the task that reloads `served` from where it came.
    pub(crate) fn new(
        served: Source,
        requests: mpsc::Receiver<Request>,
        affected: Affected,
    ) -> Self {
        Self {
            affected,
            requests,
            watch: Watch::begin(served.path()),
            seen: fingerprint(Ok(&served)),
            unfinished_until: None,
            served,
        }
    }

    /// Reloads whenever somebody asks for it, until `stopping`.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        loop {
            let request = tokio::select! {
                () = stopping.cancelled() => return,
                Some(request) = self.requests.recv() => request,
                () = self.watch.settled() => Request::of_file(),
                () = passed(self.unfinished_until) => Request::of_file(),
            };
            supervisor::reloading();
            let outcome = self.reload(&request.trigger).await;
            supervisor::ready();
            let Some(outcome) = outcome else {
                continue;
            };
            if let Err(error) = &outcome {
                self.audit(&request.trigger, &error.explained());
            }
            log(&request.trigger, &outcome);
            if let Some(reply) = request.reply {
                // An admin who has left can read the log.
                let _ = reply.send(outcome);
            }
        }
    }

    /// Reloads; none where the file asks for it and has nothing new in it.
    async fn reload(&mut self, trigger: &Trigger) -> Option<Outcome> {
        if matches!(trigger, Trigger::Signal) {
            // Whoever rotates logs says so by this signal.
            self.affected.log_file.reopen().unwrap_or_else(|error| {
                error!(%error, "the log file cannot be opened again: lines go on as before");
            });
            self.reopen_audit().await;
        }
        let path = self.served.path().to_owned();
        let read = spawn_blocking(|| Source::read(path)).await;
        let read = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let seen = fingerprint(read.as_ref());
        let is_empty = read.as_ref().is_ok_and(is_empty);
        let is_unfinished = |source| is_empty || ConfigDiff::is_emptied(&self.served, source);
        let is_unfinished = read.as_ref().is_ok_and(is_unfinished);
        if matches!(trigger, Trigger::File)
            && (seen == self.seen || is_unfinished && self.may_be_unfinished())
        {
            self.unfinished_until = self.unfinished_until.filter(|_| seen != self.seen);
            return None;
        }
        self.unfinished_until = None;
        self.seen = seen;
        let outcome = match read {
            Ok(source) if is_empty => Err(ReloadError::Empty(source.path().to_owned())),
            Ok(source) => self.apply(source, trigger).await,
            Err(error) => Err(error.into()),
        };
        if outcome.is_err() {
            self.affected.gateway.snapshots.refused();
        }
        Some(outcome)
    }

    /// Whether a file that lacks everything may be one that somebody is still writing.
    fn may_be_unfinished(&mut self) -> bool {
        let now = Instant::now();
        now < *self
            .unfinished_until
            .get_or_insert(now + LONGEST_UNFINISHED)
    }

    /// Opens the audit log anew where it is, whatever the configuration has become.
    async fn reopen_audit(&self) {
        let snapshot = self.affected.gateway.snapshot();
        let opened =
            spawn_blocking(move || audit::open(snapshot.config.settings.audit_log.as_deref()));
        match opened.await {
            Ok(Ok(file)) => self.affected.gateway.audit.continue_in(file),
            Ok(Err(error)) => error!(%error, "audit log not reopened"),
            Err(_panicked) => {}
        }
    }

    /// Notes for auditors what a reload came to.
    fn audit(&self, trigger: &Trigger, result: &str) {
        let asker = trigger.asker();
        self.affected.gateway.audit.record(Event {
            user_id: asker.map(|asker| asker.user.as_str()),
            action: Action::Reload,
            resource: &self.served.path().to_string_lossy(),
            result: &format!("{trigger}: {result}"),
            ip_address: asker.and_then(|asker| asker.address),
            request_id: asker.map(|asker| asker.request_id.as_str()),
        });
    }

    /// Serves what is written, if it is valid.
    async fn apply(&mut self, source: Source, trigger: &Trigger) -> Outcome {
        let registry = Arc::clone(&self.affected.registry);
        let gateway = Arc::clone(&self.affected.gateway);
        let (shared, listening) = (Arc::clone(&gateway), self.affected.listening);
        let made = spawn_blocking(move || Made::of(source, &registry, &shared, listening)).await;
        let Made {
            snapshot,
            tls,
            target,
            audit,
            plan,
            warnings,
        } = made.map_err(|_| ReloadError::Panicked)??;
        let log_file = snapshot.config.telemetry.log_file.as_deref();
        self.affected.log_file.follow(log_file)?;
        let diff = ConfigDiff::between(&self.served, &warnings.source);
        self.served = warnings.source.clone();
        exposure::announce(&snapshot.config);
        gateway.tracer.follow(target);
        gateway.ledger.retain(snapshot.config.usage.retention_days);
        let log = |snapshot: &Snapshot| snapshot.config.settings.audit_log.clone();
        let moves = log(&gateway.snapshot()) != log(&snapshot);
        let generation = gateway.snapshots.publish(snapshot, tls);
        let result = format!("generation {generation}");
        if moves {
            // The last word of a log that ends here, which says so.
            self.audit(trigger, &result);
        }
        gateway.audit.continue_in(audit);
        self.audit(trigger, &result);
        // A monitor that has ended was told to stop, as this task will be.
        let _ = self.affected.plans.send(plan).await;
        Ok(Reloaded {
            generation,
            diff,
            warnings,
        })
    }
}

/// Returns whom the monitor is to ask about.
pub(crate) fn plan(snapshot: &Snapshot) -> Plan<UpstreamProber> {
    let pools = snapshot.routes.iter().map(|route| &*route.pool);
    Plan {
        prober: UpstreamProber::new(snapshot),
        roster: Roster::of(pools),
        cadence: Cadence::from(&snapshot.config.settings),
    }
}

/// Tells one reading of the file from another, in this process.
fn fingerprint(read: Result<&Source, &SourceError>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match read {
        Ok(source) => source.text().hash(&mut hasher),
        Err(error) => error.to_string().hash(&mut hasher),
    }
    hasher.finish()
}

/// Whether there is nothing in a file: it would be valid, and take every model away.
fn is_empty(source: &Source) -> bool {
    source.text().trim().is_empty()
}

/// Waits for a time, for ever where there is none.
async fn passed(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

fn log(trigger: &Trigger, outcome: &Outcome) {
    let user_id = trigger.asker().map(|asker| asker.user.as_str());
    match outcome {
        Ok(reloaded) => {
            let ConfigDiff {
                added,
                removed,
                changed,
            } = &reloaded.diff;
            info!(
                %trigger,
                user_id,
                generation = reloaded.generation,
                added = added.join(", "),
                removed = removed.join(", "),
                changed = changed.join(", "),
                "Configuration reloaded successfully"
            );
            for warning in reloaded.warnings.lines(Severity::Warning) {
                warn!("{warning}");
            }
        }
        Err(error) => {
            let error = error.explained();
            error!(%trigger, user_id, error, "Failed to reload configuration");
        }
    }
}
