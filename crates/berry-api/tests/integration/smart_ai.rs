//! What `smart_ai` has learned.

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::Value;

use crate::support::{Answer, Gateway, Setup, hello, list, request, shape, text_or_null};

/// Asks without a token.
async fn page(gateway: &Gateway, path: &str) -> Answer {
    gateway.send(request(Method::GET, path, &[], "")).await
}

/// A cheap backend, a premium one, and a third that is switched off; and a model of another strategy.
async fn gateway() -> (Gateway, Upstream, Upstream) {
    let (cheap, premium) = (Upstream::start().await, Upstream::start().await);
    let gateway = Setup::new()
        .provider("cheap", &cheap)
        .provider("dear", &premium)
        .backend("tags = [\"premium\"]")
        .provider("off", &premium)
        .backend("enabled = false")
        .strategy("smart_ai")
        .settings("smart_ai = { exploration_ratio = 0.0 }")
        .more(
            r#"
            [models."vendor-other"]
            name = "vendor/other"
            backends = [{ provider = "cheap", model = "x" }]
            "#,
        )
        .start();
    (gateway, cheap, premium)
}

#[tokio::test]
async fn weights_have_the_documented_members() {
    let (gateway, _cheap, _premium) = gateway().await;

    let json = page(&gateway, "/smart-ai/weights?detailed=true")
        .await
        .json();

    shape(
        &json,
        &[
            ("/total_smart_ai_models", Value::is_u64),
            ("/available_models/0/key", Value::is_string),
            ("/available_models/0/name", Value::is_string),
            ("/available_models/0/enabled", Value::is_boolean),
            ("/timestamp", Value::is_string),
            ("/settings/detailed", Value::is_boolean),
            ("/settings/enabled_only", Value::is_boolean),
        ],
    );
    assert_eq!(json["models"].as_array().unwrap().len(), 1);
    assert_eq!(json["available_models"].as_array().unwrap().len(), 2);
    shape(
        &json["models"][0],
        &[
            ("/name", Value::is_string),
            ("/strategy", Value::is_string),
            ("/enabled", Value::is_boolean),
            ("/backends/0/provider", Value::is_string),
            ("/backends/0/model", Value::is_string),
            ("/backends/0/original_weight", Value::is_f64),
            ("/backends/0/effective_weight", Value::is_f64),
            ("/backends/0/confidence", Value::is_f64),
            ("/backends/0/is_premium", Value::is_boolean),
            ("/backends/0/enabled", Value::is_boolean),
            ("/backends/0/tags", list),
            ("/backends/0/billing_mode", Value::is_string),
            ("/backends/0/health_details/total_requests", Value::is_u64),
            (
                "/backends/0/health_details/consecutive_successes",
                Value::is_u64,
            ),
            (
                "/backends/0/health_details/consecutive_failures",
                Value::is_u64,
            ),
            ("/backends/0/health_details/last_request_time", text_or_null),
            ("/backends/0/health_details/last_success_time", text_or_null),
            ("/backends/0/health_details/last_failure_time", text_or_null),
            ("/backends/0/health_details/error_counts", Value::is_object),
            ("/stats/total_backends", Value::is_u64),
            ("/stats/enabled_backends", Value::is_u64),
            ("/stats/healthy_backends", Value::is_u64),
            ("/stats/premium_backends", Value::is_u64),
            ("/stats/average_confidence", Value::is_f64),
            ("/stats/weight_distribution", Value::is_object),
        ],
    );
}

#[tokio::test]
async fn details_and_disabled_backends_are_shown_as_asked() {
    let (gateway, _cheap, _premium) = gateway().await;

    for (query, backends, detailed) in [
        ("", 3, false),
        ("?detailed=false&enabled_only=false", 3, false),
        ("?detailed=true", 3, true),
        ("?enabled_only=true", 2, false),
    ] {
        let path = format!("/smart-ai/weights{query}");
        let model = page(&gateway, &path).await.json()["models"][0].take();

        let shown = model["backends"].as_array().unwrap();
        assert_eq!(shown.len(), backends, "{query}");
        assert_eq!(
            shown[0].get("health_details").is_some(),
            detailed,
            "{query}"
        );
    }
    let unreadable = page(&gateway, "/smart-ai/weights?detailed=perhaps").await;
    assert_eq!(
        unreadable.error(),
        "400 invalid_request_error/invalid_query detailed"
    );
}

#[tokio::test]
async fn a_model_is_found_by_key_and_by_name() {
    let (gateway, _cheap, _premium) = gateway().await;

    for (path, name) in [
        ("chat", "test-model"),
        ("test-model", "test-model"),
        ("vendor-other", "vendor/other"),
        ("vendor/other", "vendor/other"),
        ("vendor%2Fother", "vendor/other"),
    ] {
        let answer = page(&gateway, &format!("/smart-ai/models/{path}/weights")).await;

        let json = answer.json();
        assert_eq!(json["model"]["name"], name, "{path}");
        assert!(json["timestamp"].is_string());
    }
    for (path, error) in [
        (
            "/smart-ai/models/none/weights",
            "404 invalid_request_error/model_not_found model",
        ),
        (
            "/smart-ai/models/chat",
            "404 invalid_request_error/unknown_url",
        ),
    ] {
        assert_eq!(page(&gateway, path).await.error(), error);
    }
}

#[tokio::test]
async fn confidence_and_weight_follow_the_failures() {
    let (gateway, cheap, _premium) = gateway().await;
    let number =
        |json: &Value, member: &str| json["model"]["backends"][0][member].as_f64().unwrap();
    let path = "/smart-ai/models/chat/weights";
    let before = page(&gateway, path).await.json();
    cheap.set(Behaviour::status(500));
    gateway.chat(&hello()).await;

    let after = page(&gateway, path).await.json();

    for member in ["confidence", "effective_weight"] {
        assert!(number(&after, member) < number(&before, member), "{member}");
    }
    let details = &after["model"]["backends"][0]["health_details"];
    assert_eq!(details["error_counts"]["server"], details["total_requests"]);
    assert!(
        details["last_failure_time"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    let shares = after["model"]["stats"]["weight_distribution"]
        .as_object()
        .unwrap();
    let sum: f64 = shares.values().map(|share| share.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{shares:?}");
}

/// Serves one backend, trusted with a half at first, and returns what it is trusted with after it
/// has behaved so once.
async fn trusted(line: &str, behaviour: Behaviour) -> f64 {
    let upstream = Upstream::builder().behaviour(behaviour).start().await;
    let gateway = one(&upstream, "initial_confidence = 0.5", line);
    gateway.chat(&hello()).await;

    shown(&gateway, "confidence").await
}

/// One backend that gets one attempt, and no confidence with time.
fn one(upstream: &Upstream, first: &str, second: &str) -> Gateway {
    let decay = if second.contains("enable_time_decay") {
        ""
    } else {
        "enable_time_decay = false"
    };
    Setup::over(upstream)
        .strategy("smart_ai")
        .settings("max_retries = 0\nrequest_timeout_seconds = 1")
        .settings(&format!(
            "[settings.smart_ai]\n{first}\n{decay}\n{second}\n"
        ))
        .start()
}

async fn shown(gateway: &Gateway, member: &str) -> f64 {
    let json = page(gateway, "/smart-ai/models/chat/weights").await.json();
    json["model"]["backends"][0][member].as_f64().unwrap()
}

#[tokio::test]
async fn each_outcome_changes_the_confidence_as_it_is_configured() {
    let of = Behaviour::status;
    for (line, behaviour, confidence) in [
        ("success_boost = 0.25", Behaviour::echo(), 0.75),
        (
            "network_error_penalty = 0.25",
            Behaviour::echo().reset(),
            0.25,
        ),
        ("auth_error_penalty = 0.125", of(401), 0.375),
        ("rate_limit_penalty = 0.375", of(429), 0.125),
        ("server_error_penalty = 0.25", of(500), 0.25),
        (
            "model_error_penalty = 0.125",
            of(404).error_code("model_not_found"),
            0.375,
        ),
        ("timeout_penalty = 0.375", Behaviour::echo().hang(), 0.125),
    ] {
        let table = format!("[settings.smart_ai.confidence_adjustments]\n{line}");

        let after = trusted(&table, behaviour).await;

        assert!((after - confidence).abs() < 1e-9, "{line}: {after}");
    }
}

#[tokio::test]
async fn confidence_begins_and_ends_where_it_is_configured_to() {
    let upstream = Upstream::start().await;
    let gateway = one(&upstream, "initial_confidence = 0.625", "");
    let least = "min_confidence = 0.25\n\
                 [settings.smart_ai.confidence_adjustments]\nserver_error_penalty = 1.0";

    let (begins, ends) = (
        shown(&gateway, "confidence").await,
        trusted(least, Behaviour::status(500)).await,
    );

    assert!((begins - 0.625).abs() < 1e-9, "{begins}");
    assert!((ends - 0.25).abs() < 1e-9, "{ends}");
}

#[tokio::test]
async fn confidence_drifts_back_only_where_that_is_wanted() {
    for (line, drifts) in [
        ("enable_time_decay = true", true),
        ("enable_time_decay = false", false),
    ] {
        let upstream = Upstream::builder().behaviour(Behaviour::status(500));
        let gateway = one(&upstream.start().await, "initial_confidence = 0.8", line);
        gateway.chat(&hello()).await;

        let before = shown(&gateway, "confidence").await;
        let after = shown(&gateway, "confidence").await;

        // Half the way takes two hours: little, and not nothing, between two requests.
        assert_eq!(after > before, drifts, "{line}: {before} {after}");
    }
}

#[tokio::test]
async fn what_is_well_trusted_and_not_premium_gets_the_bonus() {
    let upstream = Upstream::start().await;
    for (bonus, weight) in [("1.0", 0.9375), ("2.0", 1.875)] {
        let line = format!("non_premium_stability_bonus = {bonus}");
        let gateway = one(&upstream, "initial_confidence = 0.9375", &line);

        let effective = shown(&gateway, "effective_weight").await;

        assert!((effective - weight).abs() < 1e-9, "{bonus}: {effective}");
    }
}
