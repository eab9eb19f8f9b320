//! What a key is when it is not written, as it would be written.
//!
//! Only what depends on no other key: the rest is said in the comments of the keys.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::Config;
use crate::config::server::{ServerSettings, Telemetry, Usage};
use crate::config::settings::{ConfidenceAdjustments, Settings, SmartAi};

type Defaults = Vec<(&'static str, String)>;

/// Returns the defaults by the path of their key.
pub(super) fn all(config: &Config) -> BTreeMap<String, String> {
    let settings = &config.settings;
    let tables = [
        ("settings", of_settings(settings)),
        ("settings.smart_ai", of_smart_ai(&settings.smart_ai)),
        (
            "settings.smart_ai.confidence_adjustments",
            of_adjustments(&settings.smart_ai.confidence_adjustments),
        ),
        ("server", of_server(&config.server)),
        ("telemetry", of_telemetry(&config.telemetry)),
        ("usage", of_usage(&config.usage)),
        ("providers.<id>", of_providers()),
        ("models.<id>", of_models()),
        ("models.<id>.backends", of_backends()),
        ("users.<id>", of_users()),
    ];
    let rows = tables.into_iter().flat_map(|(table, keys)| {
        let row = move |(key, value)| (format!("{table}.{key}"), value);
        keys.into_iter().map(row)
    });
    rows.collect()
}

fn seconds(time: Duration) -> String {
    time.as_secs().to_string()
}

fn or_off(time: Option<Duration>) -> String {
    seconds(time.unwrap_or_default())
}

fn count(count: Option<NonZeroU32>) -> String {
    count.map_or(0, u32::from).to_string()
}

fn text(text: &str) -> String {
    format!("\"{text}\"")
}

fn nothing() -> String {
    "[]".to_owned()
}

fn of_settings(settings: &Settings) -> Defaults {
    let breaker = settings.circuit_breaker_failure_threshold;
    let patience = &settings.response_timeout;
    let requests = settings.max_inflight_requests;
    vec![
        (
            "health_check_interval_seconds",
            or_off(settings.health_check_interval),
        ),
        (
            "health_check_timeout_seconds",
            seconds(settings.health_check_timeout),
        ),
        (
            "recovery_check_interval_seconds",
            seconds(settings.recovery_check_interval),
        ),
        ("request_timeout_seconds", seconds(patience.streamed)),
        ("json_timeout_seconds", seconds(patience.whole)),
        ("max_retries", settings.max_retries.to_string()),
        (
            "max_internal_retries",
            settings.max_internal_retries.to_string(),
        ),
        ("circuit_breaker_failure_threshold", breaker.to_string()),
        (
            "circuit_breaker_timeout_seconds",
            seconds(settings.circuit_breaker_timeout),
        ),
        ("log_request_body", settings.log_request_body.to_string()),
        ("log_response_body", settings.log_response_body.to_string()),
        ("mask_api_keys", settings.mask_api_keys.to_string()),
        ("connect_timeout_seconds", seconds(settings.connect_timeout)),
        (
            "first_token_timeout_seconds",
            or_off(settings.first_token_timeout),
        ),
        (
            "stream_idle_timeout_seconds",
            or_off(settings.stream_idle_timeout),
        ),
        (
            "stream_keepalive_seconds",
            or_off(settings.stream_keepalive),
        ),
        (
            "retry_budget_ratio",
            settings.retry_budget_ratio.to_string(),
        ),
        (
            "request_deadline_seconds",
            or_off(settings.request_deadline),
        ),
        ("max_body_bytes", settings.max_body_bytes.to_string()),
        ("shutdown_grace_seconds", seconds(settings.shutdown_grace)),
        ("audit_log", text("")),
        ("trusted_proxies", nothing()),
        ("max_inflight_requests", count(requests)),
        ("max_memory_mib", count(settings.max_memory_mib)),
        ("public_details", settings.public_details.to_string()),
    ]
}

fn of_smart_ai(ai: &SmartAi) -> Defaults {
    let between = ai.lightweight_check_interval;
    vec![
        ("initial_confidence", ai.initial_confidence.to_string()),
        ("min_confidence", ai.min_confidence.to_string()),
        ("exploration_ratio", ai.exploration_ratio.to_string()),
        ("enable_time_decay", ai.enable_time_decay.to_string()),
        ("lightweight_check_interval_seconds", seconds(between)),
        (
            "non_premium_stability_bonus",
            ai.non_premium_stability_bonus.to_string(),
        ),
    ]
}

fn of_adjustments(by: &ConfidenceAdjustments) -> Defaults {
    vec![
        ("success_boost", by.success_boost.to_string()),
        (
            "network_error_penalty",
            by.network_error_penalty.to_string(),
        ),
        ("auth_error_penalty", by.auth_error_penalty.to_string()),
        ("rate_limit_penalty", by.rate_limit_penalty.to_string()),
        ("server_error_penalty", by.server_error_penalty.to_string()),
        ("model_error_penalty", by.model_error_penalty.to_string()),
        ("timeout_penalty", by.timeout_penalty.to_string()),
    ]
}

fn of_server(server: &ServerSettings) -> Defaults {
    vec![
        ("bind_address", text(&server.address().to_string())),
        ("header_timeout_seconds", seconds(server.header_timeout)),
        (
            "body_idle_timeout_seconds",
            seconds(server.body_idle_timeout),
        ),
        (
            "client_idle_timeout_seconds",
            seconds(server.client_idle_timeout),
        ),
        (
            "client_write_timeout_seconds",
            seconds(server.client_write_timeout),
        ),
    ]
}

fn of_telemetry(telemetry: &Telemetry) -> Defaults {
    vec![
        ("otlp_endpoint", text("")),
        ("sample_ratio", format!("{:?}", telemetry.sample_ratio)),
        ("service_name", text(&telemetry.service_name)),
        ("log_file", text("")),
    ]
}

fn of_usage(usage: &Usage) -> Defaults {
    vec![
        ("database", text("")),
        ("retention_days", usage.retention_days.to_string()),
    ]
}

fn of_providers() -> Defaults {
    vec![
        ("api_key", text("")),
        ("models", nothing()),
        ("headers", "{}".to_owned()),
        ("enabled", true.to_string()),
        ("max_concurrent_requests", count(None)),
        ("http_version", text("auto")),
        ("backend_type", text("openai")),
    ]
}

fn of_models() -> Defaults {
    vec![
        ("strategy", text("weighted_failover")),
        ("enabled", true.to_string()),
        ("affinity", text("none")),
    ]
}

fn of_backends() -> Defaults {
    vec![
        ("weight", "1.0".to_owned()),
        ("priority", "0".to_owned()),
        ("enabled", true.to_string()),
        ("tags", nothing()),
        ("billing_mode", text("per_token")),
    ]
}

fn of_users() -> Defaults {
    vec![
        ("allowed_models", nothing()),
        ("enabled", true.to_string()),
        ("tags", nothing()),
        ("allowed_ips", nothing()),
    ]
}
