//! What Prometheus reads.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use http::{Method, header};
use serde_json::json;

use crate::support::{Gateway, Setup, hello, hello_stream, request, scratch};

const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// Returns the page, without a token.
async fn page(gateway: &Gateway, path: &str, accept: &str) -> (String, String) {
    let answer = gateway
        .send(request(Method::GET, path, &[("accept", accept)], ""))
        .await;
    assert_eq!(answer.status, 200, "{path}");
    let kind = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    (kind.to_owned(), answer.text().to_owned())
}

/// Returns the samples of the classic page, by name and labels, as they are written.
async fn samples(gateway: &Gateway) -> BTreeMap<String, String> {
    let (_, text) = page(gateway, "/prometheus", "*/*").await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| line.rsplit_once(' ').expect("a sample"));
    samples
        .map(|(series, value)| (series.to_owned(), value.to_owned()))
        .collect()
}

/// Returns the number that a series has.
fn number(samples: &BTreeMap<String, String>, series: &str) -> f64 {
    let value = samples.get(series);
    let value = value.unwrap_or_else(|| panic!("no {series}: {samples:#?}"));
    value.parse().expect("a number")
}

/// Serves two backends, the first of which fails.
async fn failing_over() -> (Gateway, Upstream, Upstream) {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    first.set(Behaviour::status(500));
    let setup = Setup::over_two(&first, &second)
        .backend("input_price = 2.0\noutput_price = 10.0\ncached_input_price = 0.5");
    (setup.start(), first, second)
}

#[tokio::test]
async fn every_number_has_its_series() {
    let (gateway, _first, second) = failing_over().await;
    second.set(Behaviour::json(json!({
        "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 1000, "completion_tokens": 100,
            "prompt_tokens_details": {"cached_tokens": 400},
        },
    })));
    assert_eq!(gateway.chat(&hello()).await.status, 200);
    assert_eq!(gateway.chat(&json!({"model": "none"})).await.status, 404);

    let samples = samples(&gateway).await;

    let chat = r#"method="POST",path="/v1/chat/completions""#;
    let (first, second) = (
        r#"provider="first",model="upstream-model""#,
        r#"provider="second",model="upstream-model""#,
    );
    for (series, value) in [
        (format!("http_requests_total{{{chat},status=\"200\"}}"), 1.0),
        (format!("http_requests_total{{{chat},status=\"404\"}}"), 1.0),
        (
            format!("http_request_duration_seconds_count{{{chat}}}"),
            2.0,
        ),
        ("http_requests_in_flight".to_owned(), 1.0),
        ("active_connections".to_owned(), 1.0),
        ("rate_limited_total".to_owned(), 0.0),
        ("gateway_overhead_seconds_count".to_owned(), 1.0),
        ("config_reload_success".to_owned(), 1.0),
        ("config_generation".to_owned(), 1.0),
        (
            r#"load_balance_selections_total{model="test-model",strategy="failover"}"#.to_owned(),
            1.0,
        ),
        (
            r#"retries_total{model="test-model",reason="server"}"#.to_owned(),
            1.0,
        ),
        (format!("backend_health_status{{{first}}}"), 1.0),
        (format!("circuit_breaker_state{{{first}}}"), 0.0),
        (format!("backend_request_count_total{{{first}}}"), 1.0),
        (
            format!("backend_error_count_total{{{first},kind=\"server\"}}"),
            1.0,
        ),
        (
            format!("backend_error_count_total{{{second},kind=\"server\"}}"),
            0.0,
        ),
        (format!("backend_latency_seconds_count{{{second}}}"), 1.0),
        (format!("backend_first_token_seconds_count{{{first}}}"), 0.0),
        (
            format!("backend_first_token_seconds_count{{{second}}}"),
            1.0,
        ),
        (
            format!("backend_tokens_total{{{second},direction=\"input\"}}"),
            1000.0,
        ),
        (
            format!("backend_tokens_total{{{second},direction=\"output\"}}"),
            100.0,
        ),
        // 600 × 2 $ + 400 × 0.5 $ + 100 × 10 $ a million.
        (format!("backend_cost_usd_total{{{second}}}"), 0.0024),
    ] {
        let found = number(&samples, &series);
        assert!(
            (found - value).abs() < 1e-9,
            "{series}: {found} is not {value}"
        );
    }
    assert!(!samples.keys().any(|series| series.contains("smart_ai")));
}

#[tokio::test]
async fn refusals_for_a_users_limits_are_counted() {
    let upstream = Upstream::start().await;
    let setup = Setup::over(&upstream).user("rate_limit = { requests_per_minute = 1 }");
    let gateway = setup.start();
    for status in [200, 429, 429] {
        assert_eq!(gateway.chat(&hello()).await.status, status);
    }

    assert_eq!(samples(&gateway).await["rate_limited_total"], "2");
}

#[tokio::test]
async fn an_ejected_backend_is_down_and_a_smart_one_has_its_confidence() {
    let upstream = Upstream::start().await;
    upstream.set(Behaviour::status(401));
    let gateway = Setup::over(&upstream).strategy("smart_ai").start();
    gateway.chat(&hello()).await;

    let samples = samples(&gateway).await;

    let only = r#"{provider="only",model="upstream-model"}"#;
    assert_eq!(samples[&format!("backend_health_status{only}")], "0");
    assert_eq!(samples[&format!("circuit_breaker_state{only}")], "2");
    assert!(number(&samples, &format!("smart_ai_confidence_score{only}")) < 0.5);
}

#[tokio::test]
async fn both_pages_come_in_the_form_that_is_asked_for() {
    let (gateway, _first, _second) = failing_over().await;
    let classic = "text/plain; version=0.0.4; charset=utf-8";
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    for (path, accept, kind) in [
        ("/prometheus", "*/*", classic),
        ("/prometheus", "text/html", classic),
        ("/prometheus", OPENMETRICS, openmetrics),
        ("/metrics", "*/*", "application/json"),
        ("/metrics", "application/json", "application/json"),
        ("/metrics", "text/plain;version=0.0.4", classic),
        ("/metrics", OPENMETRICS, openmetrics),
    ] {
        let (found, text) = page(&gateway, path, accept).await;

        assert_eq!(found, kind, "{path} {accept}");
        assert_eq!(
            text.ends_with("# EOF\n"),
            kind == openmetrics,
            "{path} {accept}"
        );
    }
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_a_live_page() {
    let (gateway, _first, _second) = failing_over().await;
    gateway.chat(&hello()).await;
    gateway.chat(&hello_stream()).await;

    let (_, text) = page(&gateway, "/prometheus", "*/*").await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, which scripts/dev-setup.sh installs");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{text}");
}

#[tokio::test]
async fn series_vanish_with_their_configuration() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let setup = Setup::over_two(&first, &second).user("tags = [\"admin\"]");
    let folder = scratch(&[("config.toml", &setup.toml())]);
    let file = folder.path().join("config.toml");
    let gateway = Gateway::start_from(&file);
    gateway.chat(&hello()).await;
    let named = async |provider: &str| {
        let label = format!("provider=\"{provider}\"");
        let samples = samples(&gateway).await;
        samples.keys().filter(|key| key.contains(&label)).count()
    };
    assert_eq!(named("first").await, named("second").await);

    let without = Setup::over(&second).user("tags = [\"admin\"]");
    std::fs::write(&file, without.toml()).unwrap();
    assert_eq!(gateway.reload().await.status, 200);

    assert_eq!((named("first").await, named("second").await), (0, 0));
    assert!(named("only").await > 0);
    assert_eq!(samples(&gateway).await["config_generation"], "2");
}

#[tokio::test]
async fn strangers_see_totals_only_where_that_is_configured() {
    let upstream = Upstream::start().await;
    let setup = Setup::over(&upstream).settings("public_details = false");
    let gateway = setup.user("tags = [\"admin\"]").start();
    gateway.chat(&hello()).await;

    let strangers = samples(&gateway).await;
    let admins = gateway.get("/prometheus").await;

    assert!(
        strangers
            .keys()
            .any(|key| key.starts_with("http_requests_total"))
    );
    assert!(!strangers.keys().any(|key| key.contains("only")));
    assert!(admins.text().contains("provider=\"only\""));
}

#[tokio::test]
async fn waiting_for_an_upstream_is_no_overhead() {
    let upstream = Upstream::start().await;
    let slow = Duration::from_millis(300);
    upstream.set(Behaviour::echo().delay(slow));
    let gateway = Setup::over(&upstream).start();
    gateway.chat(&hello()).await;
    gateway.chat(&hello_stream()).await;

    let samples = samples(&gateway).await;

    assert_eq!(samples["gateway_overhead_seconds_count"], "2");
    let (spent, lasted) = (
        number(&samples, "gateway_overhead_seconds_sum"),
        number(
            &samples,
            r#"http_request_duration_seconds_sum{method="POST",path="/v1/chat/completions"}"#,
        ),
    );
    assert!(spent > 0.0 && spent < lasted / 2.0, "{spent} of {lasted}");
    assert!(lasted > 0.6, "{lasted}");
}
