//! Where a key belongs that a table does not have.
//!
//! In TOML a key is part of the table whose header was last above it, and not of the one that its
//! author has in mind: what is written below `[[models.m.backends]]` is the backend's, whatever it says.

use super::file::{
    BackendFile, ConfidenceAdjustmentsFile, ConfigFile, ModelFile, ProviderFile, RateLimitFile,
    ServerFile, SettingsFile, SmartAiFile, TelemetryFile, UsageFile, UserFile,
};
use super::table::Table;

/// The tables, by their headers. Settings come first: a key of theirs is always meant for them.
const HOMES: [(&str, &[&str]); 11] = [
    ("[settings]", SettingsFile::KEYS),
    ("[settings.smart_ai]", SmartAiFile::KEYS),
    (
        "[settings.smart_ai.confidence_adjustments]",
        ConfidenceAdjustmentsFile::KEYS,
    ),
    ("[server]", ServerFile::KEYS),
    ("[telemetry]", TelemetryFile::KEYS),
    ("[usage]", UsageFile::KEYS),
    ("[providers.<id>]", ProviderFile::KEYS),
    ("[models.<key>]", ModelFile::KEYS),
    ("[[models.<key>.backends]]", BackendFile::KEYS),
    ("[users.<id>]", UserFile::KEYS),
    ("[users.<id>.rate_limit]", RateLimitFile::KEYS),
];

/// Whether any table, or the file itself, has such a key.
pub(super) fn is_key(word: &str) -> bool {
    let mut tables = HOMES.iter().map(|(_, keys)| *keys);
    ConfigFile::KEYS.contains(&word) || tables.any(|keys| keys.contains(&word))
}

/// Says under which header `key` belongs, which the table at `path` does not have; none where no
/// table has it, or several may be meant.
pub(super) fn help(path: &str, key: &str) -> Option<String> {
    outer(path, key).or_else(|| {
        let mut homes = HOMES.iter().filter(|(_, keys)| keys.contains(&key));
        let (home, _) = homes.next()?;
        let is_certain = *home == HOMES[0].0 || homes.next().is_none();
        is_certain.then(|| format!("it belongs under `{}`", named(home, path)))
    })
}

/// Returns the header of the one table that is called `name`, wherever it is.
pub(super) fn header_of(name: &str) -> Option<&'static str> {
    let mut headers = HOMES.iter().map(|(header, _)| *header);
    headers.find(|header| {
        let last = header.trim_matches(['[', ']']).rsplit('.').next();
        last == Some(name)
    })
}

/// Says so of a key that belongs to the table around the one it was written in.
fn outer(path: &str, key: &str) -> Option<String> {
    let (around, within, keys) = if let Some((model, _)) = path.rsplit_once(".backends[") {
        (model, format!("[[{model}.backends]]"), ModelFile::KEYS)
    } else {
        let user = path.strip_suffix(".rate_limit")?;
        (user, format!("[{path}]"), UserFile::KEYS)
    };
    keys.contains(&key)
        .then(|| format!("it belongs under `[{around}]`, above the first `{within}`"))
}

/// Puts the name that a path has in the place of the one that a header leaves open.
fn named(header: &str, path: &str) -> String {
    let mut steps = path.splitn(2, '.');
    let (Some(section), Some(name)) = (steps.next(), steps.next()) else {
        return header.to_owned();
    };
    let open = header.split(['<', '>']).nth(1).unwrap_or_default();
    if header.trim_start_matches('[').starts_with(section) && !open.is_empty() {
        header.replace(&format!("<{open}>"), name)
    } else {
        header.to_owned()
    }
}
