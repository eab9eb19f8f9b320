//! What the schema says of texts, against what the gateway takes.

use regex_automata::meta::Regex;
use serde_json::Value as Json;

use super::reference::{VOCABULARY, find};
use super::{COMPLETE, all_findings};
use crate::config::Reference;

/// Texts by the path of their key; what is not taken is marked with `false`.
const TEXTS: [(&str, &[(&str, bool)]); 11] = [
    (
        "providers.zeta.base_url",
        &[
            ("https://api.example.com/v1", true),
            ("HTTP://[::1]:8080", true),
            ("http://a/", true),
            ("api.example.com", false),
            ("https://", false),
            ("https://:80", false),
            ("https://a b", false),
            ("https://a/v1?b", false),
            ("https://a#b", false),
            ("https://user:word@a", false),
            ("${URL}", false),
            ("", false),
        ],
    ),
    (
        "providers.zeta.proxy_url",
        &[
            ("None", true),
            ("http://user:word@proxy:3128", true),
            ("https://proxy", false),
            ("proxy:3128", false),
            ("", false),
        ],
    ),
    (
        "providers.zeta.api_key",
        &[
            ("", true),
            ("sk-8f3kq0smw7x2hd61", true),
            ("sk 8f3kq0smw7x2hd61", false),
        ],
    ),
    (
        "telemetry.otlp_endpoint",
        &[("", true), ("http://a:4318", true), ("a:4318", false)],
    ),
    (
        "server.bind_address",
        &[
            ("0.0.0.0:80", true),
            ("[::1]:3000", true),
            ("localhost:3000", false),
            ("0.0.0.0", false),
            (":3000", false),
        ],
    ),
    (
        "settings.trusted_proxies",
        &[
            ("10.0.0.0/8", true),
            ("::1", true),
            ("10.0.0.*", false),
            ("proxy", false),
        ],
    ),
    (
        "users.root.token",
        &[("k3J9s8dQ2m7Zx1vB4n6p", true), ("", false), ("a b", false)],
    ),
    (
        "users.root.tags",
        &[
            ("blue", true),
            ("a\u{3000}b", false),
            ("a b", false),
            ("", false),
        ],
    ),
    (
        "users.alice.token_sha256",
        &[
            (
                "9F86D081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                true,
            ),
            ("9f86d081", false),
        ],
    ),
    (
        "models.gpt.name",
        &[
            ("anthropic/claude:beta", true),
            ("gpt 4", false),
            ("", false),
        ],
    ),
    (
        "models.gpt.backends.model",
        &[("gpt-4o", true), ("", false)],
    ),
];

/// Returns the schema of the texts at a path.
fn text<'s>(schema: &'s Json, path: &str) -> &'s Json {
    let steps: Vec<_> = path.split('.').collect();
    let found = find(schema, &steps).unwrap();
    found.get("items").unwrap_or(found)
}

fn is_match(pattern: &Json, text: &str) -> bool {
    Regex::new(pattern.as_str().unwrap())
        .unwrap()
        .is_match(text)
}

/// Returns the complete file with this text at a path, and whether the gateway takes it.
fn is_taken(path: &str, text: &str) -> bool {
    let mut file: toml::Value = COMPLETE.parse::<toml::Table>().unwrap().into();
    let mut place = &mut file;
    for step in path.split('.') {
        let table = match place {
            toml::Value::Array(items) => items.first_mut().unwrap(),
            table => table,
        };
        place = &mut table[step];
    }
    let text = toml::Value::from(text);
    *place = if place.is_array() {
        vec![text].into()
    } else {
        text
    };
    let shown = all_findings(&toml::to_string(&file).unwrap());
    let last = path.rsplit('.').next().unwrap();
    !shown.lines().any(|line| {
        let is_about = |what: &str| line.contains(what);
        line.starts_with("error: ")
            && (is_about(last) || is_about("the key of") || is_about("the token of"))
    })
}

#[test]
fn the_schema_takes_the_texts_that_the_gateway_takes() {
    let schema = Reference::new(&VOCABULARY).schema();

    for (path, texts) in TEXTS {
        let pattern = &text(&schema, path)["pattern"];
        for (text, expected) in texts {
            assert_eq!(is_taken(path, text), *expected, "{path}: {text}");
            assert_eq!(
                is_match(pattern, text),
                *expected,
                "{path}: {text}: {pattern}"
            );
        }
    }
}

#[test]
fn no_pattern_is_without_its_texts() {
    let schema = Reference::new(&VOCABULARY).schema();
    let tested: Vec<_> = TEXTS
        .map(|(path, _)| text(&schema, path)["pattern"].clone())
        .into();

    let mut open = vec![&schema];
    while let Some(described) = open.pop() {
        let inner = ["items", "additionalProperties"].map(|key| &described[key]);
        let properties = described["properties"].as_object();
        open.extend(inner.into_iter().filter(|inner| inner.is_object()));
        open.extend(properties.into_iter().flat_map(serde_json::Map::values));
        let pattern = &described["pattern"];
        assert!(pattern.is_null() || tested.contains(pattern), "{pattern}");
    }
}

#[test]
fn the_schema_takes_the_names_that_the_gateway_takes() {
    let schema = Reference::new(&VOCABULARY).schema();
    let names = |path: &str| schema["properties"][path]["propertyNames"]["pattern"].clone();
    let headers = find(&schema, &["providers", "a", "headers"]).unwrap();

    for (name, expected) in [("alice@example.com", true), ("a b", false), ("", false)] {
        assert_eq!(is_match(&names("users"), name), expected, "{name}");
    }
    for (name, expected) in [("X-A", true), ("x_a", true), ("X A", false), ("X:A", false)] {
        let pattern = &headers["propertyNames"]["pattern"];
        assert_eq!(is_match(pattern, name), expected, "{name}");
    }
}
