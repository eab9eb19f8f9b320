//! The descriptions of the configuration that are kept beside the code.

use berry_core::config::Reference;

use crate::snapshot::Names;

/// Returns each file, by its path from the root of the project, and its text.
pub fn files() -> [(&'static str, String); 2] {
    let names = Names::collect();
    let vocabulary = names.vocabulary();
    let reference = Reference::new(&vocabulary);
    // A tree of texts and numbers has no way to fail.
    let schema = serde_json::to_string_pretty(&reference.schema()).unwrap_or_default();
    [
        ("docs/configuration.md", reference.document()),
        ("schema/berry.schema.json", schema + "\n"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

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
