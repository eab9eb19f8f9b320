//! Providers and gateways, asked.

use serde_json::{Value, json};

use crate::support::{Desk, Finished, MockUpstream};

fn provider(id: &str, authority: &str) -> String {
    format!(
        "[providers.{id}]\nbase_url = \"http://{authority}/v1\"\nproxy_url = \"none\"\n\
         api_key = \"key-of-{id}\"\n"
    )
}

/// A model with a backend at each of these providers.
fn model(providers: &[&str]) -> String {
    let backends = providers
        .iter()
        .map(|id| format!("{{ provider = \"{id}\", model = \"gpt-4o\" }}"));
    let backends = backends.collect::<Vec<_>>().join(", ");
    format!("[models.m]\nname = \"m\"\nbackends = [{backends}]\n")
}

#[test]
fn a_provider_that_works_is_healthy_by_models_list_chat_and_stream() {
    let upstream = MockUpstream::start(&["--api-key", "key-of-good"]);
    let desk = Desk::with(&(provider("good", upstream.authority()) + &model(&["good"])));

    let healthy = desk.run(&["health-check"]);

    assert_eq!(healthy.code, Some(0), "{healthy:?}");
    let lines: Vec<_> = healthy.stdout.lines().collect();
    assert_eq!(lines[0], "✅ Provider good is healthy");
    assert_eq!(lines[4], "✅ Health check completed");
    for (line, check) in lines[1..4].iter().zip(["models list", "chat", "streaming"]) {
        assert!(line.contains(check) && line.contains("passed"), "{line}");
        assert!(line.ends_with(" ms"), "{line}");
    }
}

#[test]
fn one_that_fails_is_named_with_the_reason_and_fails_the_command() {
    let (good, bad) = (
        MockUpstream::start(&[]),
        MockUpstream::start(&["--api-key", "another-key"]),
    );
    let providers = provider("good", good.authority()) + &provider("bad", bad.authority());
    let desk = Desk::with(&(providers + &model(&["good", "bad"])));

    let failed = desk.run(&["health-check"]);
    let only_good = desk.run(&["health-check", "-p", "good"]);
    let json = desk.run(&["health-check", "-p", "bad", "--format", "json"]);
    let nobody = desk.run(&["health-check", "-p", "nobody"]);

    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stdout.contains("✅ Provider good is healthy\n"),
        "{}",
        failed.stdout
    );
    assert!(
        failed.stdout.contains("❌ Provider bad is unhealthy\n"),
        "{}",
        failed.stdout
    );
    assert!(failed.stdout.contains("auth: "), "{}", failed.stdout);
    let last = failed.stdout.lines().last();
    assert_eq!(last, Some("❌ Health check failed: 1 of 2 unhealthy: bad"));
    assert_eq!(only_good.code, Some(0), "{only_good:?}");
    let outcomes: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (json.code, outcomes.as_array().unwrap().len()),
        (Some(1), 3)
    );
    assert_eq!(outcomes[1]["check"], "chat");
    assert_eq!(outcomes[1]["result"], "failed");
    assert_eq!(
        nobody.stderr,
        "error: there is no provider `nobody`: expected `good` or `bad`\n"
    );
}

#[test]
fn a_backend_that_bills_by_request_is_not_asked_unless_it_is_named() {
    let upstream = MockUpstream::start(&[]);
    let billed = "[models.m]\nname = \"m\"\nbackends = [{ provider = \"a\", model = \"dear\", \
                  billing_mode = \"per_request\" }]";
    let desk = Desk::with(&(provider("a", upstream.authority()) + billed));

    let all = desk.run(&["health-check"]);
    let named = desk.run(&["test-backend", "-p", "a", "-m", "dear"]);

    assert_eq!(all.code, Some(0), "{all:?}");
    let skipped = all
        .stdout
        .lines()
        .find(|line| line.contains("dear"))
        .unwrap();
    let reason = "it bills by request: `test-backend` asks it all the same";
    assert!(
        skipped.contains(" skipped ") && skipped.ends_with(reason),
        "{skipped}"
    );
    let last = named.stdout.lines().last();
    assert_eq!(last, Some("✅ Backend a:dear connectivity test passed"));
}

#[test]
fn a_backend_that_does_not_answer_fails_its_test() {
    let upstream = MockUpstream::start(&["--error-rate", "1"]);
    let desk = Desk::with(&provider("a", upstream.authority()));

    let failed = desk.run(&["test-backend", "-p", "a", "-m", "gpt-4o"]);

    assert_eq!(failed.code, Some(1));
    let last = failed.stdout.lines().last();
    assert_eq!(last, Some("❌ Backend a:gpt-4o connectivity test failed"));
}

#[test]
fn validation_can_ask_the_providers_as_well() {
    let (upstream, dead) = (
        MockUpstream::start(&[]),
        MockUpstream::start(&["--error-rate", "1"]),
    );
    let desk = Desk::with(&(provider("a", upstream.authority()) + &model(&["a"])));
    let connect = ["validate-config", "--connect", "--format", "json"];

    let connected = desk.run(&["validate-config", "--connect"]);
    let json = desk.run(&connect);
    desk.write(
        "config.toml",
        &(provider("a", dead.authority()) + &model(&["a"])),
    );
    let failed = desk.run(&connect);
    let told = desk.run(&["validate-config", "--connect"]);
    desk.write("config.toml", "max_retries = 1");
    let invalid = desk.run(&connect);

    assert_eq!(connected.code, Some(0), "{connected:?}");
    let last = |finished: &Finished| finished.stdout.lines().last().map(str::to_owned);
    assert!(connected.stdout.contains("✅ Provider a is healthy\n"));
    assert_eq!(last(&connected).unwrap(), "✅ Health check completed");
    assert_eq!(
        last(&told).unwrap(),
        "❌ Health check failed: 1 of 1 unhealthy: a"
    );
    let members = |finished: &Finished| {
        let printed: Value = serde_json::from_str(&finished.stdout).unwrap();
        let count = |name: &str| printed[name].as_array().unwrap().len();
        (finished.code, count("diagnostics"), count("checks"))
    };
    assert_eq!(members(&json), (Some(0), 1, 3), "{json:?}");
    assert_eq!(members(&failed), (Some(1), 1, 3), "{failed:?}");
    assert_eq!(members(&invalid), (Some(1), 3, 0), "{invalid:?}");
}

#[test]
fn whatever_is_not_asked_is_listed_with_the_reason() {
    let upstream = MockUpstream::start(&[]);
    let desk = Desk::with(
        &(provider("a", upstream.authority())
            + &provider("off", "127.0.0.1:1")
            + "enabled = false\n\
               [models.m]\nname = \"m\"\n\
               backends = [\n\
                 { provider = \"a\", model = \"used\" },\n\
                 { provider = \"a\", model = \"unused\", enabled = false },\n\
                 { provider = \"off\", model = \"far\" },\n\
               ]\n\
               [models.n]\nname = \"n\"\nenabled = false\n\
               backends = [\n\
                 { provider = \"a\", model = \"used\" },\n\
                 { provider = \"a\", model = \"retired\" },\n\
               ]\n"),
    );

    let checked = desk.run(&["health-check", "--format", "json"]);
    let text = desk.run(&["health-check"]);

    let outcomes: Vec<Value> = serde_json::from_str(&checked.stdout).unwrap();
    let skipped = outcomes.iter().filter(|one| one["result"] == "skipped");
    let skipped: Vec<_> = skipped
        .map(|one| json!([one["provider"], one["model"], one["cause"]]))
        .collect();
    assert_eq!(
        skipped,
        [
            json!(["a", "unused", "it is disabled"]),
            json!(["a", "retired", "its model is disabled"]),
            json!(["off", null, "the provider is disabled"]),
        ]
    );
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(
        text.stdout.contains("➖ Provider off is not asked\n"),
        "{}",
        text.stdout
    );
}

#[test]
fn where_there_is_nobody_to_ask_the_check_fails() {
    let disabled = provider("a", "127.0.0.1:1") + "enabled = false\n";
    for config in ["", &disabled] {
        let failed = Desk::with(config).run(&["health-check"]);

        assert_eq!(failed.code, Some(1), "{failed:?}");
        let expected = "error: nobody was asked: `config.toml` has no enabled provider\n";
        assert_eq!(failed.stderr, expected);
    }
}

#[test]
fn a_model_that_embeds_is_not_asked_to_chat() {
    let upstream = MockUpstream::start(&[]);
    let desk = Desk::with(
        &(provider("a", upstream.authority())
            + "[models.m]\nname = \"m\"\n\
               backends = [{ provider = \"a\", model = \"text-embedding-3-small\" }]\n"),
    );

    let checked = desk.run(&["health-check", "--format", "json"]);

    let outcomes: Vec<Value> = serde_json::from_str(&checked.stdout).unwrap();
    let checks: Vec<_> = outcomes.iter().map(|one| &one["check"]).collect();
    assert_eq!(checks, ["models", "embeddings"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn a_stream_that_fails_says_why() {
    let (refusing, broken) = (
        MockUpstream::start(&["--api-key", "another-key"]),
        MockUpstream::start(&["--error-rate", "1"]),
    );
    let providers = provider("refusing", refusing.authority())
        + &provider("broken", broken.authority())
        + &provider("absent", "127.0.0.1:1");
    let desk = Desk::with(&(providers + &model(&["refusing", "broken", "absent"])));

    let checked = desk.run(&["health-check", "--format", "json"]);

    let outcomes: Vec<Value> = serde_json::from_str(&checked.stdout).unwrap();
    for (provider, cause) in [
        ("refusing", "auth: "),
        ("broken", "server: "),
        ("absent", "connect: "),
    ] {
        let of = |check: &str| {
            let found = |one: &&Value| one["provider"] == provider && one["check"] == check;
            let found = outcomes.iter().find(found).unwrap();
            found["cause"].as_str().unwrap()
        };
        assert!(of("stream").starts_with(cause), "{}", of("stream"));
        assert_eq!(of("stream"), of("chat"));
    }
}

#[test]
fn failures_are_json_where_results_are() {
    let desk = Desk::with("max_retries = 1");
    let told = |arguments: &[&str]| {
        let failed = desk.run(&[arguments, &["--format", "json"]].concat());
        assert_eq!(failed.code, Some(1), "{failed:?}");
        serde_json::from_str::<Value>(&failed.stderr).unwrap()
    };

    let absent = told(&["validate-config", "-c", "absent.toml"]);
    let invalid = told(&["health-check"]);
    desk.write("config.toml", "");
    let unknown = told(&["test-backend", "-p", "a", "-m", "x"]);

    let message = "the configuration cannot be loaded: no configuration file at `absent.toml`";
    assert_eq!(
        absent,
        json!({ "error": { "message": message }, "diagnostics": [] })
    );
    assert_eq!(invalid["error"]["message"], "`config.toml` has errors");
    assert_eq!(
        invalid["diagnostics"][0]["help"],
        "it belongs under `[settings]`"
    );
    assert_eq!(unknown["error"]["message"], "there is no provider `a`");
}

#[test]
fn metrics_of_an_address_need_no_file() {
    let desk = Desk::with("");
    std::fs::remove_file(desk.0.path().join("config.toml")).unwrap();

    let nobody = desk.run(&["metrics", "--url", "http://127.0.0.1:1"]);
    let without = desk.run(&["metrics"]);

    let expected = "error: no gateway answers at `http://127.0.0.1:1/metrics`";
    assert!(nobody.stderr.starts_with(expected), "{}", nobody.stderr);
    assert!(
        without
            .stderr
            .contains("no configuration file at `config.toml`")
    );
}

#[test]
fn metrics_of_nobody_fail_and_say_where_they_were_looked_for() {
    let desk = Desk::with("[server]\nbind_address = \"0.0.0.0:1\"");

    let nobody = desk.run(&["metrics"]);
    let elsewhere = desk.run(&["metrics", "--url", "http://127.0.0.1:1/"]);

    let expected = "error: no gateway answers at `http://127.0.0.1:1/metrics`";
    for failed in [nobody, elsewhere] {
        assert_eq!(failed.code, Some(1));
        assert!(failed.stderr.starts_with(expected), "{}", failed.stderr);
    }
}

#[test]
fn a_name_that_is_misspelt_is_answered_with_the_one_that_is_meant() {
    let providers = provider("openai", "127.0.0.1:1") + &provider("claude", "127.0.0.1:1");
    let desk = Desk::with(&(providers + &model(&["openai"])));

    for (arguments, told) in [
        (
            &["health-check", "-p", "opnai"][..],
            "did you mean `openai`?",
        ),
        (
            &["test-backend", "-p", "cluade", "-m", "x"],
            "did you mean `claude`?",
        ),
        (&["timeouts", "-m", "n"], "expected `m`"),
        (
            &["simulate", "-c", "config.toml", "-m", "n"],
            "expected `m`",
        ),
        (&["rotate-tokens", "ada"], "of a user `ada`\n"),
    ] {
        let failed = desk.run(arguments);

        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert!(
            failed.stderr.trim_end().ends_with(told.trim_end()),
            "{failed:?}"
        );
    }
}

#[test]
fn an_argument_with_nothing_in_it_is_no_argument() {
    let desk = Desk::with(&provider("a", "127.0.0.1:1"));

    for arguments in [
        &["test-backend", "-p", "a", "-m"][..],
        &["test-backend", "-m", "x", "-p"],
        &["health-check", "-p"],
        &["metrics", "--url"],
        &["metrics", "--token"],
        &["usage", "--from"],
        &["usage", "--to"],
        &["timeouts", "-m"],
        &["rotate-tokens"],
        &["encrypt-key", "-p"],
        &["mock-upstream", "--name"],
        &["mock-upstream", "--models"],
        &["mock-upstream", "--api-key"],
        &["mock-upstream", "--listen"],
        &["simulate", "--scenario"],
        &["simulate", "--strategies"],
        &["simulate", "--show"],
        &["completions"],
    ] {
        for nothing in ["", " "] {
            let refused = desk.run(&[arguments, &[nothing]].concat());

            assert_eq!(refused.code, Some(2), "{arguments:?}: {refused:?}");
        }
    }
}
