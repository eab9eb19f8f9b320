//! The descriptions of the configuration that are kept beside the code.

use std::fmt::Write;

use berry_core::config::Reference;
use berry_loadbalance::STRATEGIES;

use crate::snapshot::Names;

/// Returns each file, by its path from the root of the project, and its text.
pub fn files() -> [(&'static str, String); 3] {
    let names = Names::collect();
    let vocabulary = names.vocabulary();
    let reference = Reference::new(&vocabulary);
    [
        ("config-example.toml", reference.example()),
        (
            "docs/configuration.md",
            reference.document() + &strategies(),
        ),
        ("schema/berry.schema.json", schema()),
    ]
}

/// Returns the JSON Schema of the file.
pub fn schema() -> String {
    let schema = Reference::new(&Names::collect().vocabulary()).schema();
    // A tree of texts and numbers has no way to fail.
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// Returns the example file.
pub fn example() -> String {
    Reference::new(&Names::collect().vocabulary()).example()
}

/// Returns what each strategy does, as the last part of the document.
fn strategies() -> String {
    let mut part = String::from(
        "\n## Strategies\n\n\
         [Balancing](balancing.md) compares them.\n\n\
         | `strategy` | chooses |\n|---|---|\n",
    );
    for entry in STRATEGIES {
        // Writing to a string cannot fail.
        let _ = writeln!(part, "| `{}` | {} |", entry.name, entry.description);
    }
    part
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use berry_core::{Config, Source};

    use super::*;

    fn loaded(text: &str) -> Config {
        let source = Source::new("example.toml", text);
        match Names::collect().parse(&source, &|_| None) {
            Ok(loaded) => loaded.config,
            Err(findings) => panic!("{}", findings.render(&source, false)),
        }
    }

    #[test]
    fn the_example_loads_and_has_every_strategy() {
        let config = loaded(&example());

        let models = config.models.iter();
        let shown: BTreeSet<_> = models.map(|model| model.strategy).collect();
        let known = STRATEGIES.iter().map(|entry| entry.name).collect();
        assert_eq!(shown, known);
    }

    #[test]
    fn the_example_says_the_defaults() {
        let example = example();
        let as_it_is = loaded(&example);
        let settings = example
            .split("# ── Where requests can go")
            .next()
            .unwrap_or_default();
        let lines = settings.lines().map(|line| {
            let uncommented = line.strip_prefix("# ").filter(|text| is_default(text));
            uncommented.unwrap_or(line)
        });
        let uncommented = lines.collect::<Vec<_>>().join("\n");

        let written = loaded(&uncommented);

        assert_eq!(written.settings, as_it_is.settings);
        assert_eq!(written.server, as_it_is.server);
        assert_eq!(written.telemetry, as_it_is.telemetry);
        assert_eq!(written.usage, as_it_is.usage);
    }

    /// Whether a comment is a key with its default, and no sentence and no sample.
    fn is_default(text: &str) -> bool {
        let samples = ["upstream_idle", "request_timeout", "tls_", "worker_threads"];
        text.split_once(" = ").is_some_and(|(key, _)| {
            !key.contains(' ') && !samples.iter().any(|sample| key.starts_with(sample))
        })
    }

    #[test]
    fn the_descriptions_are_what_the_code_says() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        for (path, text) in files() {
            let found = std::fs::read_to_string(format!("{root}/{path}")).unwrap_or_default();
            assert!(
                found == text,
                "`{path}` is stale: run `cargo run -p berry-relay --example reference`"
            );
        }
    }
}
