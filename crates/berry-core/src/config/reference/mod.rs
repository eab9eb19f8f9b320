//! The file described: for people as a document and an example, for editors as a JSON Schema.
//!
//! All come from the declarations that files are read by and from the defaults that are used, so
//! none can say something else than the gateway does.

mod defaults;
mod example;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

use super::Config;
use super::file::ConfigFile;
use super::reader::{Key, Kind};
use super::scalar::{HEADER_NAME, NAME};
use super::table::Table;
use super::vocabulary::{Term, Vocabulary};

/// Which dialect of JSON Schema this is.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Describes the file; the vocabulary gives the names that the crates above implement.
#[derive(Debug)]
pub struct Reference<'a> {
    vocabulary: &'a Vocabulary<'a>,
    /// By the path of their key, as they would be written.
    pub(super) defaults: BTreeMap<String, String>,
}

impl<'a> Reference<'a> {
    /// Prepares to describe the file.
    pub fn new(vocabulary: &'a Vocabulary<'a>) -> Self {
        Self {
            vocabulary,
            defaults: defaults::all(&Config::default()),
        }
    }

    /// Returns the JSON Schema of the file.
    pub fn schema(&self) -> Json {
        let mut schema = self.table(ConfigFile::DESCRIBED);
        schema["$schema"] = DIALECT.into();
        schema["title"] = "Berry API: configuration".into();
        schema
    }

    fn table(&self, keys: &[Key]) -> Json {
        let properties = keys.iter().map(|key| {
            let mut described = self.value(key.kind);
            if let Some(names) = self.names(key.name) {
                described["enum"] = names.into();
            }
            described["description"] = about(key).into();
            (key.name.to_owned(), described)
        });
        let mut described = json!({
            "type": "object",
            "properties": properties.collect::<Map<_, _>>(),
            "additionalProperties": false,
        });
        let mut needs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for key in keys.iter().filter(|key| !key.required.is_empty()) {
            needs.entry(key.required).or_default().push(key.name);
        }
        let mut required = Vec::new();
        for names in needs.into_values() {
            if let [name] = names[..] {
                required.push(name);
            } else {
                let choices = names.iter().map(|name| json!({ "required": [name] }));
                described["anyOf"] = choices.collect();
            }
        }
        if !required.is_empty() {
            described["required"] = required.into();
        }
        described
    }

    fn value(&self, kind: Kind) -> Json {
        match kind {
            Kind::Text => json!({ "type": "string" }),
            Kind::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
            Kind::Moment => json!({ "type": "string", "format": "date-time" }),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Whole(min, max) | Kind::Seconds(min, max) => {
                json!({ "type": "integer", "minimum": min, "maximum": max })
            }
            Kind::Decimal(min, max) => json!({ "type": "number", "minimum": min, "maximum": max }),
            Kind::Share(max) => {
                json!({ "type": "number", "exclusiveMinimum": 0, "maximum": max })
            }
            Kind::Choice(names) => json!({ "type": "string", "enum": names }),
            Kind::List(item) => json!({ "type": "array", "items": self.value(*item) }),
            Kind::Named(value) => {
                let names = match value {
                    Kind::Table(_) => NAME,
                    _ => HEADER_NAME,
                };
                json!({
                    "type": "object",
                    "propertyNames": { "pattern": names },
                    "additionalProperties": self.value(*value),
                })
            }
            Kind::Table(keys) => self.table(keys),
        }
    }

    /// Returns what a key may be called that the crates above know the names of.
    fn names(&self, key: &str) -> Option<Vec<&'static str>> {
        let terms: &[Term] = match key {
            "strategy" => self.vocabulary.strategies,
            "backend_type" => self.vocabulary.protocols,
            _ => return None,
        };
        let available = terms.iter().filter(|term| term.available);
        Some(available.map(|term| term.name).collect())
    }

    /// Returns the document, in Markdown.
    pub fn document(&self) -> String {
        let mut page = String::from(
            "# Configuration\n\n\
             Every table and key of the file. Unknown keys are errors. An editor that knows TOML \
             schemas completes and checks\nthem when the file begins with \
             `#:schema ./berry.schema.json` and that file, which `berry-cli generate-config` \
             writes\nbeside the file, is there. The schema knows names as they are written here; the \
             gateway takes them in any case, with\nand without `_`, and by their aliases too \
             (`WeightedFailover`, `anthropic`).\n\n\
             <!-- Generated from the code: `cargo run -p berry-relay --example reference`. -->\n",
        );
        for key in ConfigFile::DESCRIBED {
            self.section(&mut page, key.name, key);
        }
        page
    }

    /// Writes the table at a path, and then those in it.
    fn section(&self, page: &mut String, path: &str, key: &Key) {
        let Some(keys) = key.kind.keys() else { return };
        let (path, open, close) = match key.kind {
            Kind::Named(_) => (format!("{path}.<id>"), "[", "]"),
            Kind::List(_) => (path.to_owned(), "[[", "]]"),
            _ => (path.to_owned(), "[", "]"),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## `{open}{path}{close}`\n\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
            about(key)
        );
        for key in keys {
            if key.kind.keys().is_none() {
                let _ = writeln!(page, "{}", self.row(&path, key, keys));
            }
        }
        for key in keys {
            self.section(page, &format!("{path}.{}", key.name), key);
        }
    }

    fn row(&self, path: &str, key: &Key, keys: &[Key]) -> String {
        let name = key.name;
        let value = match self.names(name) {
            Some(names) => {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                names.join(", ")
            }
            None => (key.expected)().into_owned(),
        };
        let default = self.defaults.get(&*format!("{path}.{name}"));
        let default = default.map(|default| format!("`{default}`"));
        let default = default.or_else(|| necessity(key, keys));
        let meaning = about(key);
        format!(
            "| `{name}` | {value} | {} | {meaning} |",
            default.unwrap_or_default()
        )
    }
}

/// Says that a key is required, or which others will do as well.
fn necessity(key: &Key, keys: &[Key]) -> Option<String> {
    if key.required.is_empty() {
        return None;
    }
    let others = keys
        .iter()
        .filter(|other| other.required == key.required && other.name != key.name);
    let others: Vec<_> = others.map(|other| format!("`{}`", other.name)).collect();
    Some(if others.is_empty() {
        "required".to_owned()
    } else {
        format!("required, or {}", others.join(" or "))
    })
}

/// Returns a key's comment as one line.
fn about(key: &Key) -> String {
    let lines: Vec<_> = key.about.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}
