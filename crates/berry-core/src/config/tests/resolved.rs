//! The configuration that comes out of a file: defaults, precedence, order, references.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use super::{COMPLETE, PROTOCOLS, STRATEGIES, all_findings, config, findings, parse, source};
use crate::auth::TokenDigest;
use crate::config::{
    Affinity, AllowedModels, BillingMode, Config, HttpVersion, Provider, ProxyChoice,
    ResponseTimeout, Settings, UpstreamIdle, Vocabulary,
};

const SECOND: Duration = Duration::from_secs(1);

/// Returns the first provider of a file.
fn provider(text: &str) -> Provider {
    Provider::clone(&config(text).providers[0])
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(config(""), Config::default());
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let settings = Settings::default();

    assert_eq!(settings.response_timeout.streamed, 30 * SECOND);
    assert_eq!(settings.response_timeout.whole, 300 * SECOND);
    assert_eq!(
        (settings.max_retries, settings.max_internal_retries),
        (3, 2)
    );
    assert_eq!(settings.stream_keepalive, Some(15 * SECOND));
    assert_eq!(settings.first_token_timeout, None);
    assert_eq!(settings.upstream_idle_timeout.http, 4 * SECOND);
    assert_eq!(settings.upstream_idle_timeout.https, 60 * SECOND);
    assert_eq!(settings.max_body_bytes, 33_554_432);
}

#[test]
fn a_provider_has_the_documented_defaults() {
    let provider = provider("[providers.local]\nbase_url = 'http://localhost:11434'");

    assert_eq!(&*provider.name, "local");
    assert!(provider.enabled && provider.api_key.is_empty() && provider.models.is_empty());
    assert_eq!(provider.protocol, "openai");
    assert_eq!(provider.response_timeout, ResponseTimeout::default());
    assert_eq!(provider.max_retries, 3);
    assert_eq!(provider.http_version, HttpVersion::Auto);
    assert_eq!(provider.proxy, ProxyChoice::Environment);
}

#[test]
fn every_key_is_accepted_and_has_an_effect_on_the_configuration() {
    let config = config(COMPLETE);
    let settings = &config.settings;

    assert_eq!(settings.health_check_interval, None);
    assert_eq!(settings.stream_idle_timeout, None);
    assert_eq!(settings.stream_keepalive, None);
    assert_eq!(settings.first_token_timeout, Some(15 * SECOND));
    assert_eq!(settings.max_retries, 0);
    assert!((settings.retry_budget_ratio - 1.0).abs() < f64::EPSILON);
    assert_eq!(
        settings.upstream_idle_timeout,
        UpstreamIdle::both(20 * SECOND)
    );
    assert_eq!(settings.max_body_bytes, 1 << 20);
    assert_eq!(settings.max_memory_mib, NonZeroU32::new(2048));
    assert_eq!(settings.trusted_proxies.len(), 2);
    assert!(!settings.smart_ai.enable_time_decay);
    assert!((settings.smart_ai.confidence_adjustments.timeout_penalty - 0.3).abs() < f64::EPSILON);
    assert!(config.server.tls.is_some() && config.usage.database.is_some());
    assert_eq!(config.server.client_write_timeout, 40 * SECOND);
    assert_eq!(&*config.telemetry.service_name, "gateway");
}

#[test]
fn a_ledger_may_be_named_by_the_environment_where_the_file_names_none() {
    let environment = |name: &str| (name == "USAGE_DATABASE").then(|| "named.db".to_owned());
    let vocabulary = Vocabulary {
        strategies: &STRATEGIES,
        protocols: &PROTOCOLS,
    };
    for (text, expected) in [
        ("", Some("named.db")),
        ("[usage]\nretention_days = 3", Some("named.db")),
        ("[usage]\ndatabase = \"mine.db\"", Some("mine.db")),
        ("[usage]\ndatabase = \"\"", None),
    ] {
        let loaded = Config::parse(&source(text), &vocabulary, &environment).unwrap();
        let database = loaded.config.usage.database;
        assert_eq!(database.as_deref(), expected.map(Path::new), "{text}");
    }
}

#[test]
fn a_file_with_every_key_is_warned_about_nothing() {
    let warned = parse(COMPLETE).unwrap().warnings;

    assert!(warned.is_empty(), "{}", all_findings(COMPLETE));
}

#[test]
fn providers_models_and_users_keep_the_order_of_the_file() {
    let config = config(COMPLETE);

    let providers: Vec<_> = config.providers.iter().map(|p| p.id.as_str()).collect();
    let users: Vec<_> = config.users.iter().map(|u| u.id.as_str()).collect();
    let backends: Vec<_> = config.models[0]
        .backends
        .iter()
        .map(|b| &*b.model)
        .collect();

    assert_eq!(providers, ["zeta", "alpha"]);
    assert_eq!(users, ["root", "alice"]);
    assert_eq!(backends, ["gpt-4o", "llama3:8b"]);
}

#[test]
fn a_provider_is_resolved_from_the_file_and_the_environment() {
    let zeta = provider(COMPLETE);

    assert_eq!(zeta.base_url.to_string(), "https://api.openai.com/v1");
    assert_eq!(zeta.api_key.expose(), "sk-from-the-environment");
    assert!(zeta.headers["openai-organization"].is_sensitive());
    assert_eq!(zeta.response_timeout.whole, 45 * SECOND);
    assert_eq!(zeta.http_version, HttpVersion::Http1);
    assert!(matches!(zeta.proxy, ProxyChoice::Url(_)));
}

#[test]
fn names_are_accepted_in_every_usual_spelling() {
    let config = config(COMPLETE);

    assert_eq!(config.providers[0].protocol, "openai");
    assert_eq!(config.providers[1].protocol, "openai");
    assert_eq!(config.models[0].strategy, "round_robin");
    assert_eq!(config.models[0].affinity, Affinity::PromptCacheKey);
    assert_eq!(
        config.models[0].backends[0].billing,
        BillingMode::PerRequest
    );
    assert_eq!(config.models[0].backends[1].billing, BillingMode::PerToken);
}

#[test]
fn a_user_is_resolved_to_what_access_decisions_need() {
    let config = config(COMPLETE);
    let (root, alice) = (&config.users[0], &config.users[1]);

    assert_eq!(root.token, TokenDigest::of("canary-token-of-root"));
    assert_eq!(alice.token, TokenDigest::of("test"));
    assert_eq!(
        root.allowed_models,
        AllowedModels::Only(vec![config.models[0].key.clone()])
    );
    assert_eq!(root.allowed_ips[1].to_string(), "10.0.0.0/8");
    assert_eq!(root.expires_at, alice.expires_at);
    assert_eq!(root.rate_limit.requests_per_minute.map(u32::from), Some(10));
}

#[test]
fn a_network_is_compared_in_the_form_that_peers_have() {
    let cases = [
        ("10.1.2.3", "10.1.2.3/32"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::/0", "::/0"),
    ];
    for (written, meant) in cases {
        let config = config(&format!("[settings]\ntrusted_proxies = ['{written}']"));

        assert_eq!(config.settings.trusted_proxies[0].to_string(), meant);
    }
}

#[test]
fn a_user_whose_models_are_all_unknown_may_use_none() {
    let config = config("[users.u]\ntoken = '0123456789abcdef'\nallowed_models = ['gone']");

    assert_eq!(
        config.users[0].allowed_models,
        AllowedModels::Only(Vec::new())
    );
}

#[test]
fn disabled_entries_are_kept_and_not_looked_at_too_closely() {
    let config = config(
        "
        [providers.p]
        base_url = 'https://api.example.com'
        api_key = 'enc:v1:whatever'
        enabled = false
        [models.m]
        name = 'm'
        enabled = false
        [users.u]
        token = '0123456789abcdef'
        enabled = false
        ",
    );

    assert!(!config.providers[0].enabled && !config.models[0].enabled && !config.users[0].enabled);
}

#[test]
fn the_time_until_an_answers_head_is_taken_from_the_nearest_key() {
    let cases = [
        ("", "", 30, 300),
        ("json_timeout_seconds = 600", "", 30, 600),
        ("request_timeout_seconds = 20", "", 20, 20),
        (
            "request_timeout_seconds = 20\njson_timeout_seconds = 600",
            "",
            20,
            20,
        ),
        ("json_timeout_seconds = 600", "timeout_seconds = 45", 45, 45),
        (
            "request_timeout_seconds = 20",
            "timeout_seconds = 45",
            45,
            45,
        ),
    ];
    for (settings, own, streamed, whole) in cases {
        let provider = provider(&format!(
            "[settings]\n{settings}\n[providers.local]\nbase_url = 'http://localhost'\n{own}"
        ));

        let ResponseTimeout {
            streamed: for_streams,
            whole: for_whole,
            ..
        } = provider.response_timeout;
        let expected = (streamed * SECOND, whole * SECOND);
        assert_eq!((for_streams, for_whole), expected, "{settings} {own}");
    }
}

#[test]
fn azures_hosts_speak_azures_protocol() {
    let cases = [
        ("https://team.openai.azure.com", "openai", "azure"),
        (
            "https://team.openai.azure.com.example.com",
            "openai",
            "openai",
        ),
        ("https://team.openai.azure.com", "claude", "claude"),
    ];
    for (url, written, spoken) in cases {
        let provider = provider(&format!(
            "[providers.a]\nbase_url = '{url}'\napi_key = 'k'\nbackend_type = '{written}'"
        ));

        assert_eq!(provider.protocol, spoken, "{url}");
    }
}

#[test]
fn a_configuration_prints_no_secret() {
    let printed = format!("{:?}", config(COMPLETE));

    assert!(!printed.contains("canary-token"), "{printed}");
    assert!(!printed.contains("from-the-environment"), "{printed}");
    assert!(!printed.contains("org-canary"), "{printed}");
}

#[test]
fn findings_are_given_to_programs_as_json() {
    let text = "[settings]\nmax_retrys = 1";
    let found = parse(text).unwrap_err();

    let json: serde_json::Value = serde_json::from_str(&found.to_json(&source(text))).unwrap();

    assert_eq!(
        json[0],
        serde_json::json!({
            "severity": "error",
            "message": "unknown key `max_retrys` in `settings`",
            "path": "config.toml",
            "line": 2,
            "column": 1,
            "help": "did you mean `max_retries`?",
        })
    );
}

#[test]
fn a_file_from_another_system_shows_no_line_ends() {
    let shown = findings("[settings]\r\nmax_retrys = 1\r\n");

    assert!(shown.contains("2 | max_retrys = 1\n"), "{shown}");
}

#[test]
fn what_a_terminal_shows_ends_with_one_newline() {
    for (text, end) in [
        ("", "warnings\n"),
        ("[settings]\nmax_retries = 99", "not loaded\n"),
    ] {
        let shown = all_findings(text);

        assert!(shown.ends_with(end), "{shown:?}");
    }
}
