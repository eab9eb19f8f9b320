//! Provider protocols: how each is addressed and authorised.
//!
//! A protocol, not a provider, is the unit: whatever speaks OpenAI is one row. [`PROTOCOLS`] is the
//! vocabulary of `backend_type`.

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the relay does not translate yet")
)]
mod gemini;
mod openai;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the relay does not translate yet")
)]
mod translate;

use berry_core::{Secret, Term};
use http::header::{HeaderName, HeaderValue, InvalidHeaderValue};
use http::uri::{InvalidUri, Uri};

use crate::exchange::Operation;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// The name in configuration, logs and metrics.
    pub name: &'static str,
    /// Other spellings that configurations use.
    pub aliases: &'static [&'static str],
    /// Returns where an operation is asked for, given the configured base URL.
    pub(crate) url: fn(&Uri, Operation) -> Result<Uri, InvalidUri>,
    /// Returns where the list of models is asked for.
    pub(crate) models: fn(&Uri) -> Result<Uri, InvalidUri>,
    /// Returns the header that carries the key.
    pub(crate) credential: fn(&Secret) -> Result<(HeaderName, HeaderValue), InvalidHeaderValue>,
}

/// All protocols there are.
pub const PROTOCOLS: &[Protocol] = &[Protocol {
    name: "openai",
    aliases: &["open_a_i", "open_ai"],
    url: openai::url,
    models: openai::models,
    credential: openai::credential,
}];

/// Names that the documents promise and this version does not have yet, with their other spellings.
const PLANNED: &[(&str, &[&str])] = &[
    ("claude", &["anthropic"]),
    ("gemini", &["google"]),
    ("azure", &[]),
];

/// Returns the names as the configuration checks them.
pub(crate) fn vocabulary() -> Vec<Term> {
    let built = PROTOCOLS.iter().map(|row| (row.name, row.aliases, true));
    let planned = PLANNED
        .iter()
        .map(|&(name, aliases)| (name, aliases, false));
    built
        .chain(planned)
        .map(|(name, aliases, available)| Term {
            name,
            aliases,
            available,
        })
        .collect()
}

/// Returns the protocol of this name.
pub(crate) fn find(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS.iter().find(|row| row.name == name)
}
