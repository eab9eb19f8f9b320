//! Values that do not fit their key, and keys that do not exist.

use insta::assert_snapshot;

use super::findings;

#[test]
fn an_unknown_key_is_answered_with_the_nearest() {
    let shown = findings(
        r"
            [settings]
            circut_breaker_timeout_seconds = 30
        ",
    );

    assert_snapshot!(shown, @r"
    error: unknown key `circut_breaker_timeout_seconds` in `settings`
     --> config.toml:2:1
      |
    2 | circut_breaker_timeout_seconds = 30
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: did you mean `circuit_breaker_timeout_seconds`?

    1 error; configuration not loaded
    ");
}

#[test]
fn an_unknown_key_near_to_none_is_answered_with_the_list() {
    let shown = findings(
        r#"
            [usage]
            path = "usage.db"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: unknown key `path` in `usage`
     --> config.toml:2:1
      |
    2 | path = "********"
      | ^^^^
      |
      = help: expected `database` or `retention_days`

    1 error; configuration not loaded
    "#);
}

#[test]
fn an_unknown_table_is_answered_with_the_nearest() {
    let shown = findings(
        r#"
            [provider.openai]
            base_url = "https://api.openai.com/v1"
            api_key = "sk-canary-0123456789"
        "#,
    );

    assert_snapshot!(shown, @r"
    error: unknown key `provider` at the top level
     --> config.toml:1:2
      |
    1 | [provider.openai]
      |  ^^^^^^^^
      |
      = help: did you mean `providers`?

    1 error; configuration not loaded
    ");
}

#[test]
fn a_setting_at_the_top_level_belongs_under_settings() {
    let shown = findings(
        r"
            max_retries = 2

            [server]
            request_timeout_seconds = 5
        ",
    );

    assert_snapshot!(shown, @r"
    error: unknown key `max_retries` at the top level
     --> config.toml:1:1
      |
    1 | max_retries = 2
      | ^^^^^^^^^^^
      |
      = help: it belongs under `[settings]`

    error: unknown key `request_timeout_seconds` in `server`
     --> config.toml:4:1
      |
    4 | request_timeout_seconds = 5
      | ^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: it belongs under `[settings]`

    2 errors; configuration not loaded
    ");
}

#[test]
fn the_value_of_a_misspelt_key_is_not_shown() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            apikey = "sk-canary-0123456789"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: unknown key `apikey` in `providers.local`
     --> config.toml:3:1
      |
    3 | apikey = "********************"
      | ^^^^^^
      |
      = help: did you mean `api_key`?

    1 error; configuration not loaded
    "#);
}

#[test]
fn a_number_in_quotes_is_recognised() {
    let shown = findings(
        r#"
            [settings]
            max_retries = "3"
            public_details = "true"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `settings.max_retries` must be a whole number from 0 to 10, not a string
     --> config.toml:2:15
      |
    2 | max_retries = "3"
      |               ^^^
      |
      = help: write it without quotes: `3`

    error: `settings.public_details` must be `true` or `false`, not a string
     --> config.toml:3:18
      |
    3 | public_details = "true"
      |                  ^^^^^^
      |
      = help: write it without quotes: `true`

    2 errors; configuration not loaded
    "#);
}

#[test]
fn a_number_out_of_range_is_told_the_range() {
    let shown = findings(
        r"
            [settings]
            max_retries = 11
            connect_timeout_seconds = 0
            health_check_interval_seconds = -1
            circuit_breaker_timeout_seconds = 99999999999999999999
            retry_budget_ratio = 1.5
            request_timeout_seconds = 2.5
            max_inflight_requests = 10000000
        ",
    );

    assert_snapshot!(shown, @r"
    error: `settings.max_retries` must be a whole number from 0 to 10, not `11`
     --> config.toml:2:15
      |
    2 | max_retries = 11
      |               ^^

    error: `settings.connect_timeout_seconds` must be a whole number of seconds from 1 to 300, not `0`
     --> config.toml:3:27
      |
    3 | connect_timeout_seconds = 0
      |                           ^

    error: `settings.health_check_interval_seconds` must be a whole number of seconds up to 86400, or 0 for off, not `-1`
     --> config.toml:4:33
      |
    4 | health_check_interval_seconds = -1
      |                                 ^^

    error: `settings.circuit_breaker_timeout_seconds` must be a whole number of seconds from 1 to 86400, not `99999999999999999999`
     --> config.toml:5:35
      |
    5 | circuit_breaker_timeout_seconds = 99999999999999999999
      |                                   ^^^^^^^^^^^^^^^^^^^^

    error: `settings.retry_budget_ratio` must be a number from 0 to 1, not `1.5`
     --> config.toml:6:22
      |
    6 | retry_budget_ratio = 1.5
      |                      ^^^

    error: `settings.request_timeout_seconds` must be a whole number of seconds from 1 to 3600, not `2.5`
     --> config.toml:7:27
      |
    7 | request_timeout_seconds = 2.5
      |                           ^^^
      |
      = help: write whole seconds: `3`

    error: `settings.max_inflight_requests` must be a whole number up to 1000000, or 0 for off, not `10000000`
     --> config.toml:8:25
      |
    8 | max_inflight_requests = 10000000
      |                         ^^^^^^^^

    7 errors; configuration not loaded
    ");
}

#[test]
fn a_list_reports_each_of_its_elements() {
    let shown = findings(
        r#"
            [settings]
            trusted_proxies = ["10.0.0.0/8", "10.0.0.0/33", "proxy", 7]
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `settings.trusted_proxies[1]` is not an address or network such as `10.0.0.0/8`: invalid IP address syntax
     --> config.toml:2:34
      |
    2 | trusted_proxies = ["10.0.0.0/8", "10.0.0.0/33", "proxy", 7]
      |                                  ^^^^^^^^^^^^^

    error: `settings.trusted_proxies[2]` is not an address or network such as `10.0.0.0/8`: invalid IP address syntax
     --> config.toml:2:49
      |
    2 | trusted_proxies = ["10.0.0.0/8", "10.0.0.0/33", "proxy", 7]
      |                                                 ^^^^^^^

    error: `settings.trusted_proxies[3]` must be an address or network such as `10.0.0.0/8`, not `7`
     --> config.toml:2:58
      |
    2 | trusted_proxies = ["10.0.0.0/8", "10.0.0.0/33", "proxy", 7]
      |                                                          ^

    3 errors; configuration not loaded
    "#);
}

#[test]
fn a_table_is_not_a_value() {
    let shown = findings(
        r#"
            providers = 3
            [settings]
            smart_ai = "on"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `providers` must be a table, not `3`
     --> config.toml:1:13
      |
    1 | providers = 3
      |             ^

    error: `settings.smart_ai` must be a table, not a string
     --> config.toml:3:12
      |
    3 | smart_ai = "**"
      |            ^^^^

    2 errors; configuration not loaded
    "#);
}

#[test]
fn one_of_a_few_names_is_guessed() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            http_version = "http2"
            [models.llama]
            name = "llama"
            enabled = false
            affinity = "session"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `providers.local.http_version` cannot be `http2`
     --> config.toml:3:16
      |
    3 | http_version = "http2"
      |                ^^^^^^^
      |
      = help: did you mean `http1`?

    error: `models.llama.affinity` cannot be `session`
     --> config.toml:7:12
      |
    7 | affinity = "session"
      |            ^^^^^^^^^
      |
      = help: expected `none`, `user` or `prompt_cache_key`

    2 errors; configuration not loaded
    "#);
}

#[test]
fn an_address_and_a_time_must_be_complete() {
    let shown = findings(
        r#"
            [server]
            bind_address = "localhost"
            [users.u]
            token = "0123456789abcdef"
            expires_at = "2030-01-31"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `server.bind_address` is not an address and port such as `127.0.0.1:3000`: an IP address and a port are needed; `0.0.0.0` is every address
     --> config.toml:2:16
      |
    2 | bind_address = "localhost"
      |                ^^^^^^^^^^^

    error: `users.u.expires_at` is not a time such as `2030-01-31T00:00:00Z`: a date, a time and an offset from UTC are needed
     --> config.toml:5:14
      |
    5 | expires_at = "2030-01-31"
      |              ^^^^^^^^^^^^

    2 errors; configuration not loaded
    "#);
}

#[test]
fn a_certificate_is_nothing_without_its_key() {
    let shown = findings(
        r#"
            [server]
            tls_cert = "cert.pem"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `tls_cert` is given without `tls_key`
     --> config.toml:2:12
      |
    2 | tls_cert = "cert.pem"
      |            ^^^^^^^^^^

    1 error; configuration not loaded
    "#);
}

#[test]
fn the_least_confidence_is_not_above_the_first() {
    let shown = findings(
        r"
            [settings.smart_ai]
            initial_confidence = 0.3
            min_confidence = 0.5
        ",
    );

    assert_snapshot!(shown, @r"
    error: `min_confidence` 0.5 is greater than `initial_confidence` 0.3
     --> config.toml:3:18
      |
    3 | min_confidence = 0.5
      |                  ^^^

    1 error; configuration not loaded
    ");
}

#[test]
fn a_timeout_that_loses_to_another_is_warned_about() {
    let shown = findings(
        r"
            [settings]
            request_timeout_seconds = 10
            json_timeout_seconds = 600
        ",
    );

    assert_snapshot!(shown, @r"
    warning: `json_timeout_seconds` has no effect beside `request_timeout_seconds`, which holds for all requests
     --> config.toml:3:24
      |
    3 | json_timeout_seconds = 600
      |                        ^^^

    1 warning
    ");
}
