//! What describes the file, against the file.

use serde_json::Value as Json;

use super::{COMPLETE, PROTOCOLS, STRATEGIES, alive, all_findings};
use crate::config::{Reference, Vocabulary};

pub(super) const VOCABULARY: Vocabulary<'_> = Vocabulary {
    strategies: &STRATEGIES,
    protocols: &PROTOCOLS,
};

/// Follows a path of a file into the schema.
pub(super) fn find<'s>(schema: &'s Json, path: &[&str]) -> Option<&'s Json> {
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

/// Whether a file has a value at a path, in any of its tables and arrays.
fn has(value: &toml::Value, path: &[&str]) -> bool {
    match (value, path) {
        (_, []) => true,
        (toml::Value::Array(items), _) => items.iter().any(|item| has(item, path)),
        (toml::Value::Table(table), ["*", rest @ ..]) => {
            table.values().any(|value| has(value, rest))
        }
        (toml::Value::Table(table), [key, rest @ ..]) => {
            table.get(*key).is_some_and(|value| has(value, rest))
        }
        _ => false,
    }
}

#[test]
fn the_example_has_every_key_at_least_as_a_comment() {
    let example = Reference::new(&VOCABULARY).example();
    let lines = example.lines().map(|line| {
        let written = line.strip_prefix("# ").unwrap_or(line);
        let key = written.split(" = ").next().unwrap_or_default();
        let is_key = written.len() > key.len() && !key.contains([' ', '"']);
        if is_key { written } else { line }
    });
    let file: Vec<_> = lines.collect();
    let file: toml::Value = file.join("\n").parse::<toml::Table>().unwrap().into();

    for path in alive::paths() {
        let steps: Vec<_> = path.split('.').collect();
        assert!(has(&file, &steps), "{path}");
    }
}

/// Whether every table of a file has what the schema requires of it.
fn is_complete(schema: &Json, value: &toml::Value) -> bool {
    match value {
        toml::Value::Array(items) => items.iter().all(|item| is_complete(&schema["items"], item)),
        toml::Value::Table(table) => {
            let has = |name: &Json| table.contains_key(name.as_str().unwrap());
            let has_all = |of: &Json| {
                let mut names = of["required"].as_array().into_iter().flatten();
                names.all(has)
            };
            let choices = schema["anyOf"].as_array();
            let mut inner = table.iter();
            has_all(schema)
                && choices.is_none_or(|choices| choices.iter().any(has_all))
                && inner.all(|(key, value)| {
                    find(schema, &[key]).is_some_and(|schema| is_complete(schema, value))
                })
        }
        _ => true,
    }
}

/// Returns the file as often as it has keys, each time without one of them.
fn lacking_one(value: &toml::Value) -> Vec<toml::Value> {
    match value {
        toml::Value::Table(table) => {
            let mut lacking = Vec::new();
            for (key, inner) in table {
                let mut without = table.clone();
                without.remove(key);
                lacking.push(without.into());
                for inner in lacking_one(inner) {
                    let mut with = table.clone();
                    with.insert(key.clone(), inner);
                    lacking.push(with.into());
                }
            }
            lacking
        }
        toml::Value::Array(items) => {
            let each = items.iter().enumerate().flat_map(|(place, item)| {
                lacking_one(item).into_iter().map(move |inner| {
                    let mut with = items.clone();
                    with[place] = inner;
                    with.into()
                })
            });
            each.collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_schema_requires_what_the_gateway_requires() {
    let schema = Reference::new(&VOCABULARY).schema();
    let complete: toml::Value = COMPLETE.parse::<toml::Table>().unwrap().into();
    let mut refused = 0;

    for file in lacking_one(&complete) {
        let text = toml::to_string(&file).unwrap();
        let shown = all_findings(&text);
        let is_missed = shown
            .lines()
            .any(|line| line.starts_with("error: ") && line.contains(" has no `"));
        assert_eq!(is_missed, !is_complete(&schema, &file), "{shown}\n{text}");
        refused += usize::from(is_missed);
    }

    // Two providers, a model, two backends twice, two users.
    assert_eq!(refused, 9);
}
