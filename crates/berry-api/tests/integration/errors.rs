//! Requests that are refused, and the one shape of all errors.

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Gateway, Request, Setup, chat, get, hello, request};

async fn gateway() -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    let setup = Setup::over(&upstream).settings("max_body_bytes = 2000");
    (setup.start(), upstream)
}

/// Expects each body to be refused so, without any upstream being called.
async fn refused<'a>(cases: impl IntoIterator<Item = (&'a [u8], &'a str)>) {
    let (gateway, upstream) = gateway().await;
    for (body, expected) in cases {
        let answer = gateway.send(chat(body.to_vec())).await;

        let shown = String::from_utf8_lossy(body);
        assert_eq!(
            answer.error(),
            format!("400 invalid_request_error/{expected}"),
            "{shown}"
        );
    }
    assert_eq!(upstream.connection_count(), 0);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let invalid: &[&[u8]] = &[
        b"",
        b" ",
        b"hello",
        b"{",
        b"{\"model\":\"test-model\"",
        b"{\"model\":\"test-model\",}",
        b"{\"model\":\"test-model\"} x",
        b"{\"model\":\"test-model\"}{}",
        b"{'model':'test-model'}",
        b"{\"model\":\"test-model\",\"n\":01}",
        b"{\"model\":\"test-model\",\"n\":NaN}",
        b"{\"model\":\"test-model\",\"s\":\"\x01\"}",
        b"{\"model\":\"test-model\",\"s\":\"\\x\"}",
        b"{\"model\":\"test-model\",\"s\":\"\xff\"}",
        b"{\"model\":\"test-model\",\"s\":\"\xc3\"}",
        b"{\"model\":\"test-model\",\"\xed\xa0\x80\":1}",
        b"\xff\xfe{\x00}\x00",
    ];
    refused(invalid.iter().map(|body| (*body, "invalid_json"))).await;
}

#[tokio::test]
async fn a_body_that_is_not_an_object_is_refused() {
    let invalid: &[&[u8]] = &[
        b"[]",
        b"null",
        b"1",
        b"\"model\"",
        b"[{\"model\":\"test-model\"}]",
    ];
    refused(invalid.iter().map(|body| (*body, "invalid_body"))).await;
}

#[tokio::test]
async fn a_body_deeper_than_256_levels_is_refused_and_one_of_256_is_not() {
    let (gateway, upstream) = gateway().await;
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        chat(format!(r#"{{"model":"test-model","x":{open}{close}}}"#))
    };

    for levels in [257, 900] {
        let answer = gateway.send(nested(levels)).await;
        assert_eq!(
            answer.error(),
            "400 invalid_request_error/invalid_body",
            "{levels}"
        );
    }

    assert_eq!(upstream.connection_count(), 0);
    upstream.set(Behaviour::json(json!({"choices": [{}]})));
    assert_eq!(gateway.send(nested(256)).await.status, 200);
}

#[tokio::test]
async fn the_members_that_decide_must_be_there_once_in_plain_sight_and_of_their_type() {
    refused([
        (&b"{}"[..], "missing_required_parameter model"),
        (b"{\"Model\":\"test-model\"}", "ambiguous_parameter model"),
        (
            b"{\"metadata\":{\"model\":\"test-model\"}}",
            "missing_required_parameter model",
        ),
        (b"{\"model\":null}", "invalid_type model"),
        (b"{\"model\":1}", "invalid_type model"),
        (b"{\"model\":\"\"}", "invalid_type model"),
        (b"{\"model\":[\"test-model\"]}", "invalid_type model"),
        (
            b"{\"model\":\"test-model\",\"model\":\"x\"}",
            "ambiguous_parameter model",
        ),
        (
            b"{\"model\":\"test-model\",\"model\":\"test-model\"}",
            "ambiguous_parameter model",
        ),
        (
            b"{\"model\":\"test-model\",\"\\u006dodel\":\"x\"}",
            "ambiguous_parameter model",
        ),
        (
            b"{\"\\u006dodel\":\"test-model\"}",
            "ambiguous_parameter model",
        ),
        (
            b"{\"model\":\"test-model\",\"b\\u0061ckend\":\"x\"}",
            "ambiguous_parameter backend",
        ),
        (
            b"{\"model\":\"test-model\",\"str\\u0065am\":true}",
            "ambiguous_parameter stream",
        ),
        (
            b"{\"model\":\"test-model\",\"stream\":true,\"stream\":false}",
            "ambiguous_parameter stream",
        ),
        (
            b"{\"model\":\"test-model\",\"stream\":\"true\"}",
            "invalid_type stream",
        ),
        (
            b"{\"model\":\"test-model\",\"stream\":1}",
            "invalid_type stream",
        ),
        (
            b"{\"model\":\"test-model\",\"backend\":1}",
            "invalid_type backend",
        ),
        (
            b"{\"model\":\"test-model\",\"backend\":\"a\",\"backend\":\"b\"}",
            "ambiguous_parameter backend",
        ),
    ])
    .await;
}

/// Returns a chat request whose body is said to be of this type.
fn of_type(kind: &str) -> Request {
    let mut request = chat(hello().to_string());
    let kind = kind.parse().unwrap();
    request.headers_mut().insert("content-type", kind);
    request
}

#[tokio::test]
async fn a_body_of_another_type_is_refused_and_one_of_no_type_counts_as_json() {
    let (gateway, upstream) = gateway().await;
    for kind in [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/jsonp",
        "json",
    ] {
        let answer = gateway.send(of_type(kind)).await;

        let expected = "415 invalid_request_error/unsupported_media_type";
        assert_eq!(answer.error(), expected, "{kind}");
    }
    assert_eq!(upstream.connection_count(), 0);

    let mut untyped = chat(hello().to_string());
    untyped.headers_mut().remove("content-type");
    for request in [
        untyped,
        of_type("APPLICATION/JSON;charset=UTF-8"),
        of_type("application/x+json"),
    ] {
        assert_eq!(gateway.send(request).await.status, 200);
    }
}

#[tokio::test]
async fn every_cause_has_its_status_type_code_and_param() {
    let (gateway, upstream) = gateway().await;
    let large = format!(
        "{{\"model\":\"test-model\",\"x\":\"{}\"}}",
        "x".repeat(2_000)
    );
    let post = |path| request(Method::POST, path, &[], "{}");
    let invalid = "invalid_request_error";
    for (request, expected) in [
        (
            post("/v1/chat/completions"),
            format!("401 {invalid}/invalid_api_key"),
        ),
        (
            chat(r#"{"model":"no-such"}"#),
            format!("404 {invalid}/model_not_found model"),
        ),
        (
            chat(r#"{"model":"chat","backend":"x"}"#),
            format!("404 {invalid}/backend_not_found backend"),
        ),
        (get("/v1/nothing"), format!("404 {invalid}/unknown_url")),
        (
            get("/v1/chat/completions/"),
            format!("404 {invalid}/unknown_url"),
        ),
        (
            get("/v1/chat/completions"),
            format!("405 {invalid}/method_not_allowed"),
        ),
        (
            post("/v1/models"),
            format!("405 {invalid}/method_not_allowed"),
        ),
        (
            chat("{}"),
            format!("400 {invalid}/missing_required_parameter model"),
        ),
        (chat("{"), format!("400 {invalid}/invalid_json")),
        (chat(large), format!("413 {invalid}/request_too_large")),
        (
            of_type("text/plain"),
            format!("415 {invalid}/unsupported_media_type"),
        ),
    ] {
        let mut request = request;
        let line = format!("{} {}", request.method(), request.uri());
        let id = "x-request-id";
        request.headers_mut().insert(id, "mine".parse().unwrap());

        let answer = gateway.send(request).await;

        assert_eq!(answer.error(), expected, "{line}");
        assert_eq!(answer.header(id), Some("mine"), "{line}");
    }
    assert_eq!(upstream.connection_count(), 0);
}

#[tokio::test]
async fn the_body_is_looked_at_before_the_model_and_the_type_before_the_body() {
    let (gateway, _upstream) = gateway().await;
    let mut mistyped = of_type("text/plain");
    *mistyped.body_mut() = "{".into();

    let ambiguous = r#"{"model":"no-such","model":"test-model"}"#;

    assert_eq!(gateway.send(mistyped).await.status, 415);
    assert_eq!(gateway.send(chat(ambiguous)).await.status, 400);
}

#[tokio::test]
async fn an_error_does_not_echo_what_is_long() {
    let (gateway, _upstream) = gateway().await;
    let model = "m".repeat(1_900);

    let unknown = gateway
        .send(chat(json!({"model": model}).to_string()))
        .await;
    let path = gateway.get(&format!("/{model}")).await;

    assert_eq!((unknown.status, path.status), (404, 404));
    assert!(unknown.body.len() < 500);
    assert!(path.body.len() < 500);
}

#[tokio::test]
async fn an_error_names_no_host_key_or_provider() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::status(401))
        .start()
        .await;
    let gateway = Setup::over(&upstream)
        .dead_provider("second")
        .user("tags = [\"x\"]")
        .start();

    for _ in 0..2 {
        let answer = gateway.chat(&hello()).await;

        assert!(answer.status >= 500);
        let message: Value = answer.json()["error"]["message"].clone();
        let message = message.as_str().unwrap();
        for secret in [
            "127.0.0.1",
            "http",
            "key-of",
            "only",
            "second",
            "upstream-model",
            "ada",
        ] {
            assert!(!message.contains(secret), "{message}");
        }
    }
}
