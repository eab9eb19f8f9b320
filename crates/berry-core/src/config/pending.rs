//! Settings that are checked and have no effect yet, in one place.
//!
//! A setting that silently does nothing is a lie, so each of these is warned about where a file
//! sets it. A row goes when its feature comes; in the end the table is empty and this file gone.

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::reader::Written;
use super::table::in_file_order;

/// A path, in which `*` is any key and arrays do not count, and what is missing.
pub(super) struct Pending(pub(super) &'static str, pub(super) &'static str);

/// The settings without effect, in the order of the reference.
pub(super) const PENDING: &[Pending] = &[
    Pending("telemetry.otlp_endpoint", "traces are not sent"),
    Pending("telemetry.sample_ratio", "traces are not sent"),
    Pending("telemetry.service_name", "traces are not sent"),
];

/// Warns about every key of the file that has no effect yet.
pub(super) fn warn(file: &DeTable<'_>, findings: &mut Diagnostics) {
    for Pending(path, missing) in PENDING {
        warn_table(file, path, missing, findings);
    }
}

/// Follows one path into a table.
fn warn_table(table: &DeTable<'_>, path: &str, missing: &str, findings: &mut Diagnostics) {
    let (step, rest) = path
        .split_once('.')
        .map_or((path, None), |(step, rest)| (step, Some(rest)));
    for (key, value) in in_file_order(table) {
        if step != "*" && step != key.get_ref() {
            continue;
        }
        match rest {
            Some(rest) => warn_value(value, rest, missing, findings),
            None => findings.push(
                Diagnostic::warning(format!("`{}` has no effect yet: {missing}", key.get_ref()))
                    .at(key.span()),
            ),
        }
    }
}

/// Follows one path into a table, or into every table of an array.
fn warn_value(value: &Written<'_>, path: &str, missing: &str, findings: &mut Diagnostics) {
    match value.get_ref() {
        DeValue::Table(table) => warn_table(table, path, missing, findings),
        DeValue::Array(items) => {
            items
                .iter()
                .for_each(|item| warn_value(item, path, missing, findings));
        }
        _ => {}
    }
}
