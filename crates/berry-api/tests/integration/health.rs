//! What is known of providers and models, for people and for load balancers.

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    Answer, Gateway, Setup, hello, list, number_or_null, request, shape, text_or_null,
};

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

#[tokio::test]
async fn the_summary_has_the_documented_members() {
    let (gateway, _first, _second) = two().await;

    let json = page(&gateway, "/health").await.json();

    shape(
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
            ("/providers/first/name", Value::is_string),
            ("/providers/first/enabled", Value::is_boolean),
            ("/providers/first/healthy", Value::is_boolean),
            ("/providers/first/last_check", text_or_null),
            ("/providers/first/total_requests", Value::is_u64),
            ("/providers/first/successful_requests", Value::is_u64),
            ("/providers/first/failed_requests", Value::is_u64),
            ("/providers/first/average_latency_ms", number_or_null),
            ("/providers/first/total_models", Value::is_u64),
            ("/providers/first/healthy_models", Value::is_u64),
            ("/models/chat/name", Value::is_string),
            ("/models/chat/strategy", Value::is_string),
            ("/models/chat/enabled", Value::is_boolean),
            ("/models/chat/total_backends", Value::is_u64),
            ("/models/chat/healthy_backends", Value::is_u64),
            ("/models/chat/health_ratio", Value::is_f64),
            ("/models/chat/backends", list),
            ("/unhealthy_backends", list),
            ("/load_balancer/total_selections", Value::is_u64),
            (
                "/load_balancer/strategy_distribution/failover",
                Value::is_u64,
            ),
        ],
    );
    shape(
        &json["providers"]["first"]["models"]["upstream-model"],
        &[
            ("/healthy", Value::is_boolean),
            ("/latency_ms", number_or_null),
            ("/failure_count", Value::is_u64),
            ("/requests", Value::is_u64),
            ("/errors", Value::is_u64),
            ("/backend_key", Value::is_string),
        ],
    );
    shape(
        &json["models"]["chat"]["backends"][0],
        &[
            ("/provider", Value::is_string),
            ("/model", Value::is_string),
            ("/weight", Value::is_f64),
            ("/priority", Value::is_u64),
            ("/healthy", Value::is_boolean),
            ("/enabled", Value::is_boolean),
            ("/latency_ms", number_or_null),
            ("/failure_count", Value::is_u64),
            ("/backend_key", Value::is_string),
        ],
    );
    assert!(json["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_failing_backend_is_listed_until_it_recovers() {
    let (gateway, first, _second) = two().await;
    gateway.chat(&hello()).await;
    first.set(Behaviour::status(500));
    gateway.chat(&hello()).await;

    let json = page(&gateway, "/health").await.json();

    let unhealthy = &json["unhealthy_backends"];
    assert_eq!(unhealthy.as_array().unwrap().len(), 1);
    assert_eq!(unhealthy[0]["backend_key"], "first:upstream-model");
    shape(
        &unhealthy[0],
        &[
            ("/failure_count", Value::is_u64),
            ("/first_failure", Value::is_string),
            ("/last_failure", Value::is_string),
            ("/recovery_attempts", Value::is_u64),
            ("/last_recovery_attempt", number_or_null),
        ],
    );
    let provider = &json["providers"]["first"];
    assert_eq!(provider["healthy"], false);
    assert_eq!(provider["total_requests"], 2);
    assert_eq!(provider["successful_requests"], 1);
    assert_eq!(provider["failed_requests"], 1);
    assert_eq!(json["providers"]["second"]["total_requests"], 1);
    let backends = &json["models"]["chat"]["backends"];
    assert_eq!(backends[0]["failure_count"], 1);
    assert_eq!(backends[1]["healthy"], true);
    // The retry is no selection of its own.
    let selected = json!({ "total_selections": 2, "strategy_distribution": { "failover": 2 } });
    assert_eq!(json["load_balancer"], selected);
}

#[tokio::test]
async fn an_endpoint_of_two_models_counts_once_for_its_provider() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .more(
            r#"
            [models.again]
            name = "again"
            backends = [{ provider = "only", model = "upstream-model" }]
            "#,
        )
        .start();
    gateway.chat(&hello()).await;

    let provider = page(&gateway, "/health").await.json()["providers"]["only"].take();

    assert_eq!(provider["total_requests"], 1);
    assert_eq!(provider["total_models"], 1);
}

#[tokio::test]
async fn only_admins_are_told_where_providers_are() {
    let upstream = Upstream::start().await;
    let admin = Setup::over(&upstream).user("tags = [\"admin\"]").start();
    let user = Setup::over(&upstream).start();

    for path in ["/health", "/monitoring/health"] {
        let url = upstream.url();
        let shown = admin.get(path).await.json()["providers"]["only"]["base_url"].take();
        assert_eq!(
            shown.as_str().map(|url| url.trim_end_matches('/')),
            Some(&*url)
        );
        for answer in [page(&admin, path).await, user.get(path).await] {
            assert!(!answer.text().contains("base_url"), "{path}");
            assert!(!answer.text().contains(&url), "{path}");
        }
    }
}

#[tokio::test]
async fn strangers_are_told_totals_only_where_details_are_not_public() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let gateway = Setup::new()
        .provider("acme", &first)
        .provider("umbrella", &second)
        .settings("public_details = false")
        .user("tags = [\"admin\"]")
        .strategy("smart_ai")
        .start();

    for path in [
        "/health",
        "/metrics",
        "/smart-ai/weights",
        "/smart-ai/models/chat/weights",
        "/monitoring",
        "/monitoring/info",
        "/monitoring/model-weights",
        "/monitoring/performance",
        "/monitoring/health",
    ] {
        let stranger = page(&gateway, path).await;
        let impostor = [("x-api-key", "no-such-token")];
        let impostor = gateway
            .send(request(Method::GET, path, &impostor, ""))
            .await;
        for answer in [stranger, impostor] {
            for name in ["acme", "umbrella", "upstream-model", "test-model"] {
                assert!(!answer.text().contains(name), "{path}: {}", answer.text());
            }
        }
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
    assert!(
        gateway
            .get("/health")
            .await
            .text()
            .contains("upstream-model")
    );
    let totals = page(&gateway, "/health").await.json()["summary"].take();
    assert_eq!(totals["provider_health"]["total"], 2);
}

#[tokio::test]
async fn the_page_for_clients_has_the_documented_members() {
    let (gateway, _first, _second) = two().await;

    let json = page(&gateway, "/v1/health").await.json();

    shape(
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
