//! Providers and gateways, asked.

use serde_json::Value;

use crate::support::{Desk, MockUpstream};

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
    assert!(!failed.stdout.contains("Health check completed"));
    assert_eq!(only_good.code, Some(0), "{only_good:?}");
    let outcomes: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (json.code, outcomes.as_array().unwrap().len()),
        (Some(1), 3)
    );
    assert_eq!(outcomes[1]["check"], "chat");
    assert_eq!(outcomes[1]["result"], "failed");
    assert_eq!(nobody.stderr, "error: there is no provider `nobody`\n");
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
    assert!(!all.stdout.contains("dear"), "{}", all.stdout);
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
    let upstream = MockUpstream::start(&[]);
    let desk = Desk::with(&(provider("a", upstream.authority()) + &model(&["a"])));

    let connected = desk.run(&["validate-config", "--connect"]);

    assert_eq!(connected.code, Some(0), "{connected:?}");
    assert!(connected.stdout.contains("✅ Provider a is healthy\n"));
}

#[test]
fn metrics_of_nobody_fail_and_say_where_they_were_looked_for() {
    let desk = Desk::with("[server]\nbind_address = \"0.0.0.0:1\"");

    let nobody = desk.run(&["metrics"]);
    let no_admin = desk.run(&["metrics", "--detailed", "--url", "http://127.0.0.1:1/"]);

    let expected = "error: no gateway answers at `http://127.0.0.1:1/metrics`";
    for failed in [nobody, no_admin] {
        assert_eq!(failed.code, Some(1));
        assert!(failed.stderr.starts_with(expected), "{}", failed.stderr);
    }
}
