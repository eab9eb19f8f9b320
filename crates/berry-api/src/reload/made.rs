//! What a file is made into before anything of it is served: all of it, or what is wrong.
//!
//! This takes the time of a reload, and runs beside the requests.

use std::fs::File;
use std::sync::Arc;

use berry_core::Source;
use berry_core::config::Listening;
use berry_loadbalance::{Plan, Registry};
use berry_relay::{Names, Snapshot, UpstreamProber};
use rustls::ServerConfig;

use super::{Findings, ReloadError, plan};
use crate::audit;
use crate::env;
use crate::gateway::Gateway;
use crate::telemetry::trace::Target;
use crate::tls;

/// See the module's documentation.
pub(super) struct Made {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Where traces go.
    pub(super) target: Option<Arc<Target>>,
    pub(super) audit: Option<File>,
    pub(super) plan: Plan<UpstreamProber>,
    pub(super) warnings: Findings,
}

impl Made {
    /// Makes what a source says; how it is served now says what of that can change.
    ///
    /// # Errors
    /// It is faulty, changes what cannot change, or needs what is not there.
    pub(super) fn of(
        source: Source,
        registry: &Registry,
        gateway: &Gateway,
        listening: Listening,
    ) -> Result<Self, ReloadError> {
        let (current, now) = (gateway.snapshot(), gateway.clock.now());
        let invalid = |diagnostics, source| {
            ReloadError::Invalid(Findings {
                diagnostics,
                source,
            })
        };
        let loaded = match Names::collect().parse(&source, &|name| env::read(name)) {
            Ok(loaded) => loaded,
            Err(diagnostics) => return Err(invalid(diagnostics, source)),
        };
        let next = &loaded.config;
        let fixed = current.config.fixed_keys(next, &source, listening);
        if !fixed.is_empty() {
            return Err(invalid(fixed, source));
        }
        let tls = match tls::load(&loaded.config, &source) {
            Ok(tls) => tls,
            Err(diagnostics) => return Err(invalid(diagnostics, source)),
        };
        let audit = audit::open(loaded.config.settings.audit_log.as_deref())?;
        let before = Some((&*current, now));
        let snapshot = Snapshot::compile(Arc::new(loaded.config), registry, before)?;
        Ok(Self {
            tls,
            target: gateway.tracer.prepare(&snapshot.config.telemetry)?,
            audit,
            plan: plan(&snapshot),
            snapshot: Arc::new(snapshot),
            warnings: Findings {
                diagnostics: loaded.warnings,
                source,
            },
        })
    }
}
