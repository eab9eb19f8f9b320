//! From the file as written to a [`Config`]: names become references, absences defaults.
//!
//! Every finding that depends on more than one value is made here, section by section, and none
//! stops the others. What did not fit when it was read is stepped over in silence: it was
//! reported, and a second finding about the same mistake would only hide the others.

mod model;
mod provider;
mod secret;
mod server;
mod settings;
mod user;

pub use user::weakness;

use std::ops::Range;

use toml::Spanned;

use super::Config;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::file::ConfigFile;
use super::suggest;
use super::vocabulary::{self, Term, Vocabulary};
use crate::name::NameError;

/// What resolving needs from outside, and where its findings go.
pub(super) struct Resolver<'a> {
    /// The names that the crates above implement.
    pub(super) vocabulary: &'a Vocabulary<'a>,
    /// The environment's variables.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    /// What was found so far.
    pub(super) findings: &'a mut Diagnostics,
}

impl Resolver<'_> {
    /// Resolves the whole file. What comes out is valid only when no error was found.
    pub(super) fn config(&mut self, file: &ConfigFile) -> Config {
        let settings = self.settings(&file.settings);
        let providers = self.providers(&file.providers, &settings);
        let models = self.models(&file.models, &providers);
        let providers = providers.into_resolved();
        let users = self.users(&file.users, &file.models, &providers);
        Config {
            settings,
            server: self.server(&file.server),
            telemetry: server::telemetry(&file.telemetry),
            usage: self.usage(&file.usage),
            providers,
            models,
            users,
        }
    }

    /// Reports an error at a place.
    fn error(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.findings.push(Diagnostic::error(message).at(span));
    }

    /// Reports a warning at a place.
    fn warning(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.findings.push(Diagnostic::warning(message).at(span));
    }

    /// Parses a key of a table as a name.
    fn name<N>(
        &mut self,
        what: &str,
        key: &Spanned<String>,
        parse: fn(&str) -> Result<N, NameError>,
    ) -> Option<N> {
        let text = key.get_ref();
        parse(text)
            .map_err(|why| self.error(key.span(), format!("`{text}` cannot be {what}: {why}")))
            .ok()
    }

    /// Returns the term that the file names, if the crates above implement it.
    fn term(
        &mut self,
        what: &str,
        terms: &[Term],
        written: &Spanned<String>,
    ) -> Option<&'static str> {
        let text = written.get_ref();
        let available = terms
            .iter()
            .filter(|term| term.available)
            .map(|term| term.name);
        let finding = match vocabulary::find(terms, text) {
            Some(term) if term.available => return Some(term.name),
            Some(term) => {
                let list = suggest::list(available).map(|list| format!("use {list}"));
                unavailable(what, term).help_if(list)
            }
            None => Diagnostic::error(format!("unknown {what} `{text}`"))
                .help_if(suggest::help(text, available)),
        };
        self.findings.push(finding.at(written.span()));
        None
    }
}

/// Says that a term is known and not yet built.
fn unavailable(what: &str, term: &Term) -> Diagnostic {
    Diagnostic::error(format!("{what} `{}` is not available yet", term.name))
}
