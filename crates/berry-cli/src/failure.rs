//! How a command's failure is told: in words to people, as one JSON object to programs, on stderr
//! both times. The object is that of the gateway's own refusal of a reload.

use std::fmt;

use berry_core::{Diagnostics, Source};
use serde_json::json;

use crate::args::Format;
use crate::output;

/// A failure that the output has told already.
#[derive(Debug)]
pub(crate) struct Told;

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the command failed")
    }
}

impl std::error::Error for Told {}

/// A file with errors in it.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) source: Source,
    pub(crate) findings: Diagnostics,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` has errors", self.source.path().display())
    }
}

impl std::error::Error for Faulty {}

/// Tells why a command failed, with causes and findings.
pub(crate) fn tell(error: &anyhow::Error, format: Format) {
    if error.is::<Told>() {
        return;
    }
    let faulty = error.downcast_ref::<Faulty>();
    match (format, faulty) {
        (Format::Json, faulty) => {
            let reports =
                faulty.map_or_else(Vec::new, |faulty| faulty.findings.reports(&faulty.source));
            let told = json!({
                "error": { "message": format!("{error:#}") },
                "diagnostics": reports,
            });
            output::aside(&format!("{told}\n"));
        }
        (Format::Text, Some(Faulty { source, findings })) => {
            output::aside(&findings.render(source, output::is_colored()));
        }
        (Format::Text, None) => output::aside(&format!("error: {error:#}\n")),
    }
}
