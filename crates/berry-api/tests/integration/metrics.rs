//! Totals, and the same for status pages.

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Gateway, Setup, hello, list, number_or_null, request, shape};

/// Asks without a token.
async fn page(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.send(request(Method::GET, path, &[], "")).await;
    assert_eq!(answer.status, 200, "{path}");
    answer.json()
}

async fn two() -> (Gateway, Upstream, Upstream) {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    (Setup::over_two(&first, &second).start(), first, second)
}

#[tokio::test]
async fn metrics_have_the_documented_members() {
    let (gateway, _first, _second) = two().await;
    let before = page(&gateway, "/metrics").await;
    gateway.chat(&hello()).await;

    let json = page(&gateway, "/metrics").await;

    shape(
        &json,
        &[
            ("/status", Value::is_string),
            ("/service/running", Value::is_boolean),
            ("/service/total_requests", Value::is_u64),
            ("/service/successful_requests", Value::is_u64),
            ("/service/success_rate", Value::is_f64),
            ("/providers/total", Value::is_u64),
            ("/providers/healthy", Value::is_u64),
            ("/providers/health_ratio", Value::is_f64),
            ("/models/total", Value::is_u64),
            ("/models/healthy", Value::is_u64),
            ("/models/health_ratio", Value::is_f64),
            ("/models/details/chat/healthy_backends", Value::is_u64),
            ("/models/details/chat/total_backends", Value::is_u64),
            ("/models/details/chat/health_ratio", Value::is_f64),
            ("/models/details/chat/average_latency/secs", Value::is_u64),
            ("/models/details/chat/average_latency/nanos", Value::is_u64),
            ("/load_balancer/total_selections", Value::is_u64),
            (
                "/load_balancer/strategy_distribution/failover",
                Value::is_u64,
            ),
            ("/timestamp", Value::is_string),
        ],
    );
    assert_eq!(
        before["models"]["details"]["chat"]["average_latency"],
        Value::Null
    );
}

#[tokio::test]
async fn a_failure_shows_in_the_totals_although_no_client_saw_it() {
    let (gateway, first, _second) = two().await;
    assert_eq!(
        page(&gateway, "/metrics").await["service"]["success_rate"],
        1.0
    );
    first.set(Behaviour::status(500));
    assert_eq!(gateway.chat(&hello()).await.status, 200);

    for (path, service) in [("/metrics", "/service"), ("/monitoring/performance", "")] {
        let json = page(&gateway, path).await;
        let count = |member: &str| json.pointer(&format!("{service}/{member}")).cloned();

        assert_eq!(count("total_requests"), Some(json!(2)), "{path}");
        assert_eq!(count("successful_requests"), Some(json!(1)), "{path}");
        assert_eq!(count("success_rate"), Some(json!(0.5)), "{path}");
        assert_eq!(json["load_balancer"]["total_selections"], 1, "{path}");
    }
}

#[tokio::test]
async fn the_pages_for_monitoring_have_their_members() {
    let (gateway, _first, _second) = two().await;

    let index = page(&gateway, "/monitoring").await;
    for path in index["endpoints"].as_object().unwrap().values() {
        page(&gateway, path.as_str().unwrap()).await;
    }
    let info = page(&gateway, "/monitoring/info").await;
    let performance = page(&gateway, "/monitoring/performance").await;
    let weights = page(&gateway, "/monitoring/model-weights").await;

    shape(
        &info,
        &[
            ("/version", Value::is_string),
            ("/status", Value::is_string),
            ("/uptime_seconds", Value::is_u64),
            ("/total_models", Value::is_u64),
            ("/total_providers", Value::is_u64),
            ("/timestamp", Value::is_string),
        ],
    );
    assert_eq!(info["strategies"].as_array().unwrap().len(), 8);
    shape(
        &performance,
        &[
            ("/models/chat/selections", Value::is_u64),
            ("/models/chat/average_latency_ms", number_or_null),
            ("/models/chat/backends/0/provider", Value::is_string),
            ("/models/chat/backends/0/latency_ms", number_or_null),
            ("/models/chat/backends/0/in_flight", Value::is_u64),
            ("/models/chat/backends/0/requests", Value::is_u64),
            ("/models/chat/backends/0/errors", Value::is_u64),
            ("/models/chat/backends/0/success_rate", Value::is_f64),
        ],
    );
    shape(&weights, &[("/models/chat/backends", list)]);
}

#[tokio::test]
async fn no_public_page_has_a_secret() {
    let (gateway, first, second) = two().await;

    for path in [
        "/health",
        "/metrics",
        "/smart-ai/weights?detailed=true",
        "/smart-ai/models/chat/weights",
        "/monitoring",
        "/monitoring/info",
        "/monitoring/model-weights",
        "/monitoring/performance",
    ] {
        let text = page(&gateway, path).await.to_string();
        for secret in ["key-of-first", "ada", &first.url(), &second.url()] {
            assert!(!text.contains(secret), "{path}: {text}");
        }
    }
}
