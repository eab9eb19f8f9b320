//! Whole answers, and what crosses the gateway with them.

use std::time::Duration;

use berry_testkit::{Behaviour, Recorded, Upstream};
use http::Method;
use serde_json::json;

use crate::support::{Gateway, Setup, TOKEN, chat, get, hello, request};

const BEARER: &str = "Bearer token-of-ada-0123456789";

/// Returns the body that an upstream receives when a client sends `body`.
async fn forwarded(body: &str) -> String {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::json(json!({"choices": [{}]})))
        .start()
        .await;
    let gateway = Setup::over(&upstream).start();

    let answer = gateway.send(chat(body.to_owned())).await;

    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    let request = upstream.requests().remove(0);
    assert_eq!(
        request.headers["content-length"],
        request.body.len().to_string()
    );
    String::from_utf8(request.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_chat_gets_its_answer() {
    let upstream = Upstream::builder().name("a provider").start().await;
    let gateway = Setup::over(&upstream).start();

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.said(), "Hello from a provider! You said: hello");
    let request = upstream.requests().remove(0);
    assert_eq!(request.method, Method::POST);
    assert_eq!(request.path_and_query, "/v1/chat/completions");
}

#[tokio::test]
async fn only_the_model_and_the_backend_member_change_on_the_way() {
    for (sent, expected) in [
        (r#"{"model":"test-model"}"#, r#"{"model":"upstream-model"}"#),
        (
            "{ \"messages\" : [ {\"content\":\"caf\\u00e9 \\ud83d\\ude00 \u{e9}\\/\"} ],\n\t\"temperature\":1.0e0, \
             \"seed\" : 12345678901234567890,\"top_p\":0.10,\"model\" : \"test-model\" , \"b\":1,\"a\":2 }\n",
            "{ \"messages\" : [ {\"content\":\"caf\\u00e9 \\ud83d\\ude00 \u{e9}\\/\"} ],\n\t\"temperature\":1.0e0, \
             \"seed\" : 12345678901234567890,\"top_p\":0.10,\"model\" : \"upstream-model\" , \"b\":1,\"a\":2 }\n",
        ),
        (
            r#"{"a":1,"a":2,"model":"test\u002dmodel","metadata":{"model":"x","backend":"y"}}"#,
            r#"{"a":1,"a":2,"model":"upstream-model","metadata":{"model":"x","backend":"y"}}"#,
        ),
        (
            r#"{"model":"chat","backend":null,"stream":null,"stop":["\"model\":\"test-model\""]}"#,
            r#"{"model":"upstream-model","stream":null,"stop":["\"model\":\"test-model\""]}"#,
        ),
        (
            r#"{"backend":"only","model":"test-model"}"#,
            r#"{"model":"upstream-model"}"#,
        ),
        (
            r#"{"model":"test-model","backend":"only"}"#,
            r#"{"model":"upstream-model"}"#,
        ),
    ] {
        assert_eq!(forwarded(sent).await, expected);
    }
}

#[tokio::test]
async fn a_body_of_many_megabytes_arrives_unchanged() {
    let text = "0123456789".repeat(500_000);

    let arrived = forwarded(&format!(r#"{{"text":"{text}","model":"test-model"}}"#)).await;

    assert!(arrived == format!(r#"{{"text":"{text}","model":"upstream-model"}}"#));
}

#[tokio::test]
async fn the_answer_is_the_upstreams_byte_for_byte() {
    let body =
        "{ \"id\":1.50, \"model\":\"upstream-model\",\"choices\":[ {} ],\"x\":\"\\u00e9\" }\n\n";
    let upstream = Upstream::builder()
        .behaviour(Behaviour::body("application/json; charset=utf-8", body))
        .start()
        .await;
    let gateway = Setup::over(&upstream).start();

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.text(), body);
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/json; charset=utf-8"));
}

#[tokio::test]
async fn an_answer_of_many_megabytes_passes_whole() {
    let body = format!(r#"{{"choices":[{{}}],"text":"{}"}}"#, "x".repeat(5 << 20));
    let upstream = Upstream::builder()
        .behaviour(Behaviour::body("application/json", body.clone()))
        .start()
        .await;
    let gateway = Setup::over(&upstream).start();

    let answer = gateway.chat(&hello()).await;

    assert!(answer.body == body);
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_looked_at_once() {
    // Were all of it looked at again with each byte, the test would run out of time.
    let text = json!({"choices": [{}], "text": "x".repeat(100_000)}).to_string();
    let bytes: Vec<_> = text.bytes().map(|byte| vec![byte]).collect();
    let behaviour =
        Behaviour::stream(bytes, Duration::ZERO).header("content-type", "application/json");
    let upstream = Upstream::builder().behaviour(behaviour).start().await;
    let gateway = Setup::over(&upstream).start();

    let answer = gateway.chat(&hello()).await;

    assert!(answer.text() == text, "{} bytes", answer.body.len());
}

#[tokio::test]
async fn an_answer_cut_off_beyond_what_is_held_breaks_for_the_client() {
    let body = format!(r#"{{"choices":[{{}}],"text":"{}"}}"#, "x".repeat(5 << 20));
    let upstream = Upstream::builder()
        .behaviour(Behaviour::body("application/json", body).truncate_after(3 << 20))
        .start()
        .await;
    let gateway = Setup::over(&upstream)
        .settings("circuit_breaker_failure_threshold = 1")
        .start();

    let (_, ending) = gateway.stream(&hello()).await.rest_and_ending().await;

    assert!(ending.is_err());
    assert_eq!(gateway.backends().await, (0, 1));
}

#[tokio::test]
async fn of_an_upstreams_headers_only_listed_ones_reach_the_client() {
    let mut behaviour = Behaviour::echo();
    for name in [
        "set-cookie",
        "server",
        "openai-organization",
        "openai-processing-ms",
        "openai-version",
        "access-control-allow-origin",
        "strict-transport-security",
        "cf-ray",
        "x-berry-backend",
        "x-should-retry",
        "via",
        "keep-alive",
        "proxy-authenticate",
        "www-authenticate",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-remaining-requests-of-nobody",
    ] {
        behaviour = behaviour.header(name, "upstream");
    }
    let upstream = Upstream::builder().behaviour(behaviour).start().await;
    let gateway = Setup::over(&upstream).start();

    let answer = gateway.chat(&hello()).await;

    let mut names: Vec<_> = answer
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-length",
            "content-type",
            "date",
            "openai-processing-ms",
            "openai-version",
            "x-request-id",
            "x-upstream-ratelimit-remaining-requests",
            "x-upstream-request-id",
        ]
    );
    assert_eq!(answer.header("x-upstream-request-id"), Some("req_1"));
}

/// Returns what an upstream receives of a request with many headers.
async fn received(setup: impl FnOnce(Setup) -> Setup) -> Recorded {
    let upstream = Upstream::start().await;
    let gateway = setup(Setup::over(&upstream)).start();
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("authorization", BEARER),
        ("x-api-key", TOKEN),
        ("openai-beta", "assistants=v2"),
        ("anthropic-beta", "b"),
        ("anthropic-version", "v"),
        ("idempotency-key", "i"),
        ("traceparent", "t"),
        ("tracestate", "s"),
        ("openai-organization", "org-of-the-client"),
        ("openai-project", "project-of-the-client"),
        ("user-agent", "OpenAI/Python"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "de"),
        ("cookie", "session=1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-request-id", "client-request-id"),
        ("x-stainless-lang", "python"),
        ("connection", "x-hop"),
        ("x-hop", "hop"),
        ("te", "trailers"),
    ];
    let body = hello().to_string();
    let answer = gateway
        .send(request(
            Method::POST,
            "/v1/chat/completions",
            &headers,
            body,
        ))
        .await;
    assert_eq!(answer.status, 200);
    upstream.requests().remove(0)
}

#[tokio::test]
async fn of_a_clients_headers_only_listed_ones_reach_the_upstream() {
    let request = received(|setup| setup).await;

    let mut names: Vec<_> = request
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept-encoding",
            "anthropic-beta",
            "anthropic-version",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "idempotency-key",
            "openai-beta",
            "traceparent",
            "tracestate",
            "user-agent",
            "x-request-id",
        ]
    );
    assert_eq!(request.headers["authorization"], "Bearer key-of-only");
    assert_eq!(request.headers["accept-encoding"], "identity");
    assert_eq!(request.headers["openai-beta"], "assistants=v2");
    assert_eq!(request.headers["x-request-id"], "client-request-id");
}

#[tokio::test]
async fn a_providers_headers_win_over_the_credential_and_the_clients() {
    let request = received(|setup| {
        setup.option(
            r#"headers = { Authorization = "Custom secret", OpenAI-Organization = "ours", Traceparent = "t2" }"#,
        )
    })
    .await;

    assert_eq!(request.headers["authorization"], "Custom secret");
    assert_eq!(request.headers["openai-organization"], "ours");
    assert_eq!(request.headers["traceparent"], "t2");
}

#[tokio::test]
async fn without_a_key_no_credential_is_sent() {
    let upstream = Upstream::start().await;
    let toml = Setup::over(&upstream).toml();
    let gateway = Gateway::start(&toml.replace("api_key = \"key-of-only\"\n", ""));

    gateway.chat(&hello()).await;

    assert!(!upstream.requests()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_base_url_may_be_an_operations_whole_address() {
    let upstream = Upstream::start().await;
    let root = format!("http://{}", upstream.address());

    for (base, path) in [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/openai/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/v1beta/openai", "/v1beta/openai/chat/completions"),
        ("/api", "/api/v1/chat/completions"),
    ] {
        let setup = Setup::new().provider_at("only", &format!("{root}{base}"));

        setup.start().chat(&hello()).await;

        let last = upstream.requests().pop().unwrap();
        assert_eq!(last.path_and_query, path, "{base}");
    }
}

#[tokio::test]
async fn a_request_is_named_by_its_client_or_by_the_gateway() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();
    let mut named = get("/v1/models");
    named
        .headers_mut()
        .insert("x-request-id", "mine-1".parse().unwrap());
    let mut misnamed = get("/v1/models");
    misnamed
        .headers_mut()
        .insert("x-request-id", "not sane".parse().unwrap());

    let kept = gateway.send(named).await;
    let replaced = gateway.send(misnamed).await;
    let made = gateway.chat(&hello()).await;

    assert_eq!(kept.header("x-request-id"), Some("mine-1"));
    for answer in [replaced, made] {
        assert_eq!(answer.header("x-request-id").unwrap().len(), 36);
    }
}
