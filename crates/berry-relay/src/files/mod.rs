//! The files that a configuration names, looked at before anything depends on them.
//!
//! Whoever checks a configuration asks the same questions as whoever is about to serve it, so that what is
//! approved can start. Looking changes nothing: no file and no folder is made. A provider's `ca_file`
//! is not among them, since a configuration is not compiled without it.

mod certificate;
mod database;
mod writable;

use std::path::Path;

use berry_core::config::Diagnostic;
use berry_core::{Diagnostics, Loaded, Source};

pub use certificate::server_certificate;
pub use database::LEDGER;

/// The variable that names a log file in the configuration's place.
const LOG_FILE: &str = "LOG_FILE";

/// Adds what is wrong with the files that a configuration, read from `source`, names.
///
/// # Errors
/// All findings, when the gateway would not start.
pub fn check(
    loaded: Loaded,
    source: &Source,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Diagnostics> {
    let config = &loaded.config;
    let mut findings = server_certificate(config, source).err().unwrap_or_default();
    let is_told = environment(LOG_FILE).is_some_and(|path| !path.is_empty());
    let log = config.telemetry.log_file.as_deref().filter(|_| !is_told);
    let audit = config.settings.audit_log.as_deref();
    for (section, key, path) in [
        ("telemetry", "log_file", log),
        ("settings", "audit_log", audit),
    ] {
        if let Some((path, obstacle)) = path.and_then(obstacle) {
            let message = format!("`{key}` `{path}` cannot be written: {obstacle}");
            let finding = Diagnostic::error(message).help(HELP);
            findings.push(finding.at_key(source, section, key));
        }
    }
    if let Some(path) = &config.usage.database
        && let Some((shown, obstacle, help)) = ledger_obstacle(path)
    {
        // The gateway serves all the same, and tries again.
        let message = format!("no ledger can be kept in `{shown}`: {obstacle}");
        let finding = Diagnostic::warning(message).help(help);
        findings.push(finding.at_key(source, "usage", "database"));
    }
    loaded.with(findings)
}

/// What to do about a file that cannot be written.
const HELP: &str = "name a file that the gateway's user may write";

/// Returns a path as it is shown, and what keeps a file from being written there.
fn obstacle(path: &Path) -> Option<(String, String)> {
    let obstacle = writable::obstacle(path)?;
    Some((path.display().to_string(), obstacle))
}

/// Returns the same of a file that a ledger is to be kept in, and what to do about it.
fn ledger_obstacle(path: &Path) -> Option<(String, String, &'static str)> {
    if let Some((shown, obstacle)) = obstacle(path) {
        return Some((shown, obstacle, HELP));
    }
    let owner = database::other_owner(path)?;
    Some((
        path.display().to_string(),
        owner.to_owned(),
        "give the ledger a file of its own",
    ))
}

#[cfg(test)]
mod tests;
