//! What a file becomes, and what its author is told.
//!
//! `syntax`, `mistyped`, `misplaced`, `values`, `providers`, `models` and `users` show findings as a
//! terminal does; `lint` and `odd` do so with what is legal and odd, and `secrets` with keys and tokens that
//! are none; `plausible` has one mistake after the other. `resolved` looks at the configuration
//! that comes out, `reference` and `schema` at what describes it, `alive` at what other tests make of it;
//! `mutation` breaks a good file in every way it can think of.

mod alive;
mod lint;
mod misplaced;
mod mistyped;
mod models;
mod mutation;
mod odd;
mod plausible;
mod providers;
mod reference;
mod resolved;
mod schema;
mod secrets;
mod syntax;
mod users;
mod values;

use super::{Config, Diagnostics, Loaded, Source, Term, Vocabulary};

const STRATEGIES: [Term; 4] = [
    Term {
        ignores: &["priority"],
        ..term("weighted_failover", &[], true)
    },
    Term {
        ignores: &["weight"],
        ..term("failover", &[], true)
    },
    Term {
        ignores: &["weight", "priority"],
        ..term("round_robin", &[], true)
    },
    Term {
        ignores: &["priority"],
        ..term("smart_ai", &[], false)
    },
];

const PROTOCOLS: [Term; 4] = [
    term("openai", &["open_ai"], true),
    term("claude", &["anthropic"], true),
    term("gemini", &["google"], false),
    term("azure", &[], true),
];

/// Every key that a file can have.
const COMPLETE: &str = include_str!("complete.toml");

const fn term(name: &'static str, aliases: &'static [&'static str], available: bool) -> Term {
    Term {
        name,
        aliases,
        ignores: &[],
        available,
    }
}

/// Knows one variable.
fn environment(name: &str) -> Option<String> {
    (name == "OPENAI_API_KEY").then(|| "sk-from-the-environment\n".to_owned())
}

/// Takes a text as a file, without the indentation it has in the source of a test.
fn source(text: &str) -> Source {
    let indentation = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or_default();
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.get(indentation..).unwrap_or_default())
        .collect();
    Source::new("config.toml", lines.join("\n").trim_start())
}

fn parse(text: &str) -> Result<Loaded, Diagnostics> {
    parse_knowing(&PROTOCOLS, text)
}

/// Parses a file where these protocols are known.
fn parse_knowing(protocols: &[Term], text: &str) -> Result<Loaded, Diagnostics> {
    let vocabulary = Vocabulary {
        strategies: &STRATEGIES,
        protocols,
    };
    Config::parse(&source(text), &vocabulary, &environment)
}

/// Returns the configuration of a file that has no errors.
fn config(text: &str) -> Config {
    parse(text)
        .unwrap_or_else(|findings| panic!("{}", findings.render(&source(text), false)))
        .config
}

/// Returns the findings about a file without their places: what is wrong, and what to do.
fn told(shown: &str) -> String {
    let lines = shown.lines().map(str::trim_start);
    let told = lines.filter(|line| {
        ["error: ", "warning: ", "= help: "]
            .iter()
            .any(|start| line.starts_with(start))
    });
    told.collect::<Vec<_>>().join("\n")
}

/// Returns what a terminal shows about a file.
fn all_findings(text: &str) -> String {
    parse(text)
        .map_or_else(|findings| findings, |loaded| loaded.warnings)
        .render(&source(text), false)
}

/// Returns what a terminal shows about a part of a file: everything but what it lacks as a whole.
fn findings(text: &str) -> String {
    findings_knowing(&PROTOCOLS, text)
}

/// Does as [`findings`], where these protocols are known.
fn findings_knowing(protocols: &[Term], text: &str) -> String {
    let all =
        parse_knowing(protocols, text).map_or_else(|findings| findings, |loaded| loaded.warnings);
    let mut shown = Diagnostics::default();
    for finding in all
        .iter()
        .filter(|finding| !finding.message.contains("are configured:"))
    {
        shown.push(finding.clone());
    }
    all.secrets
        .into_iter()
        .for_each(|secret| shown.conceal(secret));
    shown.render(&source(text), false)
}
