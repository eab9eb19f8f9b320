//! Resolves `[models.<key>]` and their backends.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::Resolver;
use super::provider::{Found, Providers};
use crate::config::diagnostic::Diagnostic;
use crate::config::file::{BackendFile, ModelFile};
use crate::config::model::{Affinity, Backend, BillingMode, Model, Prices};
use crate::config::provider::Provider;
use crate::config::reader::Field;
use crate::config::suggest;
use crate::config::table::{Entry, Named};
use crate::name::ModelName;

/// The strategy of a model that does not say which.
const DEFAULT_STRATEGY: &str = "weighted_failover";

impl Resolver<'_> {
    /// Resolves every model.
    pub(super) fn models(
        &mut self,
        table: &Field<Named<ModelFile>>,
        providers: &Providers<'_>,
    ) -> Vec<Arc<Model>> {
        let entries = table.value().map_or(&[][..], |table| &table.0);
        if entries.is_empty() && !table.is_refused() {
            self.findings.push(
                Diagnostic::warning("no models are configured: every request is refused")
                    .help("add a table `[models.<key>]`"),
            );
        }
        self.check_public_names(entries);
        entries
            .iter()
            .filter_map(|Entry { key, value }| {
                self.model(key, value.as_ref()?.get_ref(), providers)
            })
            .map(Arc::new)
            .collect()
    }

    /// Refuses public names under which an enabled model could be taken for another.
    fn check_public_names(&mut self, entries: &[Entry<ModelFile>]) {
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for Entry { key, value } in entries {
            let Some(file) = value.as_ref().map(Spanned::get_ref) else {
                continue;
            };
            let Field::Given(name) = &file.name else {
                continue;
            };
            if !file.enabled.or(true) {
                continue;
            }
            let (key, public) = (key.get_ref().as_str(), name.get_ref().as_str());
            if let Some(owner) = owners.get(public) {
                let message = format!("models `{owner}` and `{key}` have the same name `{public}`");
                self.error(name.span(), message);
            } else if public != key && entries.iter().any(|other| other.key.get_ref() == public) {
                let message =
                    format!("model `{key}` has the name `{public}`, which is another model's key");
                self.error(name.span(), message);
            }
            owners.entry(public).or_insert(key);
        }
    }

    /// Resolves one model.
    fn model(
        &mut self,
        key: &Spanned<String>,
        file: &ModelFile,
        providers: &Providers<'_>,
    ) -> Option<Model> {
        let parsed = self.name("a model's key", key, ModelName::parse);
        if file.name.is_absent() {
            let finding = Diagnostic::error(format!("model `{}` has no `name`", key.get_ref()))
                .at(key.span())
                .help(format!(
                    "write its public name, such as `name = \"{}\"`",
                    key.get_ref()
                ));
            self.findings.push(finding);
        }
        let strategy = match &file.strategy {
            Field::Absent => Some(DEFAULT_STRATEGY),
            Field::Refused => None,
            Field::Given(name) => self.term("strategy", self.vocabulary.strategies, name),
        };
        let enabled = file.enabled.or(true);
        if enabled {
            self.check_has_backend(key, file);
        }
        let backends = self.backends(key.get_ref(), file, providers);
        Some(Model {
            key: parsed?,
            name: file.name.value()?.clone(),
            enabled,
            strategy: strategy?,
            affinity: file.affinity.or(Affinity::default()),
            backends,
        })
    }

    /// Refuses a model that nobody could serve.
    fn check_has_backend(&mut self, key: &Spanned<String>, file: &ModelFile) {
        let id = key.get_ref();
        let (message, help) = match &file.backends {
            Field::Refused => return,
            Field::Given(rows)
                if rows
                    .get_ref()
                    .iter()
                    .any(|row| row.get_ref().enabled.or(true)) =>
            {
                return;
            }
            Field::Given(rows) if !rows.get_ref().is_empty() => {
                let message = format!("every backend of model `{id}` is disabled");
                let help = format!(
                    "enable one, or disable the model: `enabled = false` below `[models.{id}]`"
                );
                (message, help)
            }
            Field::Absent | Field::Given(_) => {
                let message = format!("model `{id}` has no backends");
                let help = format!("add a `[[models.{id}.backends]]`, or set `enabled = false`");
                (message, help)
            }
        };
        let finding = Diagnostic::error(message).at(key.span());
        self.findings.push(finding.help(help));
    }

    /// Resolves the backends of one model.
    fn backends(&mut self, key: &str, file: &ModelFile, providers: &Providers<'_>) -> Vec<Backend> {
        let mut backends: Vec<Backend> = Vec::new();
        for row in file.backends.value().into_iter().flatten() {
            let Some(backend) = self.backend(key, row.span(), row.get_ref(), providers) else {
                continue;
            };
            let same = |other: &Backend| {
                other.provider.id == backend.provider.id && other.model == backend.model
            };
            if backends.iter().any(same) {
                let span = row.get_ref().model.span().unwrap_or(row.span());
                let message = format!(
                    "model `{key}` has the backend `{}:{}` twice",
                    backend.provider.id, backend.model
                );
                self.error(span, message);
            }
            backends.push(backend);
        }
        backends
    }

    /// Resolves one backend.
    fn backend(
        &mut self,
        key: &str,
        row: Range<usize>,
        file: &BackendFile,
        providers: &Providers<'_>,
    ) -> Option<Backend> {
        for (field, name) in [(&file.provider, "provider"), (&file.model, "model")] {
            if field.is_absent() {
                self.error(
                    row.clone(),
                    format!("a backend of model `{key}` has no `{name}`"),
                );
            }
        }
        let provider = self.backend_provider(key, file, providers)?;
        let model = self.backend_model(file, &provider)?;
        Some(Backend {
            model: model.into(),
            weight: file.weight.or(1.0),
            priority: file
                .priority
                .value()
                .map_or(0, |&rank| u8::try_from(rank).unwrap_or(u8::MAX)),
            enabled: file.enabled.or(true),
            tags: file.tags.or(Vec::new()),
            billing: file.billing_mode.or(BillingMode::default()),
            prices: Prices {
                input: file.input_price.value().copied(),
                output: file.output_price.value().copied(),
                cached_input: file.cached_input_price.value().copied(),
                cache_write: file.cache_write_price.value().copied(),
                request: file.request_price.value().copied(),
            },
            provider,
        })
    }

    /// Finds the provider that a backend names.
    fn backend_provider(
        &mut self,
        key: &str,
        file: &BackendFile,
        providers: &Providers<'_>,
    ) -> Option<Arc<Provider>> {
        let written = file.provider.given()?;
        let id = written.get_ref();
        let provider = match providers.find(id) {
            Found::Valid(provider) => provider,
            Found::Faulty => return None,
            Found::Nothing => {
                let message = format!("model `{key}` uses provider `{id}`, which is not defined");
                let help = suggest::help(id, providers.ids());
                self.findings
                    .push(Diagnostic::error(message).at(written.span()).help_if(help));
                return None;
            }
        };
        if !provider.enabled && file.enabled.or(true) {
            let message = format!("model `{key}` uses provider `{id}`, which is disabled");
            self.warning(written.span(), message);
        }
        Some(Arc::clone(provider))
    }

    /// Checks the upstream model that a backend names.
    fn backend_model<'f>(&mut self, file: &'f BackendFile, provider: &Provider) -> Option<&'f str> {
        let written = file.model.given()?;
        let model = written.get_ref().as_str();
        if model.is_empty() {
            self.error(written.span(), "a backend's `model` is empty");
            return None;
        }
        let offered = provider.models.iter().map(|name| &**name);
        if !provider.models.is_empty() && !offered.clone().any(|name| name == model) {
            let message = format!(
                "model `{model}` is not in the `models` of provider `{}`",
                provider.id
            );
            let help = suggest::help(model, offered);
            self.findings
                .push(Diagnostic::error(message).at(written.span()).help_if(help));
        }
        Some(model)
    }
}
