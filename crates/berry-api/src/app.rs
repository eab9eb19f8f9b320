//! Owns what lives as long as the process. Built, then run; tests build it on port 0.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use berry_core::config::Severity;
use berry_core::limit::InFlight;
use berry_core::{Config, Source};
use berry_loadbalance::{Clock, Events, FailureKind, HealthMonitor, Plan, Registry, Transition};
use berry_relay::{CompileError, Relay, Snapshot, UpstreamError, UpstreamProber};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::audit::{self, Audit, AuditError};
use crate::exposure;
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::memory::{self, Memory};
use crate::reload::{self, Affected, Reloader, Reloads};
use crate::server::{self, Server};
use crate::snapshots::Snapshots;
use crate::supervisor;
use crate::tasks::Tasks;
use crate::telemetry::trace::Tracer;
use crate::telemetry::{Logs, loss};
use crate::tls;

/// How long the end of the process waits for traces that are not sent.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How a process is started.
#[derive(Debug)]
pub struct Options {
    /// What to serve.
    pub config: Config,
    /// What it was read from, and is read from again.
    pub source: Source,
    /// Where lines go.
    pub logs: Logs,
    /// Where to listen.
    pub address: SocketAddr,
    /// The most open client connections.
    pub max_connections: usize,
    /// Determines every random choice.
    pub seed: u64,
}

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be served.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The certificate for clients cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Nothing can be sent to the collector of traces.
    #[error("`telemetry.otlp_endpoint` cannot be used")]
    Traces(#[from] UpstreamError),
    /// No thread can be started for the ledger or the audit log.
    #[error("no thread can be started")]
    Thread(#[source] io::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub struct App {
    server: Server,
    address: SocketAddr,
    tasks: Tasks,
    monitor: HealthMonitor<UpstreamProber>,
    plans: mpsc::Receiver<Plan<UpstreamProber>>,
    reloader: Reloader,
    gateway: Arc<Gateway>,
    logs: Logs,
}

impl App {
    /// Compiles the configuration and binds the address. Must be called within the runtime.
    ///
    /// # Errors
    /// The configuration cannot be served, or the address cannot be listened on.
    pub fn build(options: Options) -> Result<Self, StartError> {
        let Options {
            config,
            source,
            logs,
            address,
            max_connections,
            seed,
        } = options;
        let tls = tls::load(&config, &source).map_err(|findings| {
            StartError::Tls(
                findings
                    .lines(Severity::Error, &source)
                    .collect::<Vec<_>>()
                    .join("; "),
            )
        })?;
        let audit = audit::open(config.settings.audit_log.as_deref())?;
        let audit = Audit::begin(audit).map_err(StartError::Thread)?;
        let registry = Arc::new(Registry::new(Events::to(log_transition)));
        let snapshot = Snapshot::compile(Arc::new(config), &registry, None)?;
        let failed = |source| StartError::Listen { address, source };
        let (listener, listening) = server::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;

        let ledger = Ledger::start(&snapshot.config.usage).map_err(StartError::Thread)?;

        let (clock, tasks) = (Clock::start(), Tasks::default());
        let mut chance = fastrand::Rng::with_seed(seed);
        let monitor = HealthMonitor::new(reload::plan(&snapshot), clock, chance.fork());
        let (reloads, requests) = Reloads::channel();
        let tracer = Tracer::new(&snapshot.config.telemetry, chance.u64(..))?;
        let gateway = Arc::new(Gateway {
            snapshots: Snapshots::new(snapshot, tls),
            reloads,
            relay: Relay::new(clock, seed),
            clock,
            totals: Arc::clone(registry.totals()),
            traffic: Arc::default(),
            losses: logs
                .losses()
                .chain(ledger.loss())
                .chain([audit.loss(), tracer.loss()])
                .cloned()
                .collect(),
            tracer,
            ledger,
            audit,
            in_flight: InFlight::default(),
            memory: Memory::default(),
            stopping: tasks.stopping().clone(),
            grace: tasks.grace().clone(),
        });
        let (planner, plans) = mpsc::channel(1);
        let reloader = Reloader::new(
            source,
            requests,
            Affected {
                gateway: Arc::clone(&gateway),
                registry,
                plans: planner,
                log_file: logs.file().clone(),
                listening,
            },
        );
        let (shared, tracked) = (Arc::clone(&gateway), tasks.clone());
        Ok(Self {
            server: Server::new(listener, shared, max_connections, tracked),
            address,
            tasks,
            monitor,
            plans,
            reloader,
            gateway,
            logs,
        })
    }

    /// Returns what asks for reloads.
    pub fn reloads(&self) -> Reloads {
        self.gateway.reloads.clone()
    }

    /// Returns what handlers see of it.
    #[cfg(test)]
    pub(crate) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Returns where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then drains: no new connections, and requests in flight have the
    /// configured grace to end.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            server,
            address,
            tasks,
            monitor,
            plans,
            reloader,
            gateway,
            // What is logged last is written when this ends.
            logs: _logs,
        } = self;
        let snapshot = gateway.snapshot();
        let config = &snapshot.config;
        info!(
            version = env!("CARGO_PKG_VERSION"),
            %address,
            providers = config.providers.len(),
            models = config.models.len(),
            users = config.users.len(),
            "Starting Berry API"
        );
        exposure::announce(config);
        drop(snapshot);
        tasks.spawn(monitor.run(plans, tasks.stopping().clone()));
        tasks.spawn(reloader.run(tasks.stopping().clone()));
        let watched = Arc::clone(&gateway);
        tasks.spawn(memory::watch(watched, tasks.stopping().clone()));
        let losses = gateway.losses.clone();
        tasks.spawn(loss::warn_of(losses, tasks.stopping().clone()));
        tasks.spawn(supervisor::live());
        // What is traced last is sent after the last request.
        let (exporting, traced) = (Tasks::default(), Arc::clone(&gateway));
        let ending = exporting.stopping().clone();
        exporting.spawn(async move { traced.tracer.export(ending).await });
        supervisor::ready();
        let serving = server.run();
        tokio::pin!(serving);
        let drained = tokio::select! {
            drained = &mut serving => drained,
            () = shutdown => {
                supervisor::stopping();
                tasks.stopping().cancel();
                serving.await
            }
        };
        if drained {
            info!("stopped");
        } else {
            let connections = tasks.cut_off().await;
            warn!(connections, "stopped before all requests ended");
        }
        exporting.end(LAST_WORDS).await;
        let unsent = gateway.tracer.unsent();
        if unsent > 0 {
            warn!(spans = unsent, "traces not sent");
        }
        gateway.audit.close().await;
        gateway.ledger.close();
    }
}

/// Tells operators that an endpoint left or returned.
fn log_transition(transition: &Transition) {
    let Transition {
        endpoint,
        from,
        to,
        cause,
    } = transition;
    let cause = cause.map(FailureKind::as_str);
    info!(target: "berry_loadbalance", %endpoint, %from, %to, cause, "endpoint state changed");
}
