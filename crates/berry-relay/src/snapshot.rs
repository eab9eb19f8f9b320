//! Everything a request reads, compiled from one configuration.
//!
//! Immutable; a request keeps the one it began with. What was learned at run time is not here: it
//! is found again through the [`Registry`] or in the snapshot before, so a new one begins where the
//! old one stood.

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;

use berry_core::config::Settings;
use berry_core::limit::Meters;
use berry_core::{
    Authenticator, Backend, Config, Diagnostics, Loaded, Model, ModelName, ProviderName, Source,
    Term, Tick, Vocabulary,
};
use berry_loadbalance::{Endpoint, EndpointKey, Limits, Pool, PoolOptions, Registry, strategy};
use hashbrown::HashMap;
use hyper_util::client::proxy::matcher::Matcher;
use jiff::Timestamp;

use crate::adapter;
use crate::upstream::{Roots, Surroundings, Upstream, UpstreamError};

/// Why a valid configuration cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A provider cannot be called.
    #[error("provider `{provider}` cannot be used")]
    Provider {
        /// Which.
        provider: ProviderName,
        /// Why.
        source: UpstreamError,
    },
    /// The strategy is not built in; configurations that name it do not get here.
    #[error("the strategy `{0}` is not available")]
    Strategy(&'static str),
}

/// The waits of a request that the relay bounds itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RouteWaits {
    pub(crate) first_token: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
}

/// A public model, ready to be served.
#[derive(Debug)]
pub struct Route {
    /// What is configured.
    pub model: Arc<Model>,
    /// Its endpoints.
    pub pool: Arc<Pool>,
    /// The upstream of each endpoint, in the pool's order.
    pub(crate) upstreams: Box<[Arc<Upstream>]>,
    pub(crate) waits: RouteWaits,
    /// What requests cost decides where they go.
    pub(crate) metered: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Snapshot {
    /// What it was compiled from.
    pub config: Arc<Config>,
    /// Who may send requests.
    pub authenticator: Authenticator,
    /// What each user has sent.
    pub meters: Meters,
    /// The served models in the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// The same, by public name and by key.
    by_name: HashMap<ModelName, Arc<Route>>,
    /// The enabled providers.
    upstreams: HashMap<ProviderName, Arc<Upstream>>,
}

impl Snapshot {
    /// Compiles a configuration. What was opened and counted until now under the `previous` one goes
    /// on where users, providers and models are still the same.
    ///
    /// # Errors
    /// A provider cannot be used, for example because its `ca_file` cannot be read.
    pub fn compile(
        config: Arc<Config>,
        registry: &Registry,
        previous: Option<(&Self, Tick)>,
    ) -> Result<Self, CompileError> {
        let compiler = Compiler::new(&config, registry, previous.map(|(snapshot, _)| snapshot))?;
        let mut routes = Vec::new();
        let mut by_name = HashMap::new();
        for model in config.models.iter().filter(|model| model.enabled) {
            let route = Arc::new(compiler.route(model)?);
            by_name.insert(model.key.clone(), Arc::clone(&route));
            by_name.insert(model.name.clone(), Arc::clone(&route));
            routes.push(route);
        }
        let authenticator = Authenticator::new(&config.users);
        let meters = previous.map(|(snapshot, now)| (&snapshot.meters, now));
        let meters = Meters::of(&config.users, meters);
        let upstreams = compiler.upstreams;
        Ok(Self {
            config,
            authenticator,
            meters,
            routes,
            by_name,
            upstreams,
        })
    }

    /// Finds a model by its public name or its key.
    pub fn route(&self, name: &str) -> Option<&Arc<Route>> {
        self.by_name.get(name)
    }
}

/// The names of protocols and strategies, for [`Config::parse`].
#[derive(Debug)]
pub struct Names {
    /// What `strategy` may be.
    pub strategies: Vec<Term>,
    /// What `backend_type` may be.
    pub protocols: Vec<Term>,
}

impl Names {
    /// Collects them from the tables of strategies and protocols.
    pub fn collect() -> Self {
        Self {
            strategies: strategy::vocabulary(),
            protocols: adapter::vocabulary(),
        }
    }

    /// Checks a file's text and resolves it; see [`Config::parse`].
    ///
    /// # Errors
    /// Every finding, when one of them is an error.
    pub fn parse(
        &self,
        source: &Source,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Loaded, Diagnostics> {
        Config::parse(source, &self.vocabulary(), environment)
    }

    /// Adds what is legal in a file and probably not meant; see [`Loaded::linted`].
    #[must_use]
    pub fn lint(&self, loaded: Loaded, source: &Source, now: Timestamp) -> Loaded {
        loaded.linted(source, &self.vocabulary(), now)
    }

    pub(crate) fn vocabulary(&self) -> Vocabulary<'_> {
        Vocabulary {
            strategies: &self.strategies,
            protocols: &self.protocols,
        }
    }
}

struct Compiler<'a> {
    has_ledger: bool,
    settings: &'a Settings,
    registry: &'a Registry,
    previous: Option<&'a Snapshot>,
    upstreams: HashMap<ProviderName, Arc<Upstream>>,
}

impl<'a> Compiler<'a> {
    fn new(
        config: &'a Config,
        registry: &'a Registry,
        previous: Option<&'a Snapshot>,
    ) -> Result<Self, CompileError> {
        let surroundings = Surroundings {
            roots: LazyCell::new(Roots::load),
            proxies: Matcher::from_env(),
        };
        let mut upstreams = HashMap::new();
        for provider in config.providers.iter().filter(|provider| provider.enabled) {
            let before = previous.and_then(|previous| previous.upstreams.get(&provider.id));
            let upstream = Upstream::new(
                Arc::clone(provider),
                &config.settings,
                &surroundings,
                before.map(Arc::as_ref),
            );
            let upstream = upstream.map_err(|source| CompileError::Provider {
                provider: provider.id.clone(),
                source,
            })?;
            upstreams.insert(provider.id.clone(), Arc::new(upstream));
        }
        Ok(Self {
            settings: &config.settings,
            has_ledger: config.usage.database.is_some(),
            registry,
            previous,
            upstreams,
        })
    }

    fn route(&self, model: &Arc<Model>) -> Result<Route, CompileError> {
        let mut endpoints = Vec::new();
        let mut upstreams = Vec::new();
        for backend in model.backends.iter().filter(|backend| backend.enabled) {
            let Some(upstream) = self.upstreams.get(&backend.provider.id) else {
                continue;
            };
            endpoints.push(self.endpoint(backend, upstream));
            upstreams.push(Arc::clone(upstream));
        }
        let settings = self.settings;
        let strategy =
            strategy::build(model.strategy).ok_or(CompileError::Strategy(model.strategy))?;
        let mut pool = Pool::new(PoolOptions {
            endpoints,
            strategy,
            limits: Limits::from(settings),
        })
        .counting(self.registry.totals().selections_by(model.strategy));
        if let Some(route) = self.before(model) {
            pool = pool.continuing(&route.pool);
        }
        Ok(Route {
            model: Arc::clone(model),
            pool: Arc::new(pool),
            upstreams: upstreams.into(),
            metered: self.has_ledger
                || model.backends.iter().any(|backend| {
                    backend.prices.input.is_some() || backend.prices.output.is_some()
                }),
            waits: RouteWaits {
                first_token: settings.first_token_timeout,
                idle: settings.stream_idle_timeout,
                deadline: settings.request_deadline,
            },
        })
    }

    /// Returns what the same model was before. Its key identifies it; the public name may change.
    fn before(&self, model: &Model) -> Option<&Arc<Route>> {
        let route = self.previous?.route(model.key.as_str())?;
        (route.model.key == model.key).then_some(route)
    }

    fn endpoint(&self, backend: &Backend, upstream: &Upstream) -> Endpoint {
        let provider = &backend.provider;
        let key = EndpointKey {
            provider: provider.id.clone(),
            base_url: provider.base_url.to_string().into(),
            protocol: provider.protocol,
            model: backend.model.as_ref().into(),
            credential: upstream.credential(),
        };
        Endpoint::new(backend, upstream.abilities(), self.registry.adopt(&key))
    }
}
