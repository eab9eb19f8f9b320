//! Balancing as operators see it, and who is an operator.

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    Gateway, Setup, TOKEN, hello, list, number_or_null, request, shape, text_or_null,
};

const ADMIN: &str = "tags = [\"admin\"]";

async fn two(strategy: &'static str) -> (Gateway, Upstream, Upstream) {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let gateway = Setup::over_two(&first, &second)
        .strategy(strategy)
        .user(ADMIN)
        .start();
    (gateway, first, second)
}

#[tokio::test]
async fn admin_routes_are_for_admins() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .more(
            r#"
            [users.admin]
            token = "token-of-the-admin-by-id"
            [users.operator]
            token = "token-of-an-operator"
            tags = ["admin"]
            allowed_models = ["no-such-model"]
            [users.retired]
            token = "token-of-one-retired"
            tags = ["admin"]
            enabled = false
            "#,
        )
        .start();
    let unauthenticated = "401 invalid_request_error/invalid_api_key";
    let forbidden = "403 permission_error/admin_required";

    for (token, refusal) in [
        (None, Some(unauthenticated)),
        (Some("no-such-token"), Some(unauthenticated)),
        (Some("token-of-one-retired"), Some(unauthenticated)),
        (Some("token-of-ada-0123456789"), Some(forbidden)),
        (Some("token-of-the-admin-by-id"), None),
        (Some("token-of-an-operator"), None),
    ] {
        let headers: Vec<_> = token
            .map(|token| ("x-api-key", token))
            .into_iter()
            .collect();
        for path in [
            "/admin/model-weights",
            "/admin/backend-health",
            "/admin/system-stats",
        ] {
            let answer = gateway.send(request(Method::GET, path, &headers, "")).await;
            match refusal {
                Some(refusal) => assert_eq!(answer.error(), refusal, "{token:?} {path}"),
                None => assert_eq!(answer.status, 200, "{token:?} {path}"),
            }
        }
        for path in ["/admin", "/admin/x", "/admin/system-stats/x"] {
            let answer = gateway.send(request(Method::GET, path, &headers, "")).await;
            let unknown = "404 invalid_request_error/unknown_url";
            assert_eq!(
                answer.error(),
                refusal.unwrap_or(unknown),
                "{token:?} {path}"
            );
        }
    }
}

#[tokio::test]
async fn only_admins_learn_which_methods_a_route_has() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .more("[users.admin]\ntoken = \"token-of-the-admin-by-id\"")
        .start();

    for (token, status, allow) in [
        ("no-such-token", 401, None),
        (TOKEN, 403, None),
        ("token-of-the-admin-by-id", 405, Some("GET, HEAD")),
    ] {
        let headers = [("x-api-key", token)];
        let put = request(Method::PUT, "/admin/system-stats", &headers, "");
        let answer = gateway.send(put).await;

        assert_eq!((answer.status, answer.header("allow")), (status, allow));
    }
}

/// Whoever adds a route below `/admin` need not think of closing it.
#[tokio::test]
async fn every_admin_route_there_is_refuses_everybody_else() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();
    let (mut admin_routes, mut user_routes) = (0, 0);

    for (allow, path) in berry_api::routes() {
        let path = path.replace(['{', '*', '}'], "x");
        for method in allow.split(", ").chain(["OPTIONS", "PUT", "TRACE"]) {
            let method: Method = method.parse().unwrap();
            let ask = |headers: &[(&str, &str)]| {
                gateway.send(request(method.clone(), &path, headers, ""))
            };
            let strangers = ask(&[]).await.status;
            let users = ask(&[("x-api-key", TOKEN)]).await.status;
            let in_browser = ask(&[("x-api-key", TOKEN), ("origin", "http://x")]).await;

            if path.starts_with("/admin") {
                admin_routes += 1;
                let seen = (strangers, users, in_browser.status);
                assert_eq!(seen, (401, 403, 403), "{method} {path}");
            } else if strangers == 401 {
                user_routes += 1;
                assert!(![401, 403].contains(&users), "{method} {path}");
            }
        }
    }

    assert!(admin_routes >= 5 * 4 && user_routes >= 10);
}

#[tokio::test]
async fn a_refusal_says_which_header_to_send_and_whose() {
    let (gateway, _first, _second) = two("failover").await;

    let answer = gateway
        .send(request(Method::GET, "/admin/system-stats", &[], ""))
        .await;

    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    for part in ["Authorization: Bearer", "x-api-key", "admin"] {
        assert!(answer.text().contains(part), "{part}");
    }
}

#[tokio::test]
async fn an_unknown_admin_path_is_named_in_full() {
    let (gateway, _first, _second) = two("failover").await;

    let answer = gateway.get("/admin/nothing").await;

    assert!(answer.text().contains("`/admin/nothing`"));
}

#[tokio::test]
async fn model_weights_have_the_documented_members() {
    let (gateway, _first, _second) = two("weighted_failover").await;

    let json = gateway.get("/admin/model-weights").await.json();

    shape(
        &json,
        &[
            ("/models/chat/model_name", Value::is_string),
            ("/models/chat/display_name", Value::is_string),
            ("/models/chat/strategy", Value::is_string),
            ("/models/chat/enabled", Value::is_boolean),
            ("/models/chat/total_effective_weight", Value::is_f64),
            ("/total_models", Value::is_u64),
            ("/timestamp", Value::is_string),
        ],
    );
    shape(
        &json["models"]["chat"]["backends"][0],
        &[
            ("/provider", Value::is_string),
            ("/model", Value::is_string),
            ("/original_weight", Value::is_f64),
            ("/effective_weight", Value::is_f64),
            ("/is_healthy", Value::is_boolean),
            ("/is_enabled", Value::is_boolean),
            ("/priority", Value::is_u64),
            ("/tags", list),
            ("/billing_mode", Value::is_string),
            ("/failure_count", Value::is_u64),
        ],
    );
}

#[tokio::test]
async fn model_weights_are_of_one_model_where_it_is_named() {
    let (gateway, _first, _second) = two("failover").await;

    for name in ["chat", "test-model"] {
        let path = format!("/admin/model-weights?model={name}");
        assert_eq!(gateway.get(&path).await.json()["total_models"], 1);
    }
    let unknown = gateway.get("/admin/model-weights?model=other").await;
    assert_eq!(
        unknown.error(),
        "404 invalid_request_error/model_not_found model"
    );
}

#[tokio::test]
async fn an_ejected_backend_weighs_nothing() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    first.set(Behaviour::status(500));
    let gateway = Setup::over_two(&first, &second)
        .strategy("weighted_failover")
        .settings("circuit_breaker_failure_threshold = 2")
        .user(ADMIN)
        .start();
    let mut weights = Vec::new();

    for _ in 0..3 {
        let json = gateway.get("/admin/model-weights").await.json();
        let model = &json["models"]["chat"];
        weights.push((
            model["backends"][0]["effective_weight"].clone(),
            model["total_effective_weight"].clone(),
        ));
        let mut by_name = hello();
        by_name["backend"] = json!("first");
        gateway.chat(&by_name).await;
    }

    assert_eq!(weights[0], (json!(1.0), json!(2.0)));
    assert_eq!(weights[2], (json!(0.0), json!(1.0)));
}

#[tokio::test]
async fn backend_health_has_the_documented_members_and_moves() {
    let (gateway, first, _second) = two("failover").await;
    gateway.chat(&hello()).await;
    first.set(Behaviour::status(500));
    gateway.chat(&hello()).await;

    let json = gateway.get("/admin/backend-health").await.json();

    shape(
        &json,
        &[
            ("/backend_health/chat/model_name", Value::is_string),
            ("/backend_health/chat/enabled", Value::is_boolean),
            ("/timestamp", Value::is_string),
        ],
    );
    let failing = &json["backend_health"]["chat"]["backends"][0];
    shape(
        failing,
        &[
            ("/provider", Value::is_string),
            ("/model", Value::is_string),
            ("/enabled", Value::is_boolean),
            ("/is_healthy", Value::is_boolean),
            ("/failure_count", Value::is_u64),
            ("/is_in_unhealthy_list", Value::is_boolean),
            ("/circuit_breaker", Value::is_string),
            ("/consecutive_failures", Value::is_u64),
            ("/average_latency_ms", number_or_null),
            ("/last_check", text_or_null),
            ("/last_error/at", Value::is_string),
            ("/tags", list),
            ("/priority", Value::is_u64),
        ],
    );
    assert_eq!(failing["total_requests"], 2);
    assert_eq!(failing["success_rate"], 0.5);
    assert_eq!(failing["consecutive_failures"], 1);
    assert_eq!(failing["circuit_breaker"], "closed");
    assert_eq!(failing["last_error"]["kind"], "server");
    assert_eq!(failing["error_distribution"], json!({ "server": 1 }));
    let standby = &json["backend_health"]["chat"]["backends"][1];
    assert_eq!(standby["last_error"], Value::Null);
    assert_eq!(standby["error_distribution"], json!({}));
}

#[tokio::test]
async fn an_open_breaker_is_shown_open() {
    let (gateway, first, _second) = two("failover").await;
    first.set(Behaviour::status(401));
    gateway.chat(&hello()).await;

    let json = gateway.get("/admin/backend-health").await.json();

    let ejected = &json["backend_health"]["chat"]["backends"][0];
    assert_eq!(ejected["circuit_breaker"], "open");
    assert_eq!(ejected["is_healthy"], false);
    assert_eq!(ejected["is_in_unhealthy_list"], true);
}

#[tokio::test]
async fn system_stats_have_the_documented_members() {
    let (gateway, _first, _second) = two("failover").await;
    gateway.chat(&hello()).await;

    let json = gateway.get("/admin/system-stats").await.json();

    shape(
        &json,
        &[
            ("/system/is_running", Value::is_boolean),
            ("/system/total_models", Value::is_u64),
            ("/health_summary/total_providers", Value::is_u64),
            ("/health_summary/healthy_providers", Value::is_u64),
            ("/health_summary/total_models", Value::is_u64),
            ("/health_summary/healthy_models", Value::is_u64),
            ("/health_summary/provider_health_ratio", Value::is_f64),
            ("/health_summary/model_health_ratio", Value::is_f64),
            ("/timestamp", Value::is_string),
        ],
    );
    assert_eq!(json["system"]["available_models"], json!(["test-model"]));
    assert_eq!(json["model_stats"]["chat"]["selections"], 1);
}

#[tokio::test]
async fn providers_and_users_are_called_by_their_names() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .option("name = \"The only one\"")
        .user("name = \"Ada Lovelace\"\ntags = [\"admin\"]")
        .start();

    let health = gateway.get("/health").await.json();
    let stats = gateway.get("/admin/system-stats").await.json();

    assert_eq!(health["providers"]["only"]["name"], "The only one");
    let ada = json!({ "name": "Ada Lovelace", "enabled": true, "is_admin": true });
    assert_eq!(stats["users"]["ada"], ada);
}
