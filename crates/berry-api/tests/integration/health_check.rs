//! Probes: what they ask, and what changes by the answer.
//!
//! The first round comes within two seconds, and no interval that these tests wait for is longer.

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::Value;

use crate::support::{Gateway, Process, Setup, get, hello, scratch, within};

/// Long enough for each kind of probe to come but once.
const ONE_ROUND: &str = "health_check_interval_seconds = 3600\n\
                         recovery_check_interval_seconds = 3600";
/// Unhealthy endpoints are asked again every second.
const EAGER: &str = "health_check_interval_seconds = 3600\n\
                     recovery_check_interval_seconds = 1";

/// Returns the bodies of the chats that an upstream was asked for.
fn chats(upstream: &Upstream) -> Vec<Value> {
    let requests = upstream.requests().into_iter();
    let chats = requests.filter(|request| request.method == Method::POST);
    chats
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect()
}

async fn requested(upstream: &Upstream, count: usize) {
    within(upstream.wait_for_requests(count)).await;
}

/// Waits until so many backends are healthy.
async fn healthy(gateway: &Gateway, count: u64) {
    within(async {
        while gateway.backends().await.0 != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn each_provider_lists_its_models_and_each_backend_chats_at_start() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .option("headers = { x-team = \"blue\" }")
        .settings(ONE_ROUND)
        .start();

    requested(&upstream, 2).await;

    let requests = upstream.requests();
    let lines: Vec<_> = requests
        .iter()
        .map(|request| (request.method.as_str(), request.path_and_query.as_str()))
        .collect();
    assert_eq!(
        lines,
        [("GET", "/v1/models"), ("POST", "/v1/chat/completions")]
    );
    for request in &requests {
        assert_eq!(request.headers["authorization"], "Bearer key-of-only");
        assert_eq!(request.headers["x-team"], "blue");
    }
    let chat = &chats(&upstream)[0];
    assert_eq!(chat["model"], "upstream-model");
    assert_eq!(chat["max_tokens"], 1);
    healthy(&gateway, 1).await;
}

#[tokio::test]
async fn a_backend_that_bills_by_request_is_not_asked() {
    let (metered, priced) = (Upstream::start().await, Upstream::start().await);
    let _gateway = Setup::over_two(&metered, &priced)
        .backend("billing_mode = \"per_request\"")
        .settings("health_check_interval_seconds = 1")
        .start();

    // Two lists of models and a chat: the first round is over.
    requested(&metered, 3).await;

    assert_eq!(priced.connection_count(), 0);
}

#[tokio::test]
async fn a_backend_whose_probe_fails_is_asked_last_and_counts_nothing() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    first.set(Behaviour::status(500));
    let gateway = Setup::over_two(&first, &second).settings(ONE_ROUND).start();

    healthy(&gateway, 1).await;
    requested(&first, 2).await;
    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.status, 200);
    assert_eq!(chats(&first).len(), 1);
}

#[tokio::test]
async fn a_backend_with_a_failed_probe_is_used_where_there_is_no_other() {
    let upstream = Upstream::start().await;
    upstream.script([Behaviour::status(500), Behaviour::status(401)]);
    let gateway = Setup::over(&upstream).settings(ONE_ROUND).start();
    requested(&upstream, 2).await;
    healthy(&gateway, 0).await;

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.status, 200);
    assert_eq!(gateway.backends().await, (1, 1));
}

#[tokio::test]
async fn an_ejected_backend_comes_back_by_a_probe_without_any_request() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .settings(EAGER)
        .settings("circuit_breaker_failure_threshold = 1\nmax_retries = 0")
        .start();
    requested(&upstream, 2).await;
    upstream.script([Behaviour::status(500)]);
    assert_eq!(gateway.chat(&hello()).await.status, 502);
    assert_eq!(gateway.backends().await, (0, 1));

    healthy(&gateway, 1).await;

    assert_eq!(gateway.chat(&hello()).await.status, 200);
}

#[tokio::test]
async fn a_provider_without_a_list_of_models_is_healthy() {
    for status in [404, 405, 501] {
        let upstream = Upstream::start().await;
        upstream.script([Behaviour::status(status), Behaviour::echo().hang()]);
        let gateway = Setup::over(&upstream).settings(ONE_ROUND).start();

        requested(&upstream, 2).await;

        assert_eq!(gateway.backends().await, (1, 1), "{status}");
    }
}

#[tokio::test]
async fn lists_of_models_that_fail_while_chats_pass_make_nothing_unhealthy() {
    let upstream = Upstream::start().await;
    upstream.set(Behaviour::status(503));
    upstream.script([Behaviour::status(503), Behaviour::echo()]);
    let gateway = Setup::over(&upstream)
        .settings("health_check_interval_seconds = 1")
        .start();
    requested(&upstream, 2).await;
    healthy(&gateway, 1).await;

    // The second list has ended when the third is asked for.
    requested(&upstream, 4).await;

    assert_eq!(chats(&upstream).len(), 1);
    assert_eq!(gateway.backends().await, (1, 1));
}

#[tokio::test]
async fn a_backend_whose_probe_failed_is_listed_with_the_time_of_that() {
    let upstream = Upstream::start().await;
    upstream.set(Behaviour::status(500));
    let gateway = Setup::over(&upstream).settings(ONE_ROUND).start();
    healthy(&gateway, 0).await;

    let health = gateway.send(get("/health")).await.json();

    let listed = &health["unhealthy_backends"][0];
    assert!(listed["first_failure"].is_string(), "{listed}");
    assert!(listed["last_failure"].is_string(), "{listed}");
}

#[tokio::test]
async fn a_chat_that_is_refused_for_what_it_asks_passes() {
    for status in [400, 422] {
        let upstream = Upstream::start().await;
        upstream.script([Behaviour::status(500), Behaviour::status(status)]);
        let gateway = Setup::over(&upstream).settings(ONE_ROUND).start();
        requested(&upstream, 2).await;

        // The chat clears the failed list of models.
        healthy(&gateway, 1).await;

        assert_eq!(chats(&upstream).len(), 1);
    }
}

#[tokio::test]
async fn the_newer_name_of_the_length_is_sent_where_the_older_is_refused() {
    let upstream = Upstream::start().await;
    let refusal = r#"{"error":{"message":"Unsupported parameter: 'max_tokens'"}}"#;
    upstream.script([
        Behaviour::echo(),
        Behaviour::body("application/json", refusal).with_status(400),
    ]);
    let _gateway = Setup::over(&upstream).settings(ONE_ROUND).start();

    requested(&upstream, 3).await;

    let chats = chats(&upstream);
    assert_eq!(chats[1]["max_completion_tokens"], 1);
    assert_eq!(chats[1].get("max_tokens"), None);
}

#[tokio::test]
async fn a_probe_that_hangs_ends_in_time_and_holds_up_no_shutdown() {
    let upstream = Upstream::start().await;
    upstream.set(Behaviour::echo().hang());
    let mut gateway = Setup::over(&upstream)
        .settings(EAGER)
        .settings("health_check_timeout_seconds = 1")
        .start();

    healthy(&gateway, 0).await;
    gateway.shut_down();

    gateway.stopped().await;
}

#[tokio::test]
async fn without_an_interval_nothing_is_asked_even_at_start() {
    let (off, on) = (Upstream::start().await, Upstream::start().await);
    let _off = Setup::over(&off)
        .settings("health_check_interval_seconds = 0")
        .start();
    let _on = Setup::over(&on)
        .settings("health_check_interval_seconds = 1")
        .start();

    requested(&on, 3).await;

    assert_eq!(off.connection_count(), 0);
}

#[tokio::test]
async fn the_first_round_and_changes_are_logged_at_info_and_repeats_at_debug() {
    let upstream = Upstream::start().await;
    let toml = Setup::over(&upstream)
        .settings("health_check_interval_seconds = 1")
        .toml();
    let folder = scratch(&[("config.toml", &toml)]);
    let filter = [("RUST_LOG", "info,berry_loadbalance=debug")];
    let mut process = Process::start(folder.path(), &[], &filter).await;

    let first = within(logged(&mut process, "probe passed")).await;
    let again = within(logged(&mut process, "probe passed")).await;
    upstream.set(Behaviour::status(503));
    let change = within(logged(&mut process, "probe failed")).await;

    for (line, level) in [(&first, "INFO"), (&again, "DEBUG"), (&change, "INFO")] {
        assert_eq!(line["level"], level, "{line}");
        assert_eq!(line["target"], "berry_loadbalance::health_check");
        assert_eq!(line["fields"]["provider"], "only");
    }
    assert_eq!(change["fields"]["kind"], "server");
}

#[tokio::test]
async fn a_model_that_nobody_asked_yet_and_that_refuses_to_chat_is_unwell_only_where_it_is_missing()
{
    let missing = serde_json::json!({"error": {"message": "x", "code": "model_not_found"}});
    let nothing = serde_json::json!({"detail": "Not Found"});
    for (body, said) in [(missing, "probe failed"), (nothing, "probe told nothing")] {
        let upstream = Upstream::start().await;
        upstream.set(Behaviour::json(body).with_status(404));
        let toml = Setup::over(&upstream).settings(ONE_ROUND).toml();
        let folder = scratch(&[("config.toml", &toml)]);
        let mut process = Process::start(folder.path(), &[], &[]).await;

        within(async { while process.logged(said).await["fields"]["depth"] != "chat" {} }).await;

        let paths = upstream.requests().into_iter();
        let paths: Vec<_> = paths.map(|request| request.path_and_query).collect();
        for path in ["/v1/chat/completions", "/v1/embeddings"] {
            assert!(paths.iter().any(|asked| asked == path), "{paths:?}");
        }
    }
}

/// Waits for a line about a list of models.
async fn logged(process: &mut Process, message: &str) -> Value {
    loop {
        let line = process.logged(message).await;
        if line["fields"]["depth"] == "models" {
            return line;
        }
    }
}
