//! Numbers, prices and addresses that are legal and probably not meant.

use insta::assert_snapshot;

use super::lint::lint;
use super::told;

/// Returns what is told about a model with these lines and these backends, each of `base_url`.
fn model(lines: &str, backends: &[&str]) -> String {
    let rows = backends.iter().enumerate().map(|(place, row)| {
        format!("[[models.m.backends]]\nprovider = \"p\"\nmodel = \"x{place}\"\n{row}\n")
    });
    told(&lint(&format!(
        "[providers.p]\nbase_url = \"http://p\"\n[users.u]\ntoken = \"0123456789abcdef\"\n\
         [models.m]\nname = \"m\"\n{lines}\n{}",
        rows.collect::<String>()
    )))
}

/// Returns what is told about a provider with these lines.
fn provider(lines: &str) -> String {
    told(&lint(&format!(
        "[providers.p]\n{lines}\n[users.u]\ntoken = \"0123456789abcdef\"\n[models.m]\nname = \"m\"\n\
         backends = [{{ provider = \"p\", model = \"x\" }}]\n"
    )))
}

/// Returns what is told about a file with these settings.
fn settings(lines: &str) -> String {
    told(&lint(&format!(
        "[settings]\n{lines}\n[providers.p]\nbase_url = \"http://p\"\n[users.u]\n\
         token = \"0123456789abcdef\"\n[models.m]\nname = \"m\"\n\
         backends = [{{ provider = \"p\", model = \"x\" }}]\n"
    )))
}

#[test]
fn keys_that_a_strategy_does_not_look_at_are_named() {
    let weights = ["weight = 5", "weight = 3"];
    let ranks = ["priority = 1", "priority = 2"];
    let both = ["weight = 5\npriority = 1", "priority = 2"];

    let told = [
        model("strategy = \"failover\"", &weights),
        model("strategy = \"round_robin\"", &both),
        model("", &ranks),
    ];
    assert_snapshot!(told.join("\n\n"), @r"
    warning: the `weight` of the backends of model `m` has no effect under `failover`
    = help: it counts under `weighted_failover` or `smart_ai`

    warning: the `weight` of the backends of model `m` has no effect under `round_robin`
    = help: it counts under `weighted_failover` or `smart_ai`
    warning: the `priority` of the backends of model `m` has no effect under `round_robin`
    = help: it counts under `failover`

    warning: the `priority` of the backends of model `m` has no effect under `weighted_failover`
    = help: it counts under `failover`
    ");

    assert_eq!(model("strategy = \"failover\"", &both), "");
    assert_eq!(model("", &weights), "");
    assert_eq!(
        model("strategy = \"failover\"", &["weight = 5", "weight = 5"]),
        ""
    );
}

#[test]
fn prices_that_nobody_asks_are_named() {
    let told = [
        model(
            "",
            &["input_price = 1\noutput_price = 2\ncached_input_price = 3"],
        ),
        model("", &["input_price = 0.0000025\noutput_price = 0.00001"]),
        model(
            "",
            &["billing_mode = \"per_request\"\ninput_price = 1\noutput_price = 2"],
        ),
        model(
            "",
            &["request_price = 0.1", "billing_mode = \"per_request\""],
        ),
        model("strategy = \"smart_ai\"", &["input_price = 1"]),
        model("strategy = \"smart_ai\"", &["request_price = 0.1", ""]),
        model("strategy = \"smart_ai\"", &["", ""]),
    ];
    assert_snapshot!(told.join("\n\n"), @r"
    warning: the backend `p:x0` of model `m` has a `cached_input_price` above its `input_price`
    = help: what was cached costs less with every provider: are the two swapped?

    warning: the backend `p:x0` of model `m` has a price of less than a thousandth of a dollar
    = help: prices are for a million tokens: what costs $0.0000025 a token has a price of 2.5

    warning: the backend `p:x0` of model `m` is billed `per_request` and has no `request_price`
    = help: write `request_price`, in dollars per request

    warning: the backend `p:x1` of model `m` is billed `per_request` and has no `request_price`
    = help: write `request_price`, in dollars per request

    warning: model `m` goes by prices, and its backend `p:x0` has `input_price` and no `output_price`
    = help: it is taken to cost as little as the cheapest

    warning: model `m` goes by prices, and its backend `p:x1` has no price
    = help: it is taken to cost as little as the cheapest

    warning: model `m` goes by prices, and no backend of it has one
    = help: write `input_price` and `output_price`, or `request_price`
    ");

    assert_eq!(model("", &["billing_mode = \"per_request\""]), "");
    assert_eq!(model("", &["input_price = 0\noutput_price = 0"]), "");
}

#[test]
fn addresses_of_providers_that_speak_otherwise_are_named() {
    let told = [
        provider("base_url = \"https://api.anthropic.com\"\napi_key = \"${OPENAI_API_KEY}\""),
        provider(
            "base_url = \"https://generativelanguage.googleapis.com/v1beta\"\napi_key = \"${OPENAI_API_KEY}\"",
        ),
        provider(
            "base_url = \"https://x.cognitiveservices.azure.com/openai/deployments/d\"\napi_key = \"${OPENAI_API_KEY}\"",
        ),
        provider(
            "base_url = \"https://api.openai.com/v1\"\nbackend_type = \"claude\"\napi_key = \"${OPENAI_API_KEY}\"",
        ),
    ];
    assert_snapshot!(told.join("\n\n"), @r#"
    warning: provider `p` is at an address of Anthropic, and is spoken to as `openai`
    = help: write `backend_type = "claude"`

    warning: provider `p` is at an address of Google's Gemini, and is spoken to as `openai`
    = help: write `backend_type = "gemini"`

    warning: provider `p` is at an address of Azure, and is spoken to as `openai`
    = help: write `backend_type = "azure"`

    warning: provider `p` is at an address of OpenAI, and is spoken to as `claude`
    = help: write `backend_type = "openai"`
    "#);

    let key = "api_key = \"${OPENAI_API_KEY}\"\n";
    for lines in [
        "base_url = \"https://api.anthropic.com/v1\"\nbackend_type = \"openai\"",
        "base_url = \"https://generativelanguage.googleapis.com/v1beta/openai\"",
        "base_url = \"https://api.openai.com/v1\"",
    ] {
        assert_eq!(provider(&(key.to_owned() + lines)), "", "{lines}");
    }
}

#[test]
fn a_provider_that_is_the_gateway_is_named() {
    let own = |bind: &str, url: &str| {
        provider(&format!(
            "base_url = \"{url}\"\n[server]\nbind_address = \"{bind}\""
        ))
    };

    for (bind, url) in [
        ("127.0.0.1:3000", "http://localhost:3000/v1"),
        ("0.0.0.0:80", "http://127.0.0.1/v1"),
        ("[::]:8080", "http://[::1]:8080"),
        ("10.0.0.5:8080", "http://10.0.0.5:8080"),
        ("127.0.0.1:8080", "http://0.0.0.0:8080"),
    ] {
        let told = own(bind, url);
        assert!(
            told.contains(&format!("`p` is at {bind}, where the gateway")),
            "{url}: {told}"
        );
    }
    assert!(provider("base_url = \"http://localhost:3000\"").contains("gateway itself"));
    for (bind, url) in [
        ("127.0.0.1:8080", "http://localhost:3000"),
        ("10.0.0.5:8080", "http://10.0.0.6:8080"),
        ("10.0.0.5:8080", "http://localhost:8080"),
    ] {
        assert_eq!(own(bind, url), "", "{url}");
    }
}

#[test]
fn settings_in_another_unit_or_for_everybody_are_named() {
    let told = [
        settings("max_body_bytes = 32"),
        settings("trusted_proxies = [\"10.0.0.1\", \"::/0\"]"),
        settings("connect_timeout_seconds = 60\nrequest_timeout_seconds = 10"),
        provider("base_url = \"http://p\"\nmax_retries = 5"),
    ];
    assert_snapshot!(told.join("\n\n"), @r"
    warning: `max_body_bytes` (32) is less than most requests have
    = help: it counts bytes: 32 MiB are 33554432; a larger body is answered with 413

    warning: `trusted_proxies` has every address in it, by `::/0`
    = help: any client may then say where it is, and `allowed_ips` keeps nobody out; name your proxies alone

    warning: `connect_timeout_seconds` (60) is longer than `request_timeout_seconds` (10)
    = help: a connection that is not made is given up after the shorter time

    warning: `max_retries` of provider `p` (5) is more than that of `settings` (3)
    = help: a request has no more retries than `settings.max_retries` allows
    ");

    assert_eq!(
        settings("max_body_bytes = 16384\ntrusted_proxies = [\"10.0.0.0/8\"]"),
        ""
    );
}

#[test]
fn users_who_are_not_let_in_count_as_nobody() {
    let with = |users: &str| {
        let backends = "[{ provider = \"a\", model = \"x\" }]";
        let models = ["m", "n"]
            .map(|key| format!("[models.{key}]\nname = \"{key}\"\nbackends = {backends}\n"));
        lint(&format!(
            "[providers.a]\nbase_url = \"http://a\"\n{}{users}",
            models.concat()
        ))
    };
    let off = "[users.off]\ntoken = \"k3J9s8dQ2m7Zx1vB4n6p\"\nenabled = false\n";
    let gone =
        "[users.gone]\ntoken = \"k3J9s8dQ2m7Zx1vB4n6q\"\nexpires_at = 2025-12-31T23:59:59Z\n";
    let some = "[users.some]\ntoken = \"k3J9s8dQ2m7Zx1vB4n6r\"\nallowed_models = [\"m\"]\n";

    for users in [off.to_owned(), gone.to_owned(), format!("{off}{gone}")] {
        let shown = with(&users);
        assert!(
            shown.contains("all users are disabled or have expired"),
            "{shown}"
        );
    }
    let shown = with(&format!("{off}{gone}{some}"));
    assert!(shown.contains("no user may use model `n`"), "{shown}");
    assert!(!shown.contains("all users"), "{shown}");
}
