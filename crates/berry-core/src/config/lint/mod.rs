//! What is legal in a configuration and probably not meant.
//!
//! Asked for by whoever checks a file, and not at every start: an operator who has read these
//! findings and keeps the file as it is should not read them again each time.

mod address;
mod backend;
mod settings;

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use toml::Spanned;
use toml::de::DeTable;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::source::Source;
use super::table::entry;
use super::vocabulary::{Term, Vocabulary};
use super::{Backend, Config, Loaded, Model, Provider, User};

impl Loaded {
    /// Adds a warning for everything in this configuration, read from `source` and looked at `now`, that
    /// is legal and probably not meant.
    #[must_use]
    pub fn linted(mut self, source: &Source, vocabulary: &Vocabulary<'_>, now: Timestamp) -> Self {
        let tree = DeTable::parse(source.text());
        let mut lint = Lint {
            config: &self.config,
            strategies: vocabulary.strategies,
            tree: tree.ok().map(Spanned::into_inner),
            findings: Diagnostics::default(),
        };
        lint.unused_providers();
        lint.twin_providers();
        lint.addresses_of_another_protocol();
        lint.models_and_backends_of_nobody(now);
        lint.users_of_nothing();
        lint.users_of_the_past(now);
        lint.ignored_keys();
        lint.missing_prices();
        lint.odd_prices();
        lint.contradictory_settings();
        lint.the_gateway_itself();
        lint.keys_in_clear_text();
        let findings = lint.findings;
        self.warnings.extend(findings, |_| true);
        self.warnings.sort();
        self
    }
}

struct Lint<'a> {
    config: &'a Config,
    strategies: &'a [Term],
    tree: Option<DeTable<'a>>,
    findings: Diagnostics,
}

impl<'a> Lint<'a> {
    fn warn(&mut self, path: &[&str], message: String, help: Option<&str>) {
        let mut finding = Diagnostic::warning(message).help_if(help.map(str::to_owned));
        if let Some(span) = self.place(path) {
            finding = finding.at(span);
        }
        self.findings.push(finding);
    }

    /// Returns where the last key of a path is, as far as the file goes along it.
    fn place(&self, path: &[&str]) -> Option<Range<usize>> {
        let mut table = self.tree.as_ref();
        let mut place = None;
        for step in path {
            let Some((key, value)) = table.and_then(|table| entry(table, step)) else {
                break;
            };
            place = Some(key);
            table = value.get_ref().as_table();
        }
        place
    }

    /// Whether the file has the key at the end of a path, rather than leaving it at its default.
    fn is_written(&self, path: &[&str]) -> bool {
        let Some((_, table)) = path.split_last() else {
            return false;
        };
        self.place(path) != self.place(table)
    }

    /// Returns where a model has its backend of this number.
    fn row(&self, model: &str, number: usize) -> Option<Range<usize>> {
        let models = entry(self.tree.as_ref()?, "models")?
            .1
            .get_ref()
            .as_table()?;
        let model = entry(models, model)?.1.get_ref().as_table()?;
        let rows = entry(model, "backends")?.1.get_ref().as_array()?;
        rows.get(number).map(Spanned::span)
    }

    /// Warns about one backend of a model.
    fn warn_row(&mut self, model: &Model, backend: &Backend, message: String, help: Option<&str>) {
        let mut rows = model.backends.iter();
        let number = rows.position(|row| std::ptr::eq(row, backend));
        let span = number.and_then(|number| self.row(model.key.as_str(), number));
        let finding = Diagnostic::warning(message).help_if(help.map(str::to_owned));
        self.findings.push(match span {
            Some(span) => finding.at(span),
            None => finding,
        });
    }

    fn served(&self) -> impl Iterator<Item = &'a Arc<Model>> + use<'a> {
        self.config.models.iter().filter(|model| model.enabled)
    }

    fn users(&self) -> impl Iterator<Item = &'a Arc<User>> + Clone + use<'a> {
        self.config.users.iter().filter(|user| user.enabled)
    }

    fn providers(&self) -> impl Iterator<Item = &'a Arc<Provider>> + Clone + use<'a> {
        self.config
            .providers
            .iter()
            .filter(|provider| provider.enabled)
    }

    fn unused_providers(&mut self) {
        for provider in self.providers() {
            let mut backends = self.served().flat_map(|model| active(model));
            if !backends.any(|backend| backend.provider.id == provider.id) {
                let id = provider.id.as_str();
                let message = format!("provider `{id}` is used by no model");
                self.warn(&["providers", id], message, None);
            }
        }
    }

    fn models_and_backends_of_nobody(&mut self, now: Timestamp) {
        let is_current = |user: &&Arc<User>| user.expires_at.is_none_or(|end| end > now);
        let everybody = self.users().filter(is_current);
        if everybody.clone().next().is_none() {
            // A file without any user is warned about wherever it is read.
            if !self.config.users.is_empty() {
                let message = "all users are disabled or have expired".to_owned();
                let help = "every request is answered with 401 until one of them is let in";
                self.warn(&["users"], message, Some(help));
            }
            return;
        }
        // A model whose providers are disabled is warned about wherever a file is read.
        for model in self.served().filter(|model| active(model).next().is_some()) {
            let key = model.key.as_str();
            let users = || everybody.clone().filter(|user| user.may_use(model));
            let may = |backend: &&Backend| users().any(|user| user.may_use_backend(&backend.tags));
            if !active(model).any(|backend| may(&backend)) {
                let message = format!("no user may use model `{key}`");
                let help =
                    "look at `allowed_models` and `tags` of the users, and `tags` of its backends";
                self.warn(&["models", key], message, Some(help));
                continue;
            }
            for backend in active(model).filter(|backend| !may(backend)) {
                let message = format!(
                    "the backend `{}:{}` of model `{key}` can never be chosen: no user of the model \
                     has one of its tags",
                    backend.provider.id, backend.model
                );
                self.warn_row(model, backend, message, None);
            }
        }
    }

    fn users_of_nothing(&mut self) {
        for user in self.users() {
            let mut allowed = self.served().filter(|model| user.may_use(model)).peekable();
            let id = user.id.as_str();
            if self.config.models.is_empty() {
                return;
            }
            let is_idle = allowed.peek().is_none();
            let mut backends = allowed.flat_map(|model| active(model)).peekable();
            if is_idle {
                let message = format!("user `{id}` may use no model that is served");
                self.warn(&["users", id, "allowed_models"], message, None);
            } else if backends.peek().is_some()
                && !backends.any(|backend| user.may_use_backend(&backend.tags))
            {
                let message = format!("the tags of user `{id}` match no backend");
                let help = "every request is answered with 403 `no_backend_for_user`";
                self.warn(&["users", id, "tags"], message, Some(help));
            }
        }
    }

    fn users_of_the_past(&mut self, now: Timestamp) {
        for user in self.users() {
            let Some(end) = user.expires_at.filter(|end| *end <= now) else {
                continue;
            };
            let id = user.id.as_str();
            let message = format!("the token of user `{id}` has expired, at {end}");
            self.warn(&["users", id, "expires_at"], message, None);
        }
    }
}

/// The backends that get requests.
fn active(model: &Model) -> impl Iterator<Item = &Backend> + Clone {
    let backends = model.backends.iter();
    backends.filter(|backend| backend.enabled && backend.provider.enabled)
}
