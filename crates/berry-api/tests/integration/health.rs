//! What is known of providers and models, for people and for load balancers.

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::Value;

use crate::support::{Answer, Gateway, Setup, hello, request};

/// Asks without a token.
async fn page(gateway: &Gateway, path: &str) -> Answer {
    gateway.send(request(Method::GET, path, &[], "")).await
}

async fn two() -> (Gateway, Upstream, Upstream) {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let gateway = Setup::over_two(&first, &second)
        .settings("circuit_breaker_failure_threshold = 1")
        .start();
    (gateway, first, second)
}

/// Returns the status line and the member `status` of both pages.
async fn status(gateway: &Gateway) -> (u16, String) {
    let summary = page(gateway, "/health").await;
    let v1 = page(gateway, "/v1/health").await;
    assert_eq!(summary.status, v1.status);
    assert_eq!(summary.json()["status"], v1.json()["status"]);
    let text = summary.json()["status"].as_str().unwrap().to_owned();
    (summary.status, text)
}

fn said(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

#[tokio::test]
async fn health_follows_the_backends() {
    let (gateway, first, second) = two().await;
    assert_eq!(status(&gateway).await, said(200, "healthy"));

    first.set(Behaviour::status(500));
    gateway.chat(&hello()).await;
    assert_eq!(status(&gateway).await, said(200, "degraded"));

    second.set(Behaviour::status(500));
    gateway.chat(&hello()).await;
    assert_eq!(status(&gateway).await, said(503, "unhealthy"));
}

#[tokio::test]
async fn a_gateway_without_models_is_degraded() {
    let gateway = Setup::new().start();

    assert_eq!(status(&gateway).await, said(200, "degraded"));
}

/// Whether a value is of a type.
type Is = fn(&Value) -> bool;

/// Expects these members, of these types.
fn has(json: &Value, members: &[(&str, Is)]) {
    for (pointer, is) in members {
        let value = json
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} in {json}"));
        assert!(is(value), "{pointer} in {json}");
    }
}

#[tokio::test]
async fn the_summary_has_the_documented_members() {
    let (gateway, _first, _second) = two().await;

    let json = page(&gateway, "/health").await.json();

    has(
        &json,
        &[
            ("/status", Value::is_string),
            ("/service_running", Value::is_boolean),
            ("/timestamp", Value::is_string),
            ("/version", Value::is_string),
            ("/uptime_seconds", Value::is_u64),
            ("/summary/provider_health/total", Value::is_u64),
            ("/summary/provider_health/healthy", Value::is_u64),
            ("/summary/provider_health/ratio", Value::is_f64),
            ("/summary/model_health/total", Value::is_u64),
            ("/summary/model_health/healthy", Value::is_u64),
            ("/summary/model_health/ratio", Value::is_f64),
        ],
    );
    assert!(json["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn the_page_for_clients_has_the_documented_members() {
    let (gateway, _first, _second) = two().await;

    let json = page(&gateway, "/v1/health").await.json();

    has(
        &json,
        &[
            ("/status", Value::is_string),
            ("/service_running", Value::is_boolean),
            ("/models_available", Value::is_boolean),
            ("/summary/providers/total", Value::is_u64),
            ("/summary/providers/enabled", Value::is_u64),
            ("/summary/providers/healthy", Value::is_u64),
            ("/summary/models/total", Value::is_u64),
            ("/summary/models/enabled", Value::is_u64),
            ("/summary/models/healthy", Value::is_u64),
            ("/summary/backends/total", Value::is_u64),
            ("/summary/backends/healthy", Value::is_u64),
            ("/summary/backends/health_ratio", Value::is_f64),
            ("/timestamp", Value::is_string),
            ("/uptime_seconds", Value::is_u64),
        ],
    );
    assert_eq!(json["summary"]["backends"]["total"], 2);
}

#[tokio::test]
async fn a_disabled_provider_and_model_count_in_the_totals_only() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .more(
            r#"
            [providers.off]
            base_url = "http://127.0.0.1:9"
            enabled = false
            [models.off]
            name = "off"
            enabled = false
            backends = [{ provider = "only", model = "x" }]
            "#,
        )
        .start();

    let summary = page(&gateway, "/v1/health").await.json()["summary"].take();

    for group in ["providers", "models"] {
        let count = |member: &str| summary[group][member].as_u64().unwrap();
        assert_eq!(
            (count("total"), count("enabled"), count("healthy")),
            (2, 1, 1)
        );
    }
    assert_eq!(status(&gateway).await, said(200, "healthy"));
}

#[tokio::test]
async fn liveness_and_readiness_ask_no_upstream() {
    let (gateway, first, _second) = two().await;

    for path in ["/health/live", "/health/ready"] {
        assert_eq!(page(&gateway, path).await.status, 200, "{path}");
    }
    assert_eq!(first.connection_count(), 0);
}

#[tokio::test]
async fn a_gateway_without_a_usable_backend_is_alive_and_ready_all_the_same() {
    let (gateway, first, second) = two().await;
    for upstream in [&first, &second] {
        upstream.set(Behaviour::status(500));
    }
    gateway.chat(&hello()).await;
    assert_eq!(status(&gateway).await.0, 503);

    for path in ["/health/live", "/health/ready"] {
        assert_eq!(page(&gateway, path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_front_page_names_version_and_status_and_links_on() {
    let (gateway, _first, _second) = two().await;
    let text = [("accept", "text/plain")];

    let html = page(&gateway, "/").await;
    let plain = gateway.send(request(Method::GET, "/", &text, "")).await;

    assert_eq!(
        html.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        plain.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    for answer in [html, plain] {
        assert_eq!(answer.status, 200);
        for part in [
            env!("CARGO_PKG_VERSION"),
            "healthy",
            "/v1/models",
            "/health",
        ] {
            assert!(answer.text().contains(part), "{part}");
        }
    }
}
