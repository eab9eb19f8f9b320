//! Everything that can be asked of a model besides chats.

use std::time::Duration;

use berry_testkit::{Behaviour, Protocol, Upstream};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Request, Setup, TOKEN, request};

/// Returns a request for an operation, as the user.
fn ask(path: &str, kind: &str, body: impl Into<bytes::Bytes>) -> Request {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
    request(Method::POST, path, &headers, body)
}

async fn ask_json(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    gateway
        .send(ask(path, "application/json", body.to_string()))
        .await
}

const FORM: &str = "multipart/form-data; boundary=b";

fn form(parts: &[(&str, &str)]) -> String {
    let part = |(head, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    };
    parts.iter().map(part).collect::<String>() + "--b--\r\n"
}

#[tokio::test]
async fn every_operation_goes_to_its_place_with_the_upstreams_model() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();
    for (path, more) in [
        ("/v1/completions", json!({"prompt": "x"})),
        ("/v1/embeddings", json!({"input": ["a", "b"]})),
        ("/v1/responses", json!({"input": "x"})),
        ("/v1/moderations", json!({"input": "x"})),
        ("/v1/images/generations", json!({"prompt": "x"})),
        ("/v1/images/edits", json!({"prompt": "x"})),
        ("/v1/audio/speech", json!({"input": "x", "voice": "v"})),
        ("/v1/audio/transcriptions", json!({})),
        ("/v1/audio/translations", json!({})),
        ("/v1/rerank", json!({"query": "x", "documents": ["a"]})),
    ] {
        let mut body = more;
        body["model"] = "test-model".into();

        let answer = ask_json(&gateway, path, &body).await;

        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let request = upstream.requests().pop().unwrap();
        assert_eq!(request.path_and_query, path);
        body["model"] = "upstream-model".into();
        let sent: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(sent, body);
    }
}

#[tokio::test]
async fn a_form_keeps_its_bytes_but_for_the_model_and_the_backend() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();
    let file = ("name=\"file\"; filename=\"a.mp3\"", "\u{1}\r\n--\r\nmodel");
    let body = form(&[
        ("name=\"model\"", "test-model"),
        file,
        ("name=\"backend\"", "only"),
    ]);

    let answer = gateway
        .send(ask("/v1/audio/transcriptions", FORM, body))
        .await;

    assert_eq!(answer.json()["text"], "heard by upstream-model");
    let request = upstream.requests().remove(0);
    assert_eq!(request.headers["content-type"], FORM);
    let expected = form(&[("name=\"model\"", "upstream-model"), file]);
    assert_eq!(request.body, expected);
    assert_eq!(
        request.headers["content-length"],
        request.body.len().to_string()
    );
}

#[tokio::test]
async fn a_form_is_refused_where_it_is_none_or_has_no_place() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();
    let good = form(&[("name=\"model\"", "test-model")]);
    for (path, body, expected) in [
        (
            "/v1/audio/transcriptions",
            "--c--".to_owned(),
            "400 invalid_request_error/invalid_form",
        ),
        (
            "/v1/audio/transcriptions",
            form(&[("name=\"file\"; filename=\"a\"", "x")]),
            "400 invalid_request_error/missing_required_parameter model",
        ),
        (
            "/v1/audio/transcriptions",
            form(&[("name=\"model\"", "other")]),
            "404 invalid_request_error/model_not_found model",
        ),
        (
            "/v1/embeddings",
            good,
            "415 invalid_request_error/unsupported_media_type",
        ),
    ] {
        let answer = gateway.send(ask(path, FORM, body)).await;

        assert_eq!(answer.error(), expected);
    }
    assert_eq!(upstream.request_count(), 0);
}

#[tokio::test]
async fn sound_and_plain_text_pass_as_they_are() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();
    let speech = json!({"model": "test-model", "input": "x", "voice": "v"});
    let heard = form(&[
        ("name=\"model\"", "test-model"),
        ("name=\"response_format\"", "text"),
    ]);

    let sound = ask_json(&gateway, "/v1/audio/speech", &speech).await;
    let text = gateway
        .send(ask("/v1/audio/transcriptions", FORM, heard))
        .await;

    assert_eq!(sound.body, &b"\xff\xfbsound"[..]);
    assert_eq!(sound.header("content-type"), Some("audio/mpeg"));
    assert_eq!(text.text(), "heard by upstream-model");
}

#[tokio::test]
async fn sound_is_passed_on_as_it_comes() {
    let pieces = ["\u{1}first\n\n", "second\n\n", "third"];
    let upstream = Upstream::builder()
        .behaviour(
            Behaviour::stream(pieces, Duration::ZERO)
                .header("content-type", "audio/mpeg")
                .hang_after(2),
        )
        .start()
        .await;
    let gateway = Setup::over(&upstream).start();
    let body = json!({"model": "test-model", "input": "x", "voice": "v"});
    let request = ask("/v1/audio/speech", "application/json", body.to_string());

    let mut answer = gateway.open(request).await;

    assert_eq!(answer.header("content-type"), Some("audio/mpeg"));
    assert_eq!(answer.event().await, pieces[0]);
    assert_eq!(answer.event().await, pieces[1]);
}

#[tokio::test]
async fn a_failure_of_any_operation_moves_on() {
    let (bad, good) = (Upstream::start().await, Upstream::start().await);
    let gateway = Setup::over_two(&bad, &good).start();
    for (path, failure) in [
        ("/v1/embeddings", Behaviour::status(500)),
        ("/v1/audio/speech", Behaviour::body("audio/mpeg", "")),
        (
            "/v1/audio/speech",
            Behaviour::body("audio/mpeg", r#" {"error":{"message":"no voice"}}"#),
        ),
        (
            "/v1/audio/speech",
            Behaviour::body("audio/mpeg", "<!DOCTYPE html>"),
        ),
        (
            "/v1/responses",
            Behaviour::json(json!({"error": {"message": "x"}})),
        ),
        ("/v1/completions", Behaviour::html(200)),
    ] {
        bad.set(failure);
        let body = json!({"model": "test-model", "input": "x"});

        let answer = ask_json(&gateway, path, &body).await;

        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    assert_eq!(good.request_count(), 6);
}

#[tokio::test]
async fn text_that_looks_like_an_object_passes_as_it_is_and_an_error_in_it_is_cleaned() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .option("headers = { X-Key = \"sk-live-0123456789abcdef\" }")
        .start();
    let heard = form(&[("name=\"model\"", "test-model")]);
    for (said, expected) in [
        (r#"{"a": sk-live-0123456789abcdef"#, None),
        (r#"{"text":"sk-live-0123456789abcdef"}"#, None),
        ("<music>", None),
        (" ", None),
        (
            r#"{"parts":[{"error":"sk-live-0123456789abcdef"}]}"#,
            Some(r#"{"parts":[{"error":"***"}]}"#),
        ),
    ] {
        upstream.set(Behaviour::body("text/plain", said));

        let answer = gateway
            .send(ask("/v1/audio/transcriptions", FORM, heard.clone()))
            .await;

        assert_eq!(answer.text(), expected.unwrap_or(said));
    }
}

#[tokio::test]
async fn a_refusal_that_is_called_sound_is_json_without_what_is_not_for_clients() {
    let refusal = r#"{"error":{"message":"bad voice for sk-live-0123456789abcdef"}}"#;
    let upstream = Upstream::builder()
        .behaviour(Behaviour::body("audio/mpeg", refusal).with_status(400))
        .start()
        .await;
    let gateway = Setup::over(&upstream)
        .option("headers = { X-Key = \"sk-live-0123456789abcdef\" }")
        .start();
    let speech = json!({"model": "test-model", "input": "x", "voice": "v"});

    let answer = ask_json(&gateway, "/v1/audio/speech", &speech).await;

    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.text(),
        r#"{"error":{"message":"bad voice for ***"}}"#
    );
}

#[tokio::test]
async fn a_responses_stream_moves_on_until_its_content() {
    let created = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_x\"}}\n\n";
    let failed =
        "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"x\"}\n\n";
    let bad = Upstream::builder()
        .behaviour(Behaviour::stream([created, failed], Duration::ZERO))
        .start()
        .await;
    let good = Upstream::start().await;
    let gateway = Setup::over_two(&bad, &good).start();
    let body = json!({"model": "test-model", "input": "x", "stream": true});

    let answer = ask_json(&gateway, "/v1/responses", &body).await;

    let text = answer.text();
    assert!(text.starts_with("event: response.created\n"), "{text}");
    assert!(!text.contains("resp_x") && !text.contains("[DONE]"));
    assert!(text.contains("event: response.completed\n"));
}

#[tokio::test]
async fn where_no_backend_has_the_operation_it_is_not_found() {
    let claude = Upstream::builder().protocol(Protocol::Claude).start().await;
    let gateway = Setup::over(&claude)
        .option("backend_type = \"claude\"")
        .start();
    let body = json!({"model": "test-model", "input": "x"});

    let answer = ask_json(&gateway, "/v1/embeddings", &body).await;

    assert_eq!(
        answer.error(),
        "404 invalid_request_error/unsupported_operation model"
    );
    assert_eq!(claude.request_count(), 0);
}

#[tokio::test]
async fn backends_that_have_the_operation_are_chosen_where_they_are_mixed() {
    let claude = Upstream::builder().protocol(Protocol::Claude).start().await;
    let openai = Upstream::start().await;
    let gateway = Setup::new()
        .provider("claude", &claude)
        .option("backend_type = \"claude\"")
        .provider("openai", &openai)
        .start();
    let body = json!({"model": "test-model", "input": "x"});

    let answer = ask_json(&gateway, "/v1/embeddings", &body).await;

    assert_eq!(answer.status, 200);
    assert_eq!((claude.request_count(), openai.request_count()), (0, 1));
}

#[tokio::test]
async fn usage_that_only_the_gateway_wants_is_asked_for_and_left_out() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .backend("input_price = 1.0\noutput_price = 2.0")
        .start();
    let mut body = json!({"model": "test-model", "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});

    let unasked = gateway.chat(&body).await.text().to_owned();
    body["stream_options"] = json!({"include_usage": true});
    let asked = gateway.chat(&body).await.text().to_owned();

    for request in upstream.requests() {
        let sent: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    }
    assert!(!unasked.contains("\"total_tokens\""), "{unasked}");
    assert!(unasked.ends_with("data: [DONE]\n\n"));
    assert!(asked.contains("\"total_tokens\""), "{asked}");
}
