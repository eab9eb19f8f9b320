//! The file described: for people as a document, for editors as a JSON Schema.
//!
//! Both come from the declarations that files are read by and from the defaults that are used, so
//! neither can say something else than the gateway does.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

use super::Config;
use super::file::ConfigFile;
use super::reader::{Key, Kind};
use super::table::Table;
use super::vocabulary::{Term, Vocabulary};

/// Which dialect of JSON Schema this is.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Describes the file; the vocabulary gives the names that the crates above implement.
#[derive(Debug)]
pub struct Reference<'a> {
    vocabulary: &'a Vocabulary<'a>,
    pub(super) defaults: BTreeMap<&'static str, String>,
}

impl<'a> Reference<'a> {
    /// Prepares to describe the file.
    pub fn new(vocabulary: &'a Vocabulary<'a>) -> Self {
        Self {
            vocabulary,
            defaults: defaults(&Config::default()),
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
        json!({
            "type": "object",
            "properties": properties.collect::<Map<_, _>>(),
            "additionalProperties": false,
        })
    }

    fn value(&self, kind: Kind) -> Json {
        match kind {
            Kind::Text => json!({ "type": "string" }),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Whole(min, u32::MAX) => json!({ "type": "integer", "minimum": min }),
            Kind::Whole(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Kind::Decimal(min, None) => json!({ "type": "number", "minimum": min }),
            Kind::Decimal(min, Some(max)) => {
                json!({ "type": "number", "minimum": min, "maximum": max })
            }
            Kind::Choice(names) => json!({ "type": "string", "enum": names }),
            Kind::List(item) => json!({ "type": "array", "items": self.value(*item) }),
            Kind::Named(value) => {
                json!({ "type": "object", "additionalProperties": self.value(*value) })
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
             `#:schema <path to>/schema/berry.schema.json`.\n\n\
             <!-- Generated from the code: `cargo run -p berry-relay --example reference`. -->\n",
        );
        for key in ConfigFile::DESCRIBED {
            self.section(&mut page, key.name, key);
        }
        page
    }

    /// Writes the table at a path, and then those in it.
    fn section(&self, page: &mut String, path: &str, key: &Key) {
        let (path, keys, brackets) = match key.kind {
            Kind::Table(keys) => (path.to_owned(), keys, ("[", "]")),
            Kind::Named(Kind::Table(keys)) => (format!("{path}.<id>"), *keys, ("[", "]")),
            Kind::List(Kind::Table(keys)) => (path.to_owned(), *keys, ("[[", "]]")),
            _ => return,
        };
        let (open, close) = brackets;
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## `{open}{path}{close}`\n\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
            about(key)
        );
        for key in keys {
            if !is_table(key.kind) {
                let _ = writeln!(page, "{}", self.row(&path, key));
            }
        }
        for key in keys {
            self.section(page, &format!("{path}.{}", key.name), key);
        }
    }

    fn row(&self, path: &str, key: &Key) -> String {
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
        let meaning = about(key);
        format!(
            "| `{name}` | {value} | {} | {meaning} |",
            default.unwrap_or_default()
        )
    }
}

/// Whether a value has keys of its own to describe.
fn is_table(kind: Kind) -> bool {
    match kind {
        Kind::Table(_) => true,
        Kind::Named(inner) | Kind::List(inner) => matches!(inner, Kind::Table(_)),
        _ => false,
    }
}

/// Returns a key's comment as one line.
fn about(key: &Key) -> String {
    let lines: Vec<_> = key.about.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

/// Returns the defaults that do not depend on other keys, by path.
fn defaults(config: &Config) -> BTreeMap<&'static str, String> {
    let settings = &config.settings;
    let seconds = |time: std::time::Duration| time.as_secs().to_string();
    let or_off = |time: Option<std::time::Duration>| seconds(time.unwrap_or_default());
    let count = |count: Option<std::num::NonZeroU32>| count.map_or(0, u32::from).to_string();
    let (ai, server) = (&settings.smart_ai, &config.server);
    let adjustments = &ai.confidence_adjustments;
    BTreeMap::from([
        (
            "settings.health_check_interval_seconds",
            or_off(settings.health_check_interval),
        ),
        (
            "settings.health_check_timeout_seconds",
            seconds(settings.health_check_timeout),
        ),
        (
            "settings.recovery_check_interval_seconds",
            seconds(settings.recovery_check_interval),
        ),
        (
            "settings.request_timeout_seconds",
            seconds(settings.response_timeout.streamed),
        ),
        (
            "settings.json_timeout_seconds",
            seconds(settings.response_timeout.whole),
        ),
        ("settings.max_retries", settings.max_retries.to_string()),
        (
            "settings.max_internal_retries",
            settings.max_internal_retries.to_string(),
        ),
        (
            "settings.circuit_breaker_failure_threshold",
            settings.circuit_breaker_failure_threshold.to_string(),
        ),
        (
            "settings.circuit_breaker_timeout_seconds",
            seconds(settings.circuit_breaker_timeout),
        ),
        (
            "settings.log_request_body",
            settings.log_request_body.to_string(),
        ),
        (
            "settings.log_response_body",
            settings.log_response_body.to_string(),
        ),
        ("settings.mask_api_keys", settings.mask_api_keys.to_string()),
        (
            "settings.connect_timeout_seconds",
            seconds(settings.connect_timeout),
        ),
        (
            "settings.first_token_timeout_seconds",
            or_off(settings.first_token_timeout),
        ),
        (
            "settings.stream_idle_timeout_seconds",
            or_off(settings.stream_idle_timeout),
        ),
        (
            "settings.stream_keepalive_seconds",
            or_off(settings.stream_keepalive),
        ),
        (
            "settings.retry_budget_ratio",
            settings.retry_budget_ratio.to_string(),
        ),
        (
            "settings.request_deadline_seconds",
            or_off(settings.request_deadline),
        ),
        (
            "settings.max_body_bytes",
            settings.max_body_bytes.to_string(),
        ),
        (
            "settings.shutdown_grace_seconds",
            seconds(settings.shutdown_grace),
        ),
        (
            "settings.max_inflight_requests",
            count(settings.max_inflight_requests),
        ),
        (
            "settings.public_details",
            settings.public_details.to_string(),
        ),
        (
            "settings.smart_ai.initial_confidence",
            ai.initial_confidence.to_string(),
        ),
        (
            "settings.smart_ai.min_confidence",
            ai.min_confidence.to_string(),
        ),
        (
            "settings.smart_ai.exploration_ratio",
            ai.exploration_ratio.to_string(),
        ),
        (
            "settings.smart_ai.enable_time_decay",
            ai.enable_time_decay.to_string(),
        ),
        (
            "settings.smart_ai.lightweight_check_interval_seconds",
            seconds(ai.lightweight_check_interval),
        ),
        (
            "settings.smart_ai.non_premium_stability_bonus",
            ai.non_premium_stability_bonus.to_string(),
        ),
        (
            "settings.smart_ai.confidence_adjustments.success_boost",
            adjustments.success_boost.to_string(),
        ),
        (
            "settings.smart_ai.confidence_adjustments.network_error_penalty",
            adjustments.network_error_penalty.to_string(),
        ),
        (
            "settings.smart_ai.confidence_adjustments.auth_error_penalty",
            adjustments.auth_error_penalty.to_string(),
        ),
        (
            "settings.smart_ai.confidence_adjustments.rate_limit_penalty",
            adjustments.rate_limit_penalty.to_string(),
        ),
        (
            "settings.smart_ai.confidence_adjustments.server_error_penalty",
            adjustments.server_error_penalty.to_string(),
        ),
        (
            "settings.smart_ai.confidence_adjustments.model_error_penalty",
            adjustments.model_error_penalty.to_string(),
        ),
        (
            "settings.smart_ai.confidence_adjustments.timeout_penalty",
            adjustments.timeout_penalty.to_string(),
        ),
        (
            "server.header_timeout_seconds",
            seconds(server.header_timeout),
        ),
        (
            "server.body_idle_timeout_seconds",
            seconds(server.body_idle_timeout),
        ),
        (
            "server.client_idle_timeout_seconds",
            seconds(server.client_idle_timeout),
        ),
        (
            "server.client_write_timeout_seconds",
            seconds(server.client_write_timeout),
        ),
        (
            "telemetry.sample_ratio",
            config.telemetry.sample_ratio.to_string(),
        ),
        (
            "telemetry.service_name",
            config.telemetry.service_name.to_string(),
        ),
        (
            "usage.retention_days",
            config.usage.retention_days.to_string(),
        ),
        ("server.bind_address", "127.0.0.1:3000".to_owned()),
        ("providers.<id>.enabled", "true".to_owned()),
        ("providers.<id>.backend_type", "openai".to_owned()),
        ("providers.<id>.http_version", "auto".to_owned()),
        ("models.<id>.strategy", "weighted_failover".to_owned()),
        ("models.<id>.enabled", "true".to_owned()),
        ("models.<id>.affinity", "none".to_owned()),
        ("models.<id>.backends.weight", "1".to_owned()),
        ("models.<id>.backends.priority", "0".to_owned()),
        ("models.<id>.backends.enabled", "true".to_owned()),
        ("models.<id>.backends.billing_mode", "per_token".to_owned()),
        ("users.<id>.enabled", "true".to_owned()),
    ])
}
