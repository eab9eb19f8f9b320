//! What is the client's fault is passed on once, and is nobody's failure.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::json;

use crate::support::{Answer, Client, Setup, chat, hello, hello_stream};

/// Asks a backend that answers so, whole and streamed; expects either to be asked once, nobody else
/// to be asked, and everybody to be healthy.
async fn refused(name: &str, refusal: Behaviour) -> [Answer; 2] {
    let first = Upstream::builder().behaviour(refusal).start().await;
    let second = Upstream::start().await;
    let gateway = Setup::over_two(&first, &second)
        .settings("circuit_breaker_failure_threshold = 1")
        .start();

    let answers = [
        gateway.chat(&hello()).await,
        gateway.chat(&hello_stream()).await,
    ];

    let asked = (first.request_count(), second.request_count());
    assert_eq!(asked, (2, 0), "{name}: {answers:?}");
    assert_eq!(gateway.backends().await, (2, 2), "{name}");
    answers
}

#[tokio::test]
async fn a_refusal_is_passed_on_once_as_it_is() {
    for (status, code) in [
        (400, "invalid_value"),
        (400, "context_length_exceeded"),
        (400, "content_filter"),
        (403, "content_policy_violation"),
        (413, "too_large"),
        (415, "media"),
        (422, "unprocessable"),
        (451, "legal"),
    ] {
        let refusal = Behaviour::status(status).error_code(code);

        for answer in refused(code, refusal).await {
            assert_eq!(answer.status, status, "{code}");
            assert_eq!(answer.json()["error"]["code"], code);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let id = answer.header("x-upstream-request-id");
            assert_eq!(id.map(|id| &id[..4]), Some("req_"));
        }
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_bytes() {
    let only = Upstream::builder()
        .behaviour(Behaviour::status(422))
        .start()
        .await;
    let gateway = Setup::over(&only).start();
    let mut direct = Client::connect(only.address()).await;

    let told = gateway.chat(&hello()).await;

    let original = direct.send(chat(hello().to_string())).await;
    assert_eq!((told.status, &told.body), (original.status, &original.body));
}

#[tokio::test]
async fn our_key_gets_out_neither_by_escapes_nor_by_headers() {
    let escaped = "key-of-first"
        .replace('k', "\\u006b")
        .replace('o', "\\u006F");
    let refusal = format!(r#"{{"error":{{"message":"bad key {escaped}","type":"x"}}}}"#);
    let refusal = Behaviour::body("application/json; key-of-first", refusal)
        .with_status(400)
        .header("openai-processing-ms", "key-of-first")
        .header("x-ratelimit-limit-tokens", "key-of-first")
        .header("retry-after", "key-of-first");

    // This one is told as an event: a comment has gone out before it.
    let late = Upstream::builder()
        .behaviour(refusal.clone().delay(Duration::from_millis(1_200)))
        .start()
        .await;
    let late = Setup::new()
        .provider("first", &late)
        .settings("stream_keepalive_seconds = 1")
        .start();
    let event = late.chat(&hello_stream()).await;

    assert!(event.text().starts_with(": keep-alive\n\n"), "{event:?}");
    let [whole, streamed] = refused("our key", refusal).await;
    for answer in [whole, streamed, event] {
        assert!(answer.text().contains("bad key ***"), "{answer:?}");
        for value in answer.headers.values() {
            assert!(!value.as_bytes().ends_with(b"key-of-first"), "{answer:?}");
        }
        assert_eq!(answer.header("retry-after"), None);
    }
}

#[tokio::test]
async fn a_refusal_that_quotes_the_client_is_not_taken_for_the_providers_own_words() {
    for said in [
        "your credit balance is too low to access the API",
        "model not found",
        "the model `gpt-4` does not exist",
        "invalid_api_key",
        "insufficient_quota",
    ] {
        let error = json!({"error": {
            "message": format!("Invalid value: '{said}'. Supported values are: 'low', 'high'."),
            "type": "invalid_request_error",
            "param": "messages[0].content",
            "code": "invalid_value",
        }});
        let refusal = Behaviour::json(error.clone()).with_status(400);

        for answer in refused(said, refusal).await {
            assert_eq!(answer.status, 400, "{said}");
            assert_eq!(answer.text(), error.to_string());
        }
    }
}

#[tokio::test]
async fn a_long_refusal_keeps_its_bytes() {
    // Validation errors list what is wrong with every message of a long conversation.
    let wrong = json!({"loc": ["body", "messages", 1, "content"], "msg": "field required"});
    let details = vec![wrong; 1_800];
    for error in [
        json!({"error": {"message": "invalid", "details": details}}),
        json!({"detail": details}),
    ] {
        let error = error.to_string();
        assert!(error.len() > 100_000);
        for behaviour in [
            Behaviour::body("application/json", error.clone()),
            Behaviour::stream([error.clone()], Duration::ZERO)
                .header("content-type", "application/json"),
        ] {
            for answer in refused("a long refusal", behaviour.with_status(422)).await {
                assert_eq!(answer.status, 422);
                assert!(answer.text() == error, "{} bytes", answer.body.len());
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_without_words_for_the_client_is_told_in_our_shape() {
    let empty = || Behaviour::body("application/json", "");
    let untyped = || Behaviour::body("text/plain", "");
    for (status, behaviour) in [
        (400, empty()),
        (400, untyped()),
        (413, empty()),
        (413, Behaviour::html(413)),
        (422, untyped()),
        (422, Behaviour::html(422)),
    ] {
        let name = format!("{behaviour:?}");
        for answer in refused(&name, behaviour.with_status(status)).await {
            let error = answer.error();

            let expected = format!("{status} invalid_request_error/");
            assert!(error.starts_with(&expected), "{name}: {error}");
            assert!(!answer.text().contains("<html>"), "{name}");
        }
    }
}
