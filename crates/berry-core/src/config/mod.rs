//! From the text of a file to a configuration that is known to be valid.
//!
//! Two stages: the tables exactly as written (`file`), then the same thing resolved, where names
//! have become references and absent values defaults ([`Config`]). Both stages collect findings
//! and stop at none, so a user learns everything that is wrong in one pass. That a [`Config`]
//! exists is the proof that it was checked; it never changes, and is shared by `Arc`.
//!
//! Compiling it into what runs is not done here.

mod complaint;
mod conceal;
mod diagnostic;
mod diff;
mod dotted;
mod file;
mod home;
mod lint;
mod lookalike;
mod model;
mod nameless;
mod provider;
mod reader;
mod reference;
mod remedy;
mod render;
mod resolve;
mod scalar;
pub mod scenario;
mod sealed;
mod server;
mod settings;
mod source;
mod suggest;
mod syntax;
mod table;
mod url;
mod user;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use diff::{ConfigDiff, Listening};
pub use model::{Affinity, Backend, BillingMode, Model, Prices};
pub use provider::{HttpVersion, Provider, ProxyChoice, ResponseTimeout};
pub use reader::variable;
pub use reference::Reference;
pub use render::Report;
pub use resolve::weakness;
pub use sealed::{MASTER_KEY, MASTER_KEY_FILE, MasterKey, SealError, is_sealed};
pub use server::{ServerSettings, ServerTls, Telemetry, Usage};
pub use settings::{ConfidenceAdjustments, Settings, SmartAi, UpstreamIdle};
pub use source::{Source, SourceError};
pub use user::{AllowedModels, RateLimit, User};
pub use vocabulary::{Term, Vocabulary};

use file::ConfigFile;
use reader::Reader;
use resolve::Resolver;

/// Returns the help for a name that is none of the known ones: which of them may be meant, or all of
/// them where they are few.
pub fn suggestion<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    suggest::help(name, known)
}

/// A valid configuration. Lists are in file order, and disabled entries are among them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// How the gateway behaves as a whole.
    pub settings: Settings,
    /// How clients are served.
    pub server: ServerSettings,
    /// What is told to the outside about the process.
    pub telemetry: Telemetry,
    /// The ledger of what was used.
    pub usage: Usage,
    /// Where requests can go.
    pub providers: Vec<Arc<Provider>>,
    /// What clients can ask for.
    pub models: Vec<Arc<Model>>,
    /// Who may ask.
    pub users: Vec<Arc<User>>,
}

/// A valid configuration, and what its author should know about it all the same.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Findings, none of which is an error.
    pub warnings: Diagnostics,
}

impl Loaded {
    /// Adds findings that the surroundings of the configuration brought to light.
    ///
    /// # Errors
    /// Every finding, when one of them is an error.
    pub fn with(mut self, findings: Diagnostics) -> Result<Self, Diagnostics> {
        self.warnings.extend(findings, |_| true);
        self.warnings.sort();
        if self.warnings.has_errors() {
            return Err(self.warnings);
        }
        Ok(self)
    }
}

impl Config {
    /// Checks a file's text and resolves it.
    ///
    /// `environment` gives the value of a variable: one that the file names as `${NAME}`, or one that
    /// stands for a setting.
    ///
    /// # Errors
    /// Every finding, when one of them is an error.
    pub fn parse(
        source: &Source,
        vocabulary: &Vocabulary<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Loaded, Diagnostics> {
        let mut findings = Diagnostics::default();
        let mut mended = None;
        let parsed = syntax::parse(source, &mut mended, &mut findings);
        let mut config = Self::default();
        if let Some(tree) = &parsed.tree {
            let mut reader = Reader::default();
            let file: ConfigFile = table::read_table(tree, &mut reader);
            let mut judged = reader.findings;
            config = Resolver {
                vocabulary,
                environment,
                findings: &mut judged,
            }
            .config(&file);
            findings.extend(judged, |place| !parsed.is_guess(place));
            nameless::conceal(tree, &mut findings);
        }
        if source.is_public() && !findings.secrets.is_empty() {
            let message = "every user of this machine can read the keys and tokens in the file";
            let finding = Diagnostic::warning(message);
            let path = source.path().display();
            findings.push(finding.help(format!("take that right away: `chmod o-r {path}`")));
        }
        findings.sort();
        if findings.has_errors() {
            return Err(findings);
        }
        Ok(Loaded {
            config,
            warnings: findings,
        })
    }
}
