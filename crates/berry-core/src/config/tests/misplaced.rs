//! Keys and tables that TOML puts elsewhere than their author: brackets, headers, dots.

use insta::assert_snapshot;

use super::findings;

#[test]
fn a_list_of_tables_where_one_table_is_meant() {
    let shown = findings(
        r#"
            [[providers.a]]
            base_url = "http://a"
            [[models]]
            name = "m"
            [[settings]]
            max_retries = 1
        "#,
    );

    assert_snapshot!(shown, @r"
    error: `providers.a` must be a table, not an array
     --> config.toml:1:1
      |
    1 | [[providers.a]]
      | ^^^^^^^^^^^^^^^
      |
      = help: there is one only, in single brackets: `[providers.a]`

    error: `models` must be a table, not an array
     --> config.toml:3:1
      |
    3 | [[models]]
      | ^^^^^^^^^^
      |
      = help: each has a name of its own, in single brackets: `[models.<name>]`

    error: `settings` must be a table, not an array
     --> config.toml:5:1
      |
    5 | [[settings]]
      | ^^^^^^^^^^^^
      |
      = help: there is one only, in single brackets: `[settings]`

    3 errors; configuration not loaded
    ");
}

#[test]
fn one_table_where_a_list_of_tables_is_meant() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "http://a"
            [models.m]
            name = "m"
            [models.m.backends]
            provider = "a"
            model = "x"
        "#,
    );

    assert_snapshot!(shown, @r"
    error: `models.m.backends` must be an array of tables, not a table
     --> config.toml:5:1
      |
    5 | [models.m.backends]
      | ^^^^^^^^^^^^^^^^^^^
      |
      = help: begin each with two brackets: `[[models.m.backends]]`

    1 error; configuration not loaded
    ");
}

#[test]
fn a_key_below_the_header_of_another_table_is_sent_home() {
    let shown = findings(
        r#"
            [settings]
            exploration_ratio = 0.1
            otlp_endpoint = "http://collector:4318"
            [providers.a]
            base_url = "http://a"
            [models.m]
            name = "m"
            weight = 2
            [[models.m.backends]]
            provider = "a"
            model = "x"
            strategy = "failover"
            [users.u]
            token = "0123456789abcdef"
            requests_per_minute = 5
            [users.u.rate_limit]
            requests_per_hour = 5
            allowed_models = ["m"]
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: unknown key `exploration_ratio` in `settings`
     --> config.toml:2:1
      |
    2 | exploration_ratio = 0.1
      | ^^^^^^^^^^^^^^^^^
      |
      = help: it belongs under `[settings.smart_ai]`

    error: unknown key `otlp_endpoint` in `settings`
     --> config.toml:3:1
      |
    3 | otlp_endpoint = "*********************"
      | ^^^^^^^^^^^^^
      |
      = help: it belongs under `[telemetry]`

    error: unknown key `weight` in `models.m`
     --> config.toml:8:1
      |
    8 | weight = 2
      | ^^^^^^
      |
      = help: it belongs under `[[models.m.backends]]`

    error: unknown key `strategy` in `models.m.backends[0]`
      --> config.toml:12:1
       |
    12 | strategy = "********"
       | ^^^^^^^^
       |
       = help: it belongs under `[models.m]`, above the first `[[models.m.backends]]`

    error: unknown key `requests_per_minute` in `users.u`
      --> config.toml:15:1
       |
    15 | requests_per_minute = 5
       | ^^^^^^^^^^^^^^^^^^^
       |
       = help: it belongs under `[users.u.rate_limit]`

    error: unknown key `allowed_models` in `users.u.rate_limit`
      --> config.toml:18:1
       |
    18 | allowed_models = ["*"]
       | ^^^^^^^^^^^^^^
       |
       = help: it belongs under `[users.u]`, above the first `[users.u.rate_limit]`

    6 errors; configuration not loaded
    "#);
}

#[test]
fn a_key_above_all_headers_is_sent_home() {
    let shown = findings("base_url = \"http://a\"\nname = \"a\"\ntoken = \"0123456789abcdef\"\n");

    assert_snapshot!(shown, @r#"
    error: unknown key `base_url` at the top level
     --> config.toml:1:1
      |
    1 | base_url = "********"
      | ^^^^^^^^
      |
      = help: it belongs under `[providers.<id>]`

    error: unknown key `name` at the top level
     --> config.toml:2:1
      |
    2 | name = "*"
      | ^^^^
      |
      = help: expected `settings`, `server`, `telemetry`, `usage`, `providers`, `models` or `users`

    error: unknown key `token` at the top level
     --> config.toml:3:1
      |
    3 | token = "****************"
      | ^^^^^
      |
      = help: it belongs under `[users.<id>]`

    3 errors; configuration not loaded
    "#);
}

#[test]
fn a_name_with_a_dot_needs_quotes() {
    let shown = findings(
        r#"
            [providers.eu.west]
            base_url = "http://a"
            [models.gpt-4]
            name = "gpt-4"
            backends = [{ provider = "eu.west", model = "x" }]
            [models.gpt-4.1]
            name = "gpt-4.1"
            [[models.gpt-4.1.backends]]
            provider = "eu.west"
            model = "gpt-4.1"
            [models.claude-3.5.1]
            name = "claude"
            [users.jane.doe]
            token = "canary-0123456789"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `eu.west` has a dot in it and no quotes around it
     --> config.toml:1:12
      |
    1 | [providers.eu.west]
      |            ^^^^^^^
      |
      = help: write `providers."eu.west"`, in every header that begins with it

    error: `gpt-4.1` has a dot in it and no quotes around it
     --> config.toml:6:9
      |
    6 | [models.gpt-4.1]
      |         ^^^^^^^
      |
      = help: write `models."gpt-4.1"`, in every header that begins with it

    error: `claude-3.5.1` has a dot in it and no quotes around it
      --> config.toml:11:9
       |
    11 | [models.claude-3.5.1]
       |         ^^^^^^^^^^^^
       |
       = help: write `models."claude-3.5.1"`, in every header that begins with it

    error: `jane.doe` has a dot in it and no quotes around it
      --> config.toml:13:8
       |
    13 | [users.jane.doe]
       |        ^^^^^^^^
       |
       = help: write `users."jane.doe"`, in every header that begins with it

    4 errors; configuration not loaded
    "#);
}

#[test]
fn an_unknown_table_is_no_name_with_a_dot() {
    let shown = findings("[settings.a]\nmax_retries = 1\n[users.u.b]\nc = 1\n");

    assert_snapshot!(shown, @r"
    error: unknown key `a` in `settings`
     --> config.toml:1:11
      |
    1 | [settings.a]
      |           ^

    error: user `u` has no `token`
     --> config.toml:3:8
      |
    3 | [users.u.b]
      |        ^
      |
      = help: write a `token`, or its digest as `token_sha256`

    error: unknown key `b` in `users.u`
     --> config.toml:3:10
      |
    3 | [users.u.b]
      |          ^
      |
      = help: expected `name`, `token`, `token_sha256`, `allowed_models`, `enabled`, `tags`, `allowed_ips`, `expires_at` or `rate_limit`

    3 errors; configuration not loaded
    ");
}
