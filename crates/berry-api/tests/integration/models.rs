//! The list of models.

use berry_testkit::Upstream;
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Setup};

async fn gateway(user: &str) -> Gateway {
    let upstream = Upstream::start().await;
    Setup::over(&upstream)
        .user(user)
        .more(
            r#"
            [models.zeta]
            name = "zeta"
            backends = [{ provider = "only", model = "z" }]
            [models.alpha]
            name = "org/alpha:latest"
            backends = [{ provider = "only", model = "a" }]
            [models.off]
            name = "off"
            enabled = false
            backends = [{ provider = "only", model = "o" }]
            "#,
        )
        .start()
}

fn ids(answer: &Answer) -> Vec<String> {
    let list = answer.json();
    assert_eq!(list["object"], "list");
    let data = list["data"].as_array().unwrap();
    data.iter()
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn enabled_models_are_listed_in_order_under_both_addresses() {
    let gateway = gateway("").await;

    for path in ["/v1/models", "/models"] {
        let answer = gateway.get(path).await;

        assert_eq!(answer.status, 200);
        assert_eq!(ids(&answer), ["org/alpha:latest", "test-model", "zeta"]);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_listed_model_looks_as_sdks_expect_it() {
    let gateway = gateway("").await;

    let mut model: Value = gateway.get("/v1/models").await.json()["data"][1].take();

    assert!(model["created"].take().is_u64());
    assert_eq!(
        model,
        json!({"id": "test-model", "object": "model", "created": null, "owned_by": "berry-api"})
    );
}

#[tokio::test]
async fn a_restricted_user_sees_the_allowed_models_only() {
    let gateway = gateway(r#"allowed_models = ["zeta", "alpha"]"#).await;

    assert_eq!(
        ids(&gateway.get("/v1/models").await),
        ["org/alpha:latest", "zeta"]
    );
    for (id, expected) in [
        ("zeta", "200"),
        (
            "test-model",
            "403 permission_error/model_access_denied model",
        ),
        (
            "no-such-model",
            "403 permission_error/model_access_denied model",
        ),
    ] {
        let answer = gateway.get(&format!("/v1/models/{id}")).await;
        let seen = match answer.status {
            200 => "200".to_owned(),
            _ => answer.error(),
        };
        assert_eq!(seen, expected, "{id}");
    }
}

#[tokio::test]
async fn a_model_whose_backends_are_all_closed_to_the_user_is_not_listed() {
    let upstream = Upstream::start().await;
    let models = r#"
        [models.half]
        name = "half"
        backends = [
            { provider = "only", model = "a", tags = ["blue"] },
            { provider = "only", model = "b", tags = ["red"] },
        ]
        [models.shut]
        name = "shut"
        backends = [
            { provider = "only", model = "c", tags = ["blue"] },
            { provider = "only", model = "d", tags = ["green"] },
        ]
    "#;
    for (tags, expected) in [
        ("tags = [\"red\"]", &["half", "test-model"][..]),
        ("tags = [\"green\"]", &["shut", "test-model"]),
        ("tags = [\"grey\"]", &["test-model"]),
        ("tags = []", &["half", "shut", "test-model"]),
        ("tags = [\"unlimited\"]", &["half", "shut", "test-model"]),
        ("tags = [\"admin\"]", &["half", "shut", "test-model"]),
    ] {
        let gateway = Setup::over(&upstream).user(tags).more(models).start();

        let listed = ids(&gateway.get("/v1/models").await);

        assert_eq!(listed, expected, "{tags}");
    }
}

#[tokio::test]
async fn a_model_is_found_by_name_or_key_also_with_slashes_in_it() {
    let gateway = gateway("").await;

    for (id, name) in [
        ("test-model", "test-model"),
        ("chat", "test-model"),
        ("org/alpha:latest", "org/alpha:latest"),
        ("org%2Falpha:latest", "org/alpha:latest"),
        ("org%2Falpha%3Alatest", "org/alpha:latest"),
    ] {
        let answer = gateway.get(&format!("/v1/models/{id}")).await;

        assert_eq!(answer.status, 200, "{id}");
        assert_eq!(answer.json()["id"], name, "{id}");
        assert_eq!(answer.json()["object"], "model");
    }
    for (id, code) in [
        ("off", "model_not_found model"),
        ("no-such-model", "model_not_found model"),
        ("org", "model_not_found model"),
        ("%ff", "unknown_url"),
    ] {
        let answer = gateway.get(&format!("/v1/models/{id}")).await;

        assert_eq!(answer.error(), format!("404 invalid_request_error/{code}"));
    }
}
