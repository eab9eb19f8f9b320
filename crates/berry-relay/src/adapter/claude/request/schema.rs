//! JSON schemas for Anthropic's structured outputs, which take a subset and refuse the rest.
//!
//! An answer that satisfies the schema we send must satisfy the client's, as far as a grammar can
//! see to it. Objects with named members are closed, which only narrows. Limits that a grammar
//! cannot hold (lengths, ranges, patterns) move into the description, as Anthropic's own SDKs do it.
//! A schema that would mean something else (open objects, anything at all, recursion, objects that
//! several schemas describe together) is given back as none.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// How many references may lead to another: more is no schema that people write, and the stack is
/// not the client's.
const DEEPEST: usize = 16;

/// Keywords that become words.
const TOLD: &[&str] = &[
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "if",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "pattern",
    "propertyNames",
    "then",
    "uniqueItems",
];

/// Formats of strings that structured outputs know.
const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "time",
    "uri",
    "uuid",
];

/// Keywords that say nothing about values.
const SILENT: &[&str] = &["$id", "$schema"];

/// Returns the schema as structured outputs take it; none where they cannot.
pub(super) fn for_structured_outputs(schema: &Value) -> Option<Value> {
    let mut references = References {
        root: schema,
        open: Vec::new(),
        sound: BTreeSet::new(),
    };
    if schema["type"] != "object" || references.are_endless(schema) {
        return None;
    }
    held(schema)
}

fn held(schema: &Value) -> Option<Value> {
    let Value::Object(schema) = schema else {
        // `true` accepts everything, `false` nothing: neither is a grammar.
        return None;
    };
    let mut held = Held::default();
    for (keyword, value) in schema {
        held.take(keyword, value)?;
    }
    held.finish()
}

/// A schema in the making.
#[derive(Default)]
struct Held {
    kept: Map<String, Value>,
    /// What becomes words.
    told: Map<String, Value>,
    closed: bool,
}

impl Held {
    fn take(&mut self, keyword: &str, value: &Value) -> Option<()> {
        let is_known_format = || {
            value
                .as_str()
                .is_some_and(|format| FORMATS.contains(&format))
        };
        match keyword {
            keyword if SILENT.contains(&keyword) => {}
            keyword if TOLD.contains(&keyword) => self.tell(keyword, value),
            "format" if !is_known_format() => self.tell(keyword, value),
            "minItems" if value.as_u64() > Some(1) => {
                self.keep(keyword, 1.into());
                self.tell(keyword, value);
            }
            "additionalProperties" if value == false => self.closed = true,
            "additionalProperties" | "patternProperties" | "prefixItems" => return None,
            "properties" | "$defs" | "definitions" => {
                let members = value.as_object()?.iter();
                let held = members.map(|(name, schema)| Some((name.clone(), held(schema)?)));
                self.keep(keyword, Value::Object(held.collect::<Option<_>>()?));
            }
            "anyOf" | "oneOf" | "allOf" => {
                let choices = value.as_array()?;
                let is_choice = keyword != "allOf" || choices.len() == 1;
                if !is_choice || self.kept.contains_key("anyOf") {
                    return None;
                }
                let held = choices.iter().map(held);
                self.keep("anyOf", Value::Array(held.collect::<Option<_>>()?));
            }
            "items" => self.keep(keyword, held(value)?),
            _ => self.keep(keyword, value.clone()),
        }
        Some(())
    }

    fn keep(&mut self, keyword: &str, value: Value) {
        self.kept.insert(keyword.to_owned(), value);
    }

    fn tell(&mut self, keyword: &str, value: &Value) {
        self.told.insert(keyword.to_owned(), value.clone());
    }

    fn finish(mut self) -> Option<Value> {
        let has = |keyword| self.kept.contains_key(keyword);
        let says_what = ["type", "enum", "const", "anyOf", "$ref"]
            .into_iter()
            .any(has);
        let is_open = !has("properties") && !self.closed;
        let is_shared = has("anyOf") || has("$ref");
        if is_object(&self.kept) {
            if is_open || is_shared {
                return None;
            }
            self.keep("additionalProperties", false.into());
        } else if !says_what || has("properties") {
            return None;
        }
        if !self.told.is_empty() {
            let limits = format!("Must satisfy {}.", Value::Object(self.told));
            let description = self.kept.get("description").and_then(Value::as_str);
            let description = match description {
                Some(description) => format!("{description}\n{limits}"),
                None => limits,
            };
            self.kept.insert("description".into(), description.into());
        }
        Some(self.kept.into())
    }
}

/// Returns whether values are objects, or may be: `type` is a name or a list of names.
fn is_object(schema: &Map<String, Value>) -> bool {
    let names = schema.get("type");
    names.is_some_and(|kind| kind == "object")
        || names
            .and_then(Value::as_array)
            .is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"))
}

/// What is known of the references of a schema.
struct References<'a> {
    root: &'a Value,
    /// Those that led to the part being looked at.
    open: Vec<&'a str>,
    /// Those that lead to no recursion.
    sound: BTreeSet<&'a str>,
}

impl<'a> References<'a> {
    /// Returns whether a part of the schema refers to itself, outside of the schema, or too deep.
    fn are_endless(&mut self, part: &'a Value) -> bool {
        match part {
            Value::Object(members) => {
                let mut members = members.iter();
                members.any(
                    |(keyword, value)| match (keyword.as_str(), value.as_str()) {
                        ("$ref", Some(reference)) => self.is_endless(reference),
                        // Definitions are looked at where they are referred to.
                        ("$defs" | "definitions", _) => false,
                        _ => self.are_endless(value),
                    },
                )
            }
            Value::Array(parts) => parts.iter().any(|part| self.are_endless(part)),
            _ => false,
        }
    }

    fn is_endless(&mut self, reference: &'a str) -> bool {
        if self.sound.contains(reference) {
            return false;
        }
        let path = reference.strip_prefix('#');
        let Some(target) = path.and_then(|path| self.root.pointer(path)) else {
            return true;
        };
        if self.open.contains(&reference) || self.open.len() == DEEPEST {
            return true;
        }
        self.open.push(reference);
        let endless = self.are_endless(target);
        self.open.pop();
        self.sound.insert(reference);
        endless
    }
}
