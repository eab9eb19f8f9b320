//! Providers that do not speak OpenAI, and Azure, which nearly does.

use berry_testkit::{Behaviour, Protocol, Upstream};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Gateway, Setup, hello, hello_stream, request};

const PROTOCOLS: [(Protocol, &str); 4] = [
    (Protocol::OpenAi, "openai"),
    (Protocol::Azure, "azure"),
    (Protocol::Claude, "claude"),
    (Protocol::Gemini, "gemini"),
];

async fn upstream(protocol: Protocol, key: &str) -> Upstream {
    Upstream::builder()
        .name("sim")
        .protocol(protocol)
        .behaviour(Behaviour::echo().require_key(key))
        .start()
        .await
}

async fn over(protocol: Protocol, name: &str) -> (Upstream, Gateway) {
    let upstream = upstream(protocol, "key-of-only").await;
    let gateway = Setup::over(&upstream)
        .option(&format!("backend_type = \"{name}\""))
        .start();
    (upstream, gateway)
}

/// Returns the deltas of a stream, its finish reason, and whether it ended as streams do.
fn read_stream(text: &str) -> (String, Option<String>, bool) {
    let (mut said, mut reason) = (String::new(), None);
    for event in text
        .split("\n\n")
        .filter(|event| event.starts_with("data: {"))
    {
        let chunk: Value = serde_json::from_str(&event["data: ".len()..]).unwrap();
        assert_eq!(chunk["object"], "chat.completion.chunk", "{chunk}");
        // What every program written for OpenAI does.
        let choice = &chunk["choices"][0];
        assert!(choice["delta"].is_object(), "{chunk}");
        said += choice["delta"]["content"].as_str().unwrap_or_default();
        reason = reason.or(choice["finish_reason"].as_str().map(str::to_owned));
    }
    (said, reason, text.ends_with("data: [DONE]\n\n"))
}

#[tokio::test]
async fn a_chat_reads_the_same_whoever_answers() {
    for (protocol, name) in PROTOCOLS {
        let (_upstream, gateway) = over(protocol, name).await;

        let answer = gateway.chat(&hello()).await;

        assert_eq!(answer.said(), "Hello from sim! You said: hello", "{name}");
        let answer = answer.json();
        assert_eq!(answer["object"], "chat.completion");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        assert!(
            answer["usage"]["total_tokens"].as_u64() > Some(0),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_stream_reads_the_same_whoever_answers() {
    for (protocol, name) in PROTOCOLS {
        let (_upstream, gateway) = over(protocol, name).await;

        let answer = gateway.chat(&hello_stream()).await;

        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let expected = (
            "Hello from sim! You said: hello".to_owned(),
            Some("stop".to_owned()),
            true,
        );
        assert_eq!(read_stream(answer.text()), expected, "{name}");
    }
}

#[tokio::test]
async fn azure_is_found_at_its_host_and_at_its_dated_surface() {
    let upstream = upstream(Protocol::Azure, "key-of-only").await;
    let gateway = Setup::over(&upstream)
        .option("backend_type = \"azure\"\nheaders = { api-version = \"2024-10-21\" }")
        .start();

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.status, 200);
    assert_eq!(
        upstream.requests()[0].path_and_query,
        "/openai/deployments/upstream-model/chat/completions?api-version=2024-10-21"
    );
}

#[tokio::test]
async fn a_refusal_is_put_as_openai_would() {
    for (protocol, name) in PROTOCOLS {
        let (upstream, gateway) = over(protocol, name).await;
        upstream.set(Behaviour::status(400));

        let answer = gateway.chat(&hello()).await;

        assert_eq!(answer.status, 400, "{name}");
        assert_eq!(
            answer.json()["error"]["type"],
            "invalid_request_error",
            "{name}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_failure_moves_on_between_protocols() {
    for (protocol, name) in PROTOCOLS {
        let bad = upstream(protocol, "key-of-bad").await;
        let good = Upstream::builder().name("good").start().await;
        for failure in [
            Behaviour::status(529),
            Behaviour::json(json!({"unexpected": 1})),
            Behaviour::body(
                "text/event-stream",
                "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n",
            ),
        ] {
            bad.set(failure);
            let gateway = Setup::new()
                .provider("bad", &bad)
                .option(&format!("backend_type = \"{name}\""))
                .provider("good", &good)
                .start();

            let answer = gateway.chat(&hello_stream()).await;

            let (said, ..) = read_stream(answer.text());
            assert_eq!(said, "Hello from good! You said: hello", "{name}");
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_of_the_protocol_is_a_bad_gateway() {
    for (protocol, name) in PROTOCOLS {
        let upstream = upstream(protocol, "key-of-only").await;
        let gateway = Setup::over(&upstream)
            .option(&format!("backend_type = \"{name}\""))
            .settings("max_retries = 0")
            .start();
        for (number, answer) in [
            Behaviour::html(200),
            Behaviour::html(400),
            Behaviour::html(502),
            Behaviour::garbage(),
            Behaviour::body("application/json", "{\"id\":"),
        ]
        .into_iter()
        .enumerate()
        {
            upstream.set(answer);
            let body = if number % 2 == 0 {
                hello()
            } else {
                hello_stream()
            };

            let answer = gateway.chat(&body).await;

            assert_eq!(
                answer.error(),
                "502 server_error/upstream_error",
                "{name} {number}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_thought_goes_back_as_it_came() {
    for (protocol, name, sent_back) in [
        (
            Protocol::Claude,
            "claude",
            json!({"type": "thinking", "thinking": "The user wants something. I know what.",
                "signature": "EqQBCgIYAhIM/sim+ulated=="}),
        ),
        (
            Protocol::Gemini,
            "gemini",
            json!({"functionCall": {"name": "weather", "args": {"city": "sample"}},
                "thoughtSignature": "c2lnbmF0dXJl"}),
        ),
    ] {
        let (upstream, gateway) = over(protocol, name).await;
        let mut body = hello();
        body["reasoning_effort"] = "high".into();
        body["tools"] = json!([{"type": "function", "function": {"name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]);

        let answer = gateway.chat(&body).await.json();
        let message = &answer["choices"][0]["message"];
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(message.clone());
        messages.push(
            json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"],
            "content": "21 degrees"}),
        );
        let answered = gateway.chat(&body).await;

        assert!(answered.said().contains("21 degrees"), "{name}");
        let sent: Value = serde_json::from_slice(&upstream.requests()[1].body).unwrap();
        let turns = sent.get("messages").unwrap_or(&sent["contents"]);
        let parts = turns[1].get("content").unwrap_or(&turns[1]["parts"]);
        assert_eq!(parts[0], sent_back, "{name}: {sent}");
    }
}

#[tokio::test]
async fn a_translated_stream_that_breaks_ends_with_an_error_event() {
    let claude = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"x\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n\
         event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
         event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n";
    let gemini = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}]}\r\n\r\n";
    for (protocol, name, begun, ending) in [
        (Protocol::Claude, "claude", claude, ""),
        (
            Protocol::Claude,
            "claude",
            claude,
            "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
        ),
        (Protocol::Claude, "claude", claude, "data: garbage\n\n"),
        (Protocol::Gemini, "gemini", gemini, ""),
        (
            Protocol::Gemini,
            "gemini",
            gemini,
            "data: {\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}\n\n",
        ),
        (
            Protocol::Gemini,
            "gemini",
            gemini,
            "<html>\n\ndata: <html>\n\n",
        ),
    ] {
        let (upstream, gateway) = over(protocol, name).await;
        upstream.set(Behaviour::body(
            "text/event-stream",
            [begun, ending].concat(),
        ));

        let answer = gateway.chat(&hello_stream()).await;

        let text = answer.text();
        assert!(text.contains("\"content\":\"Hi\""), "{text}");
        assert!(
            text.trim_end()
                .rsplit("\n\n")
                .next()
                .unwrap()
                .starts_with("data: {\"error\":"),
            "{text}"
        );
        assert!(!text.contains("[DONE]"));
    }
}

#[tokio::test]
async fn what_a_protocol_cannot_say_goes_to_a_backend_that_can() {
    let claude = upstream(Protocol::Claude, "key-of-claude").await;
    let openai = Upstream::builder().name("openai").start().await;
    let mut body = hello();
    body["n"] = 2.into();
    let mixed = Setup::new()
        .provider("claude", &claude)
        .option("backend_type = \"claude\"")
        .provider("openai", &openai)
        .start();
    let alone = Setup::new()
        .provider("claude", &claude)
        .option("backend_type = \"claude\"")
        .start();

    let half = r#"{"model":"test-model","messages":[{"role":"user","content":"\ud800"}]}"#;

    let moved = mixed.chat(&body).await;
    let refused = alone.chat(&body).await;
    let unreadable = alone.send(crate::support::chat(half)).await;

    assert_eq!(moved.said(), "Hello from openai! You said: hello");
    let error = &unreadable.json()["error"];
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("unsupported_value"), &json!(null))
    );
    assert_eq!(
        refused.error(),
        "400 invalid_request_error/unsupported_value n"
    );
    assert_eq!(claude.request_count(), 0);
    assert_eq!(alone.backends().await, (1, 1));
}

#[tokio::test]
async fn embeddings_are_translated_for_gemini() {
    let (upstream, gateway) = over(Protocol::Gemini, "gemini").await;
    let body = json!({"model": "test-model", "input": ["ab", "abc"]});
    let mut request = crate::support::chat(body.to_string());
    *request.uri_mut() = "/v1/embeddings".parse().unwrap();

    let answer = gateway.send(request).await;

    let answer = answer.json();
    assert_eq!(answer["data"][1]["embedding"], json!([3, 0.5, -0.25]));
    assert_eq!(answer["object"], "list");
    let asked = &upstream.requests()[0].path_and_query;
    assert_eq!(asked, "/v1beta/models/upstream-model:batchEmbedContents");
}

#[tokio::test]
async fn probes_speak_the_providers_protocol() {
    let mut running = Vec::new();
    for (protocol, name) in PROTOCOLS {
        let upstream = upstream(protocol, "key-of-only").await;
        let gateway = Setup::over(&upstream)
            .option(&format!("backend_type = \"{name}\""))
            .settings("health_check_interval_seconds = 30")
            .start();
        running.push((name, upstream, gateway));
    }
    for (name, upstream, gateway) in running {
        upstream.wait_for_requests(2).await;

        let requests = upstream.requests().into_iter();
        let paths: Vec<_> = requests.map(|request| request.path_and_query).collect();
        let lists = paths
            .iter()
            .filter(|path| path.contains("/models?") || path.ends_with("/models"));
        assert_eq!(lists.count(), 1, "{name}: {paths:?}");
        assert_eq!(gateway.backends().await, (1, 1), "{name}");
    }
}

#[tokio::test]
async fn a_model_that_was_never_asked_and_does_not_chat_may_embed() {
    let upstream = Upstream::builder().only("/embeddings").start().await;
    let gateway = Setup::over(&upstream)
        .settings("health_check_interval_seconds = 30")
        .start();

    upstream.wait_for_requests(3).await;

    assert_eq!(asked(&upstream, "/v1/embeddings"), 1);
    assert_eq!(gateway.backends().await, (1, 1));
}

#[tokio::test]
async fn a_model_is_probed_for_what_it_was_asked_for() {
    let upstream = Upstream::builder().only("/rerank").start().await;
    let gateway = Setup::over(&upstream)
        .settings(
            "health_check_interval_seconds = 30\nrecovery_check_interval_seconds = 1\n\
             smart_ai.lightweight_check_interval_seconds = 1",
        )
        .start();
    let mut request = crate::support::chat(r#"{"model":"test-model"}"#);
    *request.uri_mut() = "/v1/rerank".parse().unwrap();

    assert_eq!(gateway.send(request).await.status, 200);

    let mut seen = upstream.request_count();
    while asked(&upstream, "/v1/rerank") < 2 {
        seen += 1;
        upstream.wait_for_requests(seen).await;
    }
}

/// Returns how often an upstream was asked at this path.
fn asked(upstream: &Upstream, path: &str) -> usize {
    let requests = upstream.requests().into_iter();
    requests
        .filter(|request| request.path_and_query == path)
        .count()
}

#[tokio::test]
async fn the_version_that_a_client_asks_for_reaches_claude_unless_one_is_configured() {
    let bearer = format!("Bearer {}", crate::support::TOKEN);
    for (option, sent, expected) in [
        ("", None, "2023-06-01"),
        ("", Some("2099-01-01"), "2099-01-01"),
        (
            "headers = { anthropic-version = \"2024-01-01\" }",
            Some("2099-01-01"),
            "2024-01-01",
        ),
    ] {
        let upstream = upstream(Protocol::Claude, "key").await;
        let gateway = Setup::new()
            .provider("claude", &upstream)
            .option("backend_type = \"claude\"")
            .option(option)
            .start();
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(sent.map(|version| ("anthropic-version", version)));
        let body = hello().to_string();
        let request = request(Method::POST, "/v1/chat/completions", &headers, body);

        gateway.send(request).await;

        let received = upstream.requests().remove(0);
        assert_eq!(received.headers["anthropic-version"], expected);
    }
}
