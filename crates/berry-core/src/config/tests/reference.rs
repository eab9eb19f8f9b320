//! What describes the file, against the file.

use serde_json::Value as Json;

use super::{COMPLETE, PROTOCOLS, STRATEGIES};
use crate::config::{Reference, Vocabulary};

const VOCABULARY: Vocabulary<'_> = Vocabulary {
    strategies: &STRATEGIES,
    protocols: &PROTOCOLS,
};

/// Follows a path of a file into the schema.
fn find<'s>(schema: &'s Json, path: &[&str]) -> Option<&'s Json> {
    let Some((first, rest)) = path.split_first() else {
        return Some(schema);
    };
    let inner = schema.get("items").unwrap_or(schema);
    let found = inner["properties"].get(first).or_else(|| {
        let any = &inner["additionalProperties"];
        any.is_object().then_some(any)
    });
    find(found?, rest)
}

fn check(schema: &Json, value: &toml::Value, path: &str) {
    let kind = schema["type"].as_str().unwrap_or_default();
    match value {
        toml::Value::Table(table) => {
            assert_eq!(kind, "object", "{path}");
            for (key, value) in table {
                let inner = find(schema, &[key]).unwrap_or_else(|| panic!("{path}.{key}"));
                check(inner, value, &format!("{path}.{key}"));
            }
        }
        toml::Value::Array(items) => {
            assert_eq!(kind, "array", "{path}");
            for item in items {
                check(&schema["items"], item, path);
            }
        }
        toml::Value::Boolean(_) => assert_eq!(kind, "boolean", "{path}"),
        toml::Value::Integer(_) => assert!(["integer", "number"].contains(&kind), "{path}"),
        toml::Value::Float(_) => assert_eq!(kind, "number", "{path}"),
        toml::Value::String(_) | toml::Value::Datetime(_) => {
            assert_eq!(kind, "string", "{path}");
        }
    }
}

#[test]
fn the_schema_takes_a_file_with_every_key() {
    let schema = Reference::new(&VOCABULARY).schema();

    check(
        &schema,
        &COMPLETE.parse::<toml::Table>().unwrap().into(),
        "",
    );
}

#[test]
fn every_default_is_that_of_a_key_that_is_documented() {
    let reference = Reference::new(&VOCABULARY);
    let schema = reference.schema();

    for path in reference.defaults.keys() {
        let steps: Vec<_> = path.split('.').collect();
        assert!(find(&schema, &steps).is_some(), "{path}");
    }
}
