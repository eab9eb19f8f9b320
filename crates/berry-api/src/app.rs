//! Owns what lives as long as the process. Built, then run; tests build it on port 0.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use berry_core::Config;
use berry_loadbalance::{
    Cadence, Clock, Events, FailureKind, HealthMonitor, Registry, Roster, Transition,
};
use berry_relay::{CompileError, Relay, Snapshot, UpstreamProber};
use tracing::{info, warn};

use crate::frame::Frame;
use crate::gateway::Gateway;
use crate::server::{self, Server};
use crate::tasks::Tasks;

/// How a process is started.
#[derive(Debug)]
pub struct Options {
    /// What to serve.
    pub config: Config,
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
    grace: Duration,
    tasks: Tasks,
    monitor: HealthMonitor<UpstreamProber>,
    gateway: Arc<Gateway>,
}

impl App {
    /// Compiles the configuration and binds the address. Must be called within the runtime.
    ///
    /// # Errors
    /// The configuration cannot be served, or the address cannot be listened on.
    pub fn build(options: Options) -> Result<Self, StartError> {
        let Options {
            config,
            address,
            max_connections,
            seed,
        } = options;
        let registry = Registry::new(Events::to(log_transition));
        let snapshot = Arc::new(Snapshot::compile(Arc::new(config), &registry)?);
        let failed = |source| StartError::Listen { address, source };
        let listener = server::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;

        let (clock, tasks) = (Clock::start(), Tasks::default());
        let grace = snapshot.config.settings.shutdown_grace;
        let settings = snapshot.config.server.clone();
        let monitor = monitor(&snapshot, clock, seed);
        let gateway = Arc::new(Gateway {
            snapshot,
            relay: Relay::new(clock, seed),
            clock,
            stopping: tasks.stopping().clone(),
            cut: tasks.cut().clone(),
        });
        let frame = Frame::new(&gateway);
        let server = Server::new(listener, frame, &settings, max_connections, tasks.clone());
        Ok(Self {
            server,
            address,
            grace,
            tasks,
            monitor,
            gateway,
        })
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
            grace,
            tasks,
            monitor,
            gateway,
        } = self;
        let config = &gateway.snapshot.config;
        info!(
            version = env!("CARGO_PKG_VERSION"),
            %address,
            providers = config.providers.len(),
            models = config.models.len(),
            users = config.users.len(),
            "Starting Berry API"
        );
        tasks.spawn(monitor.run(tasks.stopping().clone()));
        let serving = server.run(grace);
        tokio::pin!(serving);
        let drained = tokio::select! {
            drained = &mut serving => drained,
            () = shutdown => {
                info!(grace_seconds = grace.as_secs(), "draining");
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
    }
}

/// Makes what probes the endpoints of a configuration.
fn monitor(snapshot: &Snapshot, clock: Clock, seed: u64) -> HealthMonitor<UpstreamProber> {
    let pools = snapshot.routes.iter().map(|route| &*route.pool);
    let cadence = Cadence::from(&snapshot.config.settings);
    let rng = fastrand::Rng::with_seed(seed).fork();
    let prober = UpstreamProber::new(snapshot);
    HealthMonitor::new(prober, Roster::of(pools), cadence, clock, rng)
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
