//! What came of the checks of providers, as it is told.

use std::io;

use berry_core::Provider;
use serde::Serialize;

use crate::args::Format;
use crate::failure::Told;
use crate::output::{self, Table};
use crate::probing::Check;

/// What came of one check.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) provider: String,
    /// None where the provider as a whole was asked.
    pub(crate) model: Option<String>,
    /// None where nothing was asked.
    pub(crate) check: Option<Check>,
    pub(crate) result: &'static str,
    pub(crate) latency_ms: Option<u128>,
    /// Why it failed or was skipped.
    pub(crate) cause: Option<String>,
}

impl Outcome {
    fn is_failure(&self) -> bool {
        self.result == FAILED
    }

    pub(crate) fn skipped(provider: &Provider, model: Option<&str>, cause: &str) -> Self {
        Self {
            provider: provider.id.to_string(),
            model: model.map(str::to_owned),
            check: None,
            result: SKIPPED,
            latency_ms: None,
            cause: Some(cause.to_owned()),
        }
    }
}

pub(crate) const PASSED: &str = "passed";
pub(crate) const FAILED: &str = "failed";
pub(crate) const UNKNOWN: &str = "unknown";
pub(crate) const SKIPPED: &str = "skipped";

/// Prints what came of the checks, by provider.
pub(crate) fn print(outcomes: &[Outcome]) -> anyhow::Result<()> {
    for group in outcomes.chunk_by(|a, b| a.provider == b.provider) {
        let [first, ..] = group else { continue };
        output::line(&verdict(&first.provider, group))?;
        output::text(&table(group).to_string())?;
    }
    Ok(())
}

/// Prints what came of the checks of one backend.
///
/// # Errors
/// A check failed.
pub(crate) fn report_one(
    outcomes: &[Outcome],
    format: Format,
    passed: &str,
    failed: &str,
) -> anyhow::Result<()> {
    if format == Format::Json {
        output::json(&outcomes)?;
    } else {
        let any_failed = outcomes.iter().any(Outcome::is_failure);
        output::text(&table(outcomes).to_string())?;
        output::line(if any_failed { failed } else { passed })?;
    }
    fail_if_any(outcomes)
}

/// Returns what the checks of a provider say of it.
fn verdict(id: &str, checks: &[Outcome]) -> String {
    let any = |result| checks.iter().any(|check| check.result == result);
    if any(FAILED) {
        format!("❌ Provider {id} is unhealthy")
    } else if any(PASSED) {
        format!("✅ Provider {id} is healthy")
    } else if any(UNKNOWN) {
        format!("➖ Provider {id} tells nothing of its health")
    } else {
        format!("➖ Provider {id} is not asked")
    }
}

/// Prints what all of it comes to, the last line of the checks of several providers.
pub(crate) fn conclude(outcomes: &[Outcome]) -> io::Result<()> {
    let groups = || outcomes.chunk_by(|a, b| a.provider == b.provider);
    let is_asked = |group: &&[Outcome]| group.iter().any(|one| one.result != SKIPPED);
    let failed = groups().filter(|group| group.iter().any(Outcome::is_failure));
    let failed = failed.filter_map(<[Outcome]>::first);
    let failed: Vec<&str> = failed.map(|one| &*one.provider).collect();
    match (failed.len(), groups().filter(is_asked).count()) {
        (_, 0) => Ok(()),
        (0, _) => output::line("✅ Health check completed"),
        (count, all) => output::line(&format!(
            "❌ Health check failed: {count} of {all} unhealthy: {}",
            failed.join(", ")
        )),
    }
}

/// Fails a command of which a check failed, as its output has said.
pub(crate) fn fail_if_any(outcomes: &[Outcome]) -> anyhow::Result<()> {
    if outcomes.iter().any(Outcome::is_failure) {
        return Err(Told.into());
    }
    Ok(())
}

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::indented();
    for outcome in outcomes {
        table.row([
            outcome.model.clone().unwrap_or_default(),
            outcome.check.map_or("-", Check::as_str).to_owned(),
            outcome.result.to_owned(),
            outcome
                .latency_ms
                .map_or("-".to_owned(), |latency| format!("{latency} ms")),
            outcome.cause.clone().unwrap_or_default(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_healthy_when_a_check_has_passed_and_none_failed() {
        for (results, expected) in [
            (&[PASSED, UNKNOWN, SKIPPED][..], "✅ Provider a is healthy"),
            (&[PASSED, FAILED], "❌ Provider a is unhealthy"),
            (
                &[UNKNOWN, SKIPPED],
                "➖ Provider a tells nothing of its health",
            ),
            (&[SKIPPED], "➖ Provider a is not asked"),
        ] {
            let outcome = |result: &&'static str| Outcome {
                provider: "a".to_owned(),
                model: None,
                check: None,
                result,
                latency_ms: None,
                cause: None,
            };
            let checks: Vec<_> = results.iter().map(outcome).collect();

            assert_eq!(verdict("a", &checks), expected);
        }
    }
}
