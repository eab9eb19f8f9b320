//! What works at one instant, counted once for all pages, by the very signals that selection uses.
//!
//! A backend is what the file says, an endpoint what runs; a page about backends shows both, and a
//! backend without an endpoint (something about it is disabled) has nothing learned to show. Models
//! may share an endpoint, so whatever is summed up over a provider is summed over endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use berry_core::config::BillingMode;
use berry_core::{Backend, Config, Model, Tag};
use berry_loadbalance::{EndpointView, FailureKind, Pool, Tally, Totals};
use berry_relay::Snapshot;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::routes::moment::Moment;

/// How many there are, how many of them are switched on, how many of those work.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) total: usize,
    pub(crate) enabled: usize,
    pub(crate) healthy: usize,
}

impl Count {
    /// Returns the part of the enabled ones that works; none of none is 0.
    pub(crate) fn ratio(self) -> f64 {
        if self.enabled == 0 {
            0.0
        } else {
            self.healthy as f64 / self.enabled as f64
        }
    }
}

/// A backend and, where it is served, its endpoint.
#[derive(Debug)]
pub(crate) struct BackendView<'a> {
    pub(crate) backend: &'a Backend,
    pub(crate) endpoint: Option<EndpointView<'a>>,
}

impl BackendView<'_> {
    /// Returns whether the backend and its provider are switched on.
    pub(crate) fn enabled(&self) -> bool {
        self.backend.enabled && self.backend.provider.enabled
    }

    pub(crate) fn healthy(&self) -> bool {
        let endpoint = self.endpoint.as_ref();
        endpoint.is_some_and(|endpoint| endpoint.signals.healthy())
    }

    /// Returns `<provider>:<model>`.
    pub(crate) fn key(&self) -> String {
        format!("{}:{}", self.backend.provider.id, self.backend.model)
    }

    /// Returns what has been counted; nothing where nothing runs.
    pub(crate) fn tally(&self) -> Tally {
        let endpoint = self.endpoint.as_ref();
        endpoint.map_or_else(Tally::default, |endpoint| endpoint.tally)
    }

    pub(crate) fn consecutive_failures(&self) -> u32 {
        let endpoint = self.endpoint.as_ref();
        endpoint.map_or(0, |endpoint| endpoint.signals.consecutive_failures)
    }

    pub(crate) fn effective_weight(&self) -> f64 {
        let endpoint = self.endpoint.as_ref();
        endpoint.map_or(0.0, |endpoint| endpoint.effective_weight)
    }

    pub(crate) fn tags(&self) -> Vec<&str> {
        self.backend.tags.iter().map(Tag::as_str).collect()
    }

    pub(crate) fn billing_mode(&self) -> &'static str {
        match self.backend.billing {
            BillingMode::PerToken => "per_token",
            BillingMode::PerRequest => "per_request",
        }
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        self.endpoint.as_ref()?.latency
    }
}

/// A configured model and its backends, in the order of the file.
#[derive(Debug)]
pub(crate) struct ModelView<'a> {
    pub(crate) model: &'a Model,
    pool: Option<&'a Pool>,
    pub(crate) backends: Vec<BackendView<'a>>,
}

impl<'a> ModelView<'a> {
    fn of(snapshot: &'a Snapshot, model: &'a Model, moment: Moment) -> Self {
        let route = snapshot.route(model.key.as_str());
        let pool = route
            .filter(|_| model.enabled)
            .map(|route| route.pool.as_ref());
        let mut endpoints = pool.map_or_else(Vec::new, |pool| pool.describe(moment.now));
        let backends = model.backends.iter().map(|backend| {
            let place = endpoints.iter().position(|view| {
                let key = view.endpoint.key();
                key.provider == backend.provider.id && key.model.as_ref() == backend.model.as_ref()
            });
            BackendView {
                backend,
                endpoint: place.map(|place| endpoints.swap_remove(place)),
            }
        });
        Self {
            model,
            pool,
            backends: backends.collect(),
        }
    }

    /// Returns whether a new request would be given an endpoint now.
    pub(crate) fn usable(&self) -> bool {
        let mut endpoints = self.endpoints();
        endpoints.any(|endpoint| endpoint.signals.admits())
    }

    /// Returns how many of the backends there are, run, and work.
    pub(crate) fn count(&self) -> Count {
        Count {
            total: self.backends.len(),
            enabled: self.endpoints().count(),
            healthy: self.backends.iter().filter(|view| view.healthy()).count(),
        }
    }

    pub(crate) fn total_effective_weight(&self) -> f64 {
        self.backends
            .iter()
            .map(BackendView::effective_weight)
            .sum()
    }

    /// Returns how many requests were given one of the endpoints.
    pub(crate) fn selections(&self) -> u64 {
        self.pool.map_or(0, Pool::selections)
    }

    pub(crate) fn average_latency(&self) -> Option<Duration> {
        mean(self.endpoints().filter_map(|endpoint| endpoint.latency))
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &EndpointView<'a>> {
        self.backends
            .iter()
            .filter_map(|view| view.endpoint.as_ref())
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Overview<'a> {
    pub(crate) moment: Moment,
    /// Whether new requests are welcome.
    pub(crate) running: bool,
    pub(crate) uptime: Duration,
    pub(crate) config: &'a Config,
    totals: Arc<Totals>,
    /// All models of the file, in its order.
    pub(crate) models: Vec<ModelView<'a>>,
}

impl<'a> Overview<'a> {
    pub(crate) fn of(gateway: &Gateway, snapshot: &'a Snapshot) -> Self {
        let (moment, config) = (Moment::of(gateway.clock), &*snapshot.config);
        let models = config.models.iter();
        Self {
            moment,
            running: !gateway.stopping.is_cancelled(),
            uptime: gateway.clock.uptime(),
            config,
            totals: Arc::clone(&gateway.totals),
            models: models
                .map(|model| ModelView::of(snapshot, model, moment))
                .collect(),
        }
    }

    /// Returns the model of this key or public name.
    pub(crate) fn model(&self, name: &str) -> Option<&ModelView<'a>> {
        let mut models = self.models.iter();
        models.find(|view| view.model.key.as_str() == name || view.model.name.as_str() == name)
    }

    /// Returns each endpoint once, by provider and upstream model.
    pub(crate) fn endpoints(&self) -> BTreeMap<(&'a str, &'a str), &EndpointView<'a>> {
        let endpoints = self.models.iter().flat_map(ModelView::endpoints);
        let named = endpoints.map(|view| {
            let key = view.endpoint.key();
            ((key.provider.as_str(), &*key.model), view)
        });
        named.collect()
    }

    pub(crate) fn model_count(&self) -> Count {
        Count {
            total: self.models.len(),
            enabled: self.models.iter().filter(|view| view.model.enabled).count(),
            healthy: self.models.iter().filter(|view| view.usable()).count(),
        }
    }

    pub(crate) fn backend_count(&self) -> Count {
        let counts = self.models.iter().map(ModelView::count);
        counts.fold(Count::default(), |sum, count| Count {
            total: sum.total + count.total,
            enabled: sum.enabled + count.enabled,
            healthy: sum.healthy + count.healthy,
        })
    }

    /// A provider is healthy while all its endpoints are. One without an endpoint has given no
    /// reason to doubt it.
    pub(crate) fn provider_count(&self) -> Count {
        let enabled = self
            .config
            .providers
            .iter()
            .filter(|provider| provider.enabled);
        let mut healthy: BTreeMap<&str, bool> = enabled
            .map(|provider| (provider.id.as_str(), true))
            .collect();
        for ((provider, _), view) in self.endpoints() {
            let all = healthy.entry(provider);
            all.and_modify(|all| *all &= view.signals.healthy());
        }
        Count {
            total: self.config.providers.len(),
            enabled: healthy.len(),
            healthy: healthy.values().filter(|healthy| **healthy).count(),
        }
    }

    /// Returns `healthy`, `degraded` or `unhealthy`.
    pub(crate) fn status(&self) -> &'static str {
        let (models, backends) = (self.model_count(), self.backend_count());
        if models.enabled == 0 {
            return "degraded";
        }
        match (models.healthy, backends.healthy == backends.enabled) {
            (0, _) => "unhealthy",
            (healthy, true) if healthy == models.enabled => "healthy",
            _ => "degraded",
        }
    }

    /// Returns the member `load_balancer`: how many requests were given an endpoint, and by which
    /// strategies, since the process began.
    pub(crate) fn selections(&self) -> Value {
        let mut distribution = self.totals.selections();
        let models = self.models.iter().filter(|view| view.model.enabled);
        let in_use: BTreeSet<_> = models.map(|view| view.model.strategy).collect();
        distribution.retain(|strategy, count| *count > 0 || in_use.contains(strategy));
        json!({
            "total_selections": distribution.values().sum::<u64>(),
            "strategy_distribution": distribution,
        })
    }

    /// Returns the attempts on all endpoints there have been, and those of them that no endpoint
    /// failed.
    pub(crate) fn attempts(&self) -> (u64, u64) {
        let successes = self.totals.successes();
        (self.totals.attempts().max(successes), successes)
    }
}

/// Returns the share of successes; where nothing was tried, nothing has failed.
pub(crate) fn success_rate(attempts: u64, successes: u64) -> f64 {
    if attempts == 0 {
        1.0
    } else {
        successes as f64 / attempts as f64
    }
}

/// Returns the failures by kind, the kinds that occurred.
pub(crate) fn errors_by_kind(tally: &Tally) -> BTreeMap<&'static str, u64> {
    let kinds = FailureKind::ALL.iter().zip(tally.by_kind);
    kinds
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| (kind.as_str(), count))
        .collect()
}

/// Returns the mean; none of none.
pub(crate) fn mean(durations: impl Iterator<Item = Duration>) -> Option<Duration> {
    let (sum, count) = durations.fold((Duration::ZERO, 0), |(sum, count), duration| {
        (sum + duration, count + 1)
    });
    (count > 0).then(|| sum / count)
}

/// Returns whole milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
