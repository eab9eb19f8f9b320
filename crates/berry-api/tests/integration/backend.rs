//! The `backend` member, tags, and who is told which backend answered.

use berry_testkit::{Behaviour, Upstream};
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Setup, hello, hello_stream};

async fn upstreams() -> (Upstream, Upstream) {
    let first = Upstream::builder().name("first").start().await;
    let second = Upstream::builder().name("second").start().await;
    (first, second)
}

/// Returns a chat request that names its backend.
fn on(backend: impl Into<Value>) -> Value {
    let mut body = hello();
    body["backend"] = backend.into();
    body
}

async fn chosen(gateway: &Gateway, backend: &str) -> Answer {
    gateway.chat(&on(backend)).await
}

#[tokio::test]
async fn the_named_backend_answers_and_is_not_told_its_name() {
    let (first, second) = upstreams().await;
    let gateway = Setup::over_two(&first, &second).start();

    for name in ["second", "first", "second"] {
        let said = chosen(&gateway, name).await.said();
        assert!(said.starts_with(&format!("Hello from {name}!")), "{said}");
    }

    for request in second.requests() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body.get("backend"), None);
        assert_eq!(body["model"], "upstream-model");
    }
}

#[tokio::test]
async fn a_failure_of_the_named_backend_moves_to_no_other_provider() {
    let (first, second) = upstreams().await;
    first.set(Behaviour::status(500));
    let gateway = Setup::over_two(&first, &second).start();

    let answer = chosen(&gateway, "first").await;

    assert_eq!(answer.error(), "502 server_error/upstream_error");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(second.request_count(), 0);
}

#[tokio::test]
async fn failover_stays_among_the_backends_of_the_named_provider() {
    let (first, second) = upstreams().await;
    let gateway = Setup::over_two(&first, &second)
        .backend("[[models.chat.backends]]\nprovider = \"second\"\nmodel = \"other\"")
        .start();
    second.script([Behaviour::status(500)]);

    assert_eq!(chosen(&gateway, "second").await.status, 200);

    let models: Vec<Value> = second
        .requests()
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["model"].take())
        .collect();
    assert_eq!(models, ["upstream-model", "other"]);
    assert_eq!(first.request_count(), 0);
}

#[tokio::test]
async fn an_ejected_backend_answers_when_it_is_named() {
    let (first, second) = upstreams().await;
    let gateway = Setup::over_two(&first, &second)
        .settings("circuit_breaker_failure_threshold = 1")
        .start();
    first.script([Behaviour::status(500)]);
    gateway.chat(&hello()).await;
    assert_eq!(gateway.backends().await, (1, 2));

    let answer = chosen(&gateway, "first").await;

    assert!(answer.said().starts_with("Hello from first!"));
}

#[tokio::test]
async fn failures_of_a_named_backend_count_like_any_other() {
    let (first, second) = upstreams().await;
    first.set(Behaviour::status(500));
    let gateway = Setup::over_two(&first, &second)
        .settings("circuit_breaker_failure_threshold = 1\nmax_retries = 0")
        .start();

    chosen(&gateway, "first").await;

    assert_eq!(gateway.backends().await, (1, 2));
}

#[tokio::test]
async fn a_backend_that_is_unknown_disabled_or_not_of_the_model_is_not_found() {
    let (first, second) = upstreams().await;
    let gateway = Setup::over_two(&first, &second)
        .backend("enabled = false")
        .more(&format!(
            "[providers.elsewhere]\nbase_url = \"{0}\"\n\
             [providers.off]\nbase_url = \"{0}\"\nenabled = false\n\
             [models.other]\nname = \"other\"\n\
             backends = [{{ provider = \"elsewhere\", model = \"m\" }}]",
            second.url()
        ))
        .start();

    for name in [
        "nobody",
        "second",
        "elsewhere",
        "off",
        "FIRST",
        "",
        "a b",
        "first:upstream-model",
    ] {
        let answer = chosen(&gateway, name).await;

        let expected = "404 invalid_request_error/backend_not_found backend";
        assert_eq!(answer.error(), expected, "{name}");
    }
    assert_eq!(first.request_count() + second.request_count(), 0);
}

#[tokio::test]
async fn a_backend_that_is_not_a_string_is_refused() {
    let (first, second) = upstreams().await;
    let gateway = Setup::over_two(&first, &second).start();

    for backend in [json!(1), json!(true), json!(["first"]), json!({})] {
        let answer = gateway.chat(&on(backend)).await;
        assert_eq!(
            answer.error(),
            "400 invalid_request_error/invalid_type backend"
        );
    }
    assert_eq!(gateway.chat(&on(Value::Null)).await.status, 200);
    assert_eq!(first.request_count(), 1);
}

/// A gateway whose first backend is tagged `eu` and whose second has the tag that is given; its user
/// has these tags.
async fn tagged(user_tags: &str, second_tags: &str) -> (Gateway, Upstream, Upstream) {
    let (first, second) = upstreams().await;
    let gateway = Setup::new()
        .provider("first", &first)
        .backend("tags = [\"eu\"]")
        .provider("second", &second)
        .backend(&format!("tags = {second_tags}"))
        .user(&format!("tags = {user_tags}"))
        .start();
    (gateway, first, second)
}

#[tokio::test]
async fn tags_decide_which_backends_a_user_may_use() {
    for (user_tags, expected) in [
        ("[]", "first"),
        ("[\"eu\"]", "first"),
        ("[\"us\", \"eu\"]", "first"),
        ("[\"us\"]", "second"),
        ("[\"other\"]", "second"),
        ("[\"EU\"]", "second"),
        ("[\"admin\"]", "first"),
        ("[\"unlimited\", \"us\"]", "first"),
    ] {
        let (gateway, _first, _second) = tagged(user_tags, "[]").await;

        let said = gateway.chat(&hello()).await.said();

        assert!(
            said.starts_with(&format!("Hello from {expected}!")),
            "{user_tags}"
        );
    }
}

#[tokio::test]
async fn a_user_whose_tags_match_no_backend_is_refused() {
    let (gateway, first, second) = tagged("[\"us\"]", "[\"asia\"]").await;

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.error(), "403 permission_error/no_backend_for_user");
    assert_eq!(first.connection_count() + second.connection_count(), 0);
}

#[tokio::test]
async fn naming_a_backend_does_not_bypass_tags() {
    let (gateway, first, _second) = tagged("[\"us\"]", "[]").await;

    let answer = chosen(&gateway, "first").await;

    assert_eq!(answer.error(), "403 permission_error/no_backend_for_user");
    assert_eq!(first.request_count(), 0);
}

#[tokio::test]
async fn failover_does_not_bypass_tags() {
    let (gateway, first, second) = tagged("[\"us\"]", "[]").await;
    second.set(Behaviour::status(500));

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.error(), "502 server_error/upstream_error");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(first.request_count(), 0);
}

#[tokio::test]
async fn only_admins_and_debuggers_are_told_which_backend_answered() {
    for (tags, told) in [("[]", false), ("[\"admin\"]", true), ("[\"debug\"]", true)] {
        let (first, second) = upstreams().await;
        let gateway = Setup::over_two(&first, &second)
            .user(&format!("tags = {tags}"))
            .start();
        let expected = |name: &str| told.then(|| format!("{name}:upstream-model"));
        let backend = |answer: &Answer| answer.header("x-berry-backend").map(str::to_owned);

        let whole = gateway.chat(&hello()).await;
        first.set(Behaviour::status(500));
        let moved = gateway.chat(&hello_stream()).await;

        assert_eq!(backend(&whole), expected("first"), "{tags}");
        assert_eq!(backend(&moved), expected("second"), "{tags}");
    }
}

#[tokio::test]
async fn the_user_called_admin_is_one() {
    let (first, second) = upstreams().await;
    let toml = Setup::over_two(&first, &second).toml();
    let gateway = Gateway::start(&toml.replace("[users.ada]", "[users.admin]"));

    let answer = gateway.chat(&hello()).await;

    let backend = answer.header("x-berry-backend");
    assert_eq!(backend, Some("first:upstream-model"));
}
