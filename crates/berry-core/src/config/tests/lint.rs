//! Findings about what is legal and probably not meant.

use insta::assert_snapshot;

use super::{PROTOCOLS, STRATEGIES, environment, source};
use crate::config::{Config, Term, Vocabulary};

/// Returns what a terminal shows about a file that is valid.
pub(super) fn lint(text: &str) -> String {
    let available = |term| Term {
        available: true,
        ..term
    };
    let vocabulary = Vocabulary {
        strategies: &STRATEGIES.map(available),
        protocols: &PROTOCOLS.map(available),
    };
    let source = source(text);
    let loaded = Config::parse(&source, &vocabulary, &environment);
    let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.render(&source, false)));
    loaded
        .linted(
            &source,
            &vocabulary,
            "2026-01-01T00:00:00Z".parse().unwrap(),
        )
        .warnings
        .render(&source, false)
}

#[test]
fn a_file_in_which_all_is_of_use_is_left_alone() {
    let shown = lint(
        r#"
            [providers.a]
            base_url = "http://a"
            [models.m]
            name = "m"
            backends = [{ provider = "a", model = "x", tags = ["blue"] }]
            [users.u]
            token = "0123456789abcdef"
            tags = ["blue"]
        "#,
    );

    assert_eq!(shown, "");
}

#[test]
fn providers_of_no_use_are_named() {
    let shown = lint(
        r#"
            [providers.a]
            base_url = "http://a"
            api_key = "sk-canary-0123456789"
            [providers.twin]
            base_url = "http://a"
            api_key = "sk-canary-0123456789"
            [providers.unused]
            base_url = "http://b"
            [models.m]
            name = "m"
            backends = [{ provider = "a", model = "x" }, { provider = "twin", model = "x" }]
            [users.u]
            token = "0123456789abcdef"
        "#,
    );

    assert_snapshot!(shown, @r#"
    warning: providers `a` and `twin` are the same account at the same address
     --> config.toml:4:12
      |
    4 | [providers.twin]
      |            ^^^^
      |
      = help: when one of them fails or is limited, so is the other

    warning: provider `unused` is used by no model
     --> config.toml:7:12
      |
    7 | [providers.unused]
      |            ^^^^^^

    2 warnings
    "#);
}

#[test]
fn models_backends_and_users_without_each_other_are_named() {
    let shown = lint(
        r#"
            [providers.a]
            base_url = "http://a"
            [models.m]
            name = "m"
            [[models.m.backends]]
            provider = "a"
            model = "x"
            tags = ["blue"]
            [[models.m.backends]]
            provider = "a"
            model = "fallback"
            tags = ["green"]
            [models.closed]
            name = "closed"
            backends = [{ provider = "a", model = "x" }]
            [models.off]
            name = "off"
            enabled = false
            [users.blue]
            token = "0123456789abcdef"
            tags = ["blue"]
            allowed_models = ["m"]
            [users.red]
            token = "0123456789abcdeg"
            tags = ["red"]
            allowed_models = ["m"]
            [users.idle]
            token = "0123456789abcdeh"
            allowed_models = ["off"]
        "#,
    );

    assert_snapshot!(shown, @r#"
    warning: the backend `a:fallback` of model `m` can never be chosen: no user of the model has one of its tags
     --> config.toml:9:1
      |
    9 | [[models.m.backends]]
      | ^^^^^^^^^^^^^^^^^^^^^

    warning: no user may use model `closed`
      --> config.toml:13:9
       |
    13 | [models.closed]
       |         ^^^^^^
       |
       = help: look at `allowed_models` and `tags` of the users, and `tags` of its backends

    warning: the tags of user `red` match no backend
      --> config.toml:25:1
       |
    25 | tags = ["red"]
       | ^^^^
       |
       = help: every request is answered with 403 `no_backend_for_user`

    warning: user `idle` may use no model that is served
      --> config.toml:29:1
       |
    29 | allowed_models = ["off"]
       | ^^^^^^^^^^^^^^

    4 warnings
    "#);
}

#[test]
fn a_model_whose_only_provider_is_disabled_is_not_blamed_on_its_users() {
    let shown = lint(
        r#"
            [providers.a]
            base_url = "http://a"
            enabled = false
            [models.m]
            name = "m"
            strategy = "smart_ai"
            backends = [{ provider = "a", model = "x", tags = ["blue"] }]
            [users.u]
            token = "0123456789abcdef"
        "#,
    );

    assert!(shown.contains("provider `a`, which is disabled"), "{shown}");
    assert!(shown.ends_with("\n\n1 warning\n"), "{shown}");
}

#[test]
fn prices_that_a_strategy_needs_are_missed() {
    let shown = lint(
        r#"
            [providers.a]
            base_url = "http://a"
            [models.some]
            name = "some"
            strategy = "smart_ai"
            backends = [
                { provider = "a", model = "x", input_price = 1, output_price = 2 },
                { provider = "a", model = "y", input_price = 1 },
            ]
            [models.none]
            name = "none"
            strategy = "smart_ai"
            backends = [{ provider = "a", model = "x" }]
            [users.u]
            token = "0123456789abcdef"
        "#,
    );

    assert_snapshot!(shown, @r#"
    warning: model `some` goes by prices, and its backend `a:y` has `input_price` and no `output_price`
     --> config.toml:8:5
      |
    8 |     { provider = "a", model = "y", input_price = 1 },
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: it is taken to cost as little as the cheapest

    warning: model `none` goes by prices, and no backend of it has one
      --> config.toml:13:1
       |
    13 | backends = [{ provider = "a", model = "x" }]
       | ^^^^^^^^
       |
       = help: write `input_price` and `output_price`, or `request_price`

    2 warnings
    "#);
}

#[test]
fn times_that_contradict_each_other_are_named() {
    let shown = lint(
        r#"
            [settings]
            health_check_interval_seconds = 5
            request_deadline_seconds = 20
            connect_timeout_seconds = 25
            first_token_timeout_seconds = 21
            [providers.a]
            base_url = "http://a"
            [models.m]
            name = "m"
            backends = [{ provider = "a", model = "x" }]
            [users.u]
            token = "0123456789abcdef"
        "#,
    );

    assert_snapshot!(shown, @r#"
    warning: `health_check_timeout_seconds` (10) is longer than `health_check_interval_seconds` (5)
     --> config.toml:2:1
      |
    2 | health_check_interval_seconds = 5
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: a probe may still run when the next is due

    warning: `request_timeout_seconds` (30) is longer than `request_deadline_seconds` (20)
     --> config.toml:3:1
      |
    3 | request_deadline_seconds = 20
      | ^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: the deadline passes before an upstream is given up, and no other is tried

    warning: `connect_timeout_seconds` (25) is longer than `request_deadline_seconds` (20)
     --> config.toml:4:1
      |
    4 | connect_timeout_seconds = 25
      | ^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: the deadline passes before a connection is given up, and no other backend is tried

    warning: `first_token_timeout_seconds` (21) is longer than `request_deadline_seconds` (20)
     --> config.toml:5:1
      |
    5 | first_token_timeout_seconds = 21
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: the deadline passes before a silent stream is given up, and no other backend is tried

    4 warnings
    "#);
}

#[test]
fn a_finding_on_a_line_with_a_key_does_not_show_the_key() {
    let shown = lint("providers.a = { base_url = \"http://a\", api_key = \"sk-canary\" }");

    assert!(
        shown.contains("used by no model") && !shown.contains("canary"),
        "{shown}"
    );
}

#[test]
fn addresses_of_another_protocol_are_named() {
    let provider = |id: &str, protocol: &str, url: &str| {
        format!(
            "[providers.{id}]\nbackend_type = \"{protocol}\"\nbase_url = \"http://h{url}\"\n\
             [[models.m.backends]]\nprovider = \"{id}\"\nmodel = \"x\"\n"
        )
    };
    let good = provider("a", "azure", "/openai/v1")
        + &provider("b", "gemini", "/v1beta")
        + &provider("c", "openai", "/v1beta/openai")
        + &provider("d", "claude", "/v1/messages")
        + &provider("e", "azure", "/openai/deployments/e")
        + "[providers.e.headers]\napi-version = \"2024-10-21\"\n";
    let bad = provider("v", "azure", "/openai/deployments/e")
        + &provider("w", "gemini", "/v1beta/openai")
        + &provider("x", "openai", "/v1/messages");
    let rest = "[models.m]\nname = \"m\"\n[users.u]\ntoken = \"0123456789abcdef\"\n";

    let shown = lint(&(rest.to_owned() + &good));
    assert_eq!(shown, "");

    let shown = lint(&(rest.to_owned() + &bad));
    let lines = shown.lines().map(str::trim);
    let found: Vec<&str> = lines.filter(|line| line.contains(": ")).collect();
    assert_snapshot!(found.join("\n"), @r#"
    warning: provider `v` is asked at a deployment without an `api-version`, which Azure demands
    = help: write `headers = { api-version = "2024-10-21" }`
    warning: provider `w` has `backend_type = "gemini"` and an address where OpenAI's protocol is spoken
    = help: leave `/openai` out of `base_url`, or write `backend_type = "openai"`
    warning: provider `x` has an address where Anthropic's protocol is spoken, and another `backend_type`
    = help: write `backend_type = "claude"`
    "#);
}

#[test]
fn twins_are_seen_however_their_address_is_written() {
    let shown = lint(
        r#"
            [providers.a]
            base_url = "http://localhost:80/v1"
            [providers.twin]
            base_url = "http://127.0.0.1/v1/"
            [providers.other]
            base_url = "http://localhost:8080/v1"
            [models.m]
            name = "m"
            backends = [
                { provider = "a", model = "x" },
                { provider = "twin", model = "x" },
                { provider = "other", model = "x" },
            ]
            [users.u]
            token = "0123456789abcdef"
        "#,
    );

    assert_snapshot!(shown, @r"
    warning: providers `a` and `twin` are the same account at the same address
     --> config.toml:3:12
      |
    3 | [providers.twin]
      |            ^^^^
      |
      = help: when one of them fails or is limited, so is the other

    1 warning
    ");
}

#[test]
fn what_time_has_ended_and_what_strangers_read_is_named() {
    let shown = lint(
        r#"
            [providers.a]
            base_url = "http://api.example.com/v1"
            api_key = "sk-canary-0123456789"
            [providers.near]
            base_url = "http://vllm.models.svc:8000/v1"
            api_key = "sk-canary-0123456789"
            [models.m]
            name = "m"
            backends = [{ provider = "a", model = "x" }, { provider = "near", model = "x" }]
            [users.gone]
            token = "0123456789abcdef"
            expires_at = 2025-12-31T23:59:59Z
            [users.off]
            token = "0123456789abcdeg"
            enabled = false
            expires_at = 2025-12-31T23:59:59Z
            [users.here]
            token = "0123456789abcdeh"
            expires_at = 2026-01-01T00:00:01Z
        "#,
    );

    assert_snapshot!(shown, @r#"
    warning: the key of provider `a` is sent in clear text
     --> config.toml:2:1
      |
    2 | base_url = "http://api.example.com/v1"
      | ^^^^^^^^
      |
      = help: write `https://` in `base_url`

    warning: the token of user `gone` has expired, at 2025-12-31T23:59:59Z
      --> config.toml:12:1
       |
    12 | expires_at = 2025-12-31T23:59:59Z
       | ^^^^^^^^^^

    2 warnings
    "#);
}

#[test]
fn settings_that_take_each_others_effect_are_named() {
    let shown = lint(
        r#"
            [settings]
            request_deadline_seconds = 60
            json_timeout_seconds = 120
            recovery_check_interval_seconds = 5
            stream_keepalive_seconds = 30
            stream_idle_timeout_seconds = 30
            max_retries = 0
            max_internal_retries = 2
            [providers.a]
            base_url = "http://a"
            timeout_seconds = 90
            [models.m]
            name = "m"
            backends = [{ provider = "a", model = "x" }]
            [users.u]
            token = "0123456789abcdef"
        "#,
    );

    assert_snapshot!(shown, @r"
    warning: `json_timeout_seconds` (120) is longer than `request_deadline_seconds` (60)
     --> config.toml:3:1
      |
    3 | json_timeout_seconds = 120
      | ^^^^^^^^^^^^^^^^^^^^
      |
      = help: the deadline passes before an upstream is given up, and no other is tried

    warning: `health_check_timeout_seconds` (10) is longer than `recovery_check_interval_seconds` (5)
     --> config.toml:4:1
      |
    4 | recovery_check_interval_seconds = 5
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: a probe of an unhealthy backend may still run when the next is due

    warning: `stream_keepalive_seconds` (30) is not shorter than `stream_idle_timeout_seconds` (30)
     --> config.toml:5:1
      |
    5 | stream_keepalive_seconds = 30
      | ^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: a stream that falls silent is given up before a comment is due

    warning: `max_internal_retries` (2) is more than `max_retries` (0)
     --> config.toml:8:1
      |
    8 | max_internal_retries = 2
      | ^^^^^^^^^^^^^^^^^^^^
      |
      = help: a move is a retry: there are no more of them than `max_retries` allows

    warning: `timeout_seconds` of provider `a` (90) is longer than `request_deadline_seconds` (60)
      --> config.toml:11:1
       |
    11 | timeout_seconds = 90
       | ^^^^^^^^^^^^^^^
       |
       = help: the deadline passes before an upstream is given up, and no other is tried

    5 warnings
    ");
}

#[test]
fn a_default_is_never_at_fault() {
    let shown = lint(
        r#"
            [settings]
            request_deadline_seconds = 60
            stream_idle_timeout_seconds = 10
            max_retries = 0
            [providers.a]
            base_url = "http://a"
            [models.m]
            name = "m"
            backends = [{ provider = "a", model = "x" }]
            [users.u]
            token = "0123456789abcdef"
        "#,
    );

    assert_eq!(shown, "");
}
