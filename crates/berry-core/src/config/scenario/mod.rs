//! What a simulation plays: traffic, endpoints, and what goes wrong with them when.
//!
//! A scenario is read like a configuration: every key, type and range is declared in `file`, and
//! all findings are reported at once, with their places.

mod file;

use std::ops::Range;
use std::time::Duration;

use super::diagnostic::Diagnostics;
use super::model::{BillingMode, Prices};
use super::source::Source;
use super::{reader::Reader, syntax, table};
use crate::name::{ProviderName, Tag};

use file::ScenarioFile;

/// A valid scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What happens in it, in one sentence.
    pub description: String,
    /// How long the traffic goes on.
    pub duration: Duration,
    /// The mean rate at which requests arrive, independently of each other.
    pub requests_per_minute: f64,
    /// The share of requests that ask for a stream.
    pub streamed: f64,
    /// Tokens that the average request has.
    pub input_tokens: f64,
    /// Tokens that the average answer has.
    pub output_tokens: f64,
    /// The endpoints to play with where no configuration names any, and how those of these names
    /// answer.
    pub backends: Vec<Site>,
    /// What goes wrong.
    pub faults: Vec<ScriptedFault>,
}

/// An endpoint of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// What the scenario calls it: `provider` or `provider:model`.
    pub name: String,
    /// The provider in that name.
    pub provider: ProviderName,
    /// The model in that name; empty where it has none.
    pub model: Box<str>,
    /// How it answers while nothing is wrong.
    pub traits: SiteTraits,
    /// Its share.
    pub weight: f64,
    /// Its rank for `failover`.
    pub priority: u8,
    /// Its tags; `premium` means something to `smart_ai`.
    pub tags: Vec<Tag>,
    /// What costs money there.
    pub billing: BillingMode,
    /// What it costs.
    pub prices: Prices,
}

/// How an endpoint answers while nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SiteTraits {
    /// The median time to first content.
    pub latency: Duration,
    /// The standard deviation of that time's logarithm: 0 for always the same, 0.4 for a usual
    /// provider.
    pub spread: f64,
    /// The share of requests that fail for no reason.
    pub error_share: f64,
}

impl Default for SiteTraits {
    /// A hosted model of the middle class; one request in five hundred fails.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(800),
            spread: 0.4,
            error_share: 0.002,
        }
    }
}

/// Something that goes wrong with an endpoint for a time.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptedFault {
    /// With whom.
    pub backend: Whom,
    /// What.
    pub kind: FaultKind,
    /// From when, after the start.
    pub from: Duration,
    /// Until when; without it to the end.
    pub until: Option<Duration>,
}

/// Which endpoints a fault is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// Each of them.
    All,
    /// The one whose average request costs least; the first of equals.
    Cheapest,
    /// The one whose average request costs most; the last of equals.
    Dearest,
    /// The first of the file.
    First,
    /// Those of this name, written at this place of the file.
    Named(String, Range<usize>),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultKind {
    /// No connection.
    Down,
    /// No answer, for as long as anybody waits.
    Hanging,
    /// A share of the requests is answered with a 5xx.
    BrownOut {
        /// Which share.
        share: f64,
    },
    /// Down and up by turns.
    Flapping {
        /// How long each turn lasts.
        period: Duration,
    },
    /// Every answer takes longer.
    Slow {
        /// By this factor.
        factor: f64,
    },
    /// More requests than so many in a minute are answered with a 429.
    RateCapped {
        /// How many are answered.
        requests_per_minute: u32,
        /// The `Retry-After` of the others.
        retry_after: Option<Duration>,
    },
    /// The credential is refused.
    Refused,
}

impl Scenario {
    /// Checks a file's text and resolves it.
    ///
    /// # Errors
    /// Every finding, when one of them is an error.
    pub fn parse(source: &Source) -> Result<Self, Diagnostics> {
        let mut findings = Diagnostics::default();
        let mut mended = None;
        let parsed = syntax::parse(source, &mut mended, &mut findings);
        let mut scenario = None;
        if let Some(tree) = &parsed.tree {
            let mut reader = Reader::default();
            let file: ScenarioFile = table::read_table(tree, &mut reader);
            scenario = file.resolve(&mut reader.findings);
            findings.extend(reader.findings, |span| !parsed.is_guess(span));
        }
        findings.sort();
        match scenario {
            Some(scenario) if !findings.has_errors() => Ok(scenario),
            _ => Err(findings),
        }
    }
}

#[cfg(test)]
mod tests;
