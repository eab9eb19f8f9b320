//! Whole answers: completions, tool calls, models, errors.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::json;

use crate::support::{Client, chat, hello, hello_stream};

#[tokio::test]
async fn an_echo_repeats_the_user_and_names_the_provider() {
    let upstream = Upstream::builder().name("good").start().await;

    let answer = chat(&upstream, &hello()).await;

    let body = answer.json();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "gpt-4o");
    assert_eq!(
        body["choices"][0]["message"]["content"],
        "Hello from good! You said: hello"
    );
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["completion_tokens"], 6);
}

#[tokio::test]
async fn an_echo_streams_the_same_text_when_asked_to() {
    let upstream = Upstream::builder().name("good").start().await;

    let answer = chat(&upstream, &hello_stream()).await;

    let (events, done) = answer.events();
    let delta = |n: usize| &events[n]["choices"][0]["delta"];
    let text: String = (0..events.len())
        .filter_map(|n| delta(n)["content"].as_str())
        .collect();
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(done);
    assert_eq!(delta(0)["role"], "assistant");
    assert_eq!(text, "Hello from good! You said: hello");
    assert_eq!(
        events.last().unwrap()["choices"][0]["finish_reason"],
        "stop"
    );
    assert!(
        events
            .iter()
            .all(|event| event["object"] == "chat.completion.chunk")
    );
    assert!(events.iter().all(|event| event.get("usage").is_none()));
}

#[tokio::test]
async fn usage_comes_in_a_last_event_without_choices_when_asked_for() {
    let upstream = Upstream::start().await;
    let mut request = hello_stream();
    request["stream_options"] = json!({"include_usage": true});

    let (events, done) = chat(&upstream, &request).await.events();

    let (last, others) = events.split_last().unwrap();
    assert!(done);
    assert_eq!(last["choices"], json!([]));
    assert!(last["usage"]["total_tokens"].as_u64() > Some(0));
    assert!(
        others
            .iter()
            .all(|event| event["usage"].is_null() && event.get("usage").is_some())
    );
}

#[tokio::test]
async fn an_offered_tool_is_called_and_its_result_repeated() {
    let upstream = Upstream::start().await;
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let mut request = hello();
    request["tools"] =
        json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}]);

    let call = chat(&upstream, &request).await.json();
    let message = &call["choices"][0]["message"];
    request["messages"].as_array_mut().unwrap().extend([
        message.clone(),
        json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "rain"}),
    ]);
    let answer = chat(&upstream, &request).await.json();

    assert_eq!(call["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(message["tool_calls"][0]["function"]["name"], "weather");
    assert_eq!(
        message["tool_calls"][0]["function"]["arguments"],
        r#"{"city":"sample"}"#
    );
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "upstream asked its tool, which said: rain"
    );
}

#[tokio::test]
async fn a_streamed_tool_call_builds_its_arguments_piece_by_piece() {
    let upstream = Upstream::start().await;
    let parameters = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let mut request = hello_stream();
    request["tools"] =
        json!([{"type": "function", "function": {"name": "add", "parameters": parameters}}]);

    let (events, _) = chat(&upstream, &request).await.events();

    let calls: Vec<_> = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"].get(0))
        .collect();
    let arguments: Vec<_> = calls
        .iter()
        .filter_map(|call| call["function"]["arguments"].as_str())
        .collect();
    assert_eq!(calls[0]["function"]["name"], "add");
    assert!(
        calls[1..]
            .iter()
            .all(|call| call.get("id").is_none() && call["index"] == 0)
    );
    assert_eq!(arguments, ["", r#"{"a":"#, "1}"]);
    assert_eq!(
        events.last().unwrap()["choices"][0]["finish_reason"],
        "tool_calls"
    );
}

#[tokio::test]
async fn a_malformed_chat_request_is_refused() {
    let upstream = Upstream::start().await;

    let answer = chat(&upstream, &json!({"model": "gpt-4o"})).await;

    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn models_are_listed_and_found() {
    let upstream = Upstream::builder().models(["a", "org/b"]).start().await;
    let mut client = Client::connect(&upstream).await;

    client.send("GET /v1/models", "", "").await;
    let list = client.answer().await.json();
    client.send("GET /v1/models/org%2Fb", "", "").await;
    let model = client.answer().await.json();
    client.send("GET /v1/models/c", "", "").await;
    let missing = client.answer().await;

    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0]["id"], "a");
    assert_eq!(model["id"], "org/b");
    assert_eq!(missing.status(), 404);
}

#[tokio::test]
async fn a_status_comes_with_its_usual_error_and_the_headers_set() {
    let behaviour = Behaviour::status(429)
        .retry_after(Duration::from_millis(2500))
        .header("x-a", "b");
    let upstream = Upstream::builder().behaviour(behaviour).start().await;

    let answer = chat(&upstream, &hello()).await;

    assert_eq!(answer.status(), 429);
    assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(answer.header("retry-after"), Some("3"));
    assert_eq!(answer.header("x-a"), Some("b"));
}

#[tokio::test]
async fn a_status_can_carry_another_code() {
    let behaviour = Behaviour::status(429).error_code("insufficient_quota");
    let upstream = Upstream::builder().behaviour(behaviour).start().await;

    assert_eq!(
        chat(&upstream, &hello()).await.json()["error"]["code"],
        "insufficient_quota"
    );
}

#[tokio::test]
async fn only_the_bearer_of_the_required_key_is_answered() {
    let behaviour = Behaviour::echo().require_key("sk-right");
    let upstream = Upstream::builder().behaviour(behaviour).start().await;
    let mut client = Client::connect(&upstream).await;

    let mut statuses = Vec::new();
    for headers in [
        "",
        "authorization: Bearer sk-wrong\r\n",
        "authorization: Bearer sk-right\r\n",
    ] {
        client
            .send("POST /v1/chat/completions", headers, &hello().to_string())
            .await;
        statuses.push(client.answer().await.status());
    }

    assert_eq!(statuses, [401, 401, 200]);
}

#[tokio::test]
async fn bytes_json_and_html_are_sent_as_given() {
    let upstream = Upstream::start().await;
    upstream.script([
        Behaviour::body("text/plain", "as is"),
        Behaviour::json(json!({"error": {"message": "inside a 200"}})),
        Behaviour::html(502),
        Behaviour::body("text/plain", "").with_status(413),
    ]);
    let mut client = Client::connect(&upstream).await;

    let mut answers = Vec::new();
    for _ in 0..4 {
        client.chat(&hello()).await;
        answers.push(client.answer().await);
    }

    assert_eq!(answers[0].body, b"as is");
    assert_eq!(answers[1].json()["error"]["message"], "inside a 200");
    assert_eq!(
        (answers[2].status(), answers[2].header("content-type")),
        (502, Some("text/html"))
    );
    assert_eq!((answers[3].status(), &answers[3].body[..]), (413, &b""[..]));
}

#[tokio::test]
async fn a_script_is_followed_by_the_default() {
    let upstream = Upstream::start().await;
    upstream.script([Behaviour::status(500), Behaviour::status(429)]);

    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(chat(&upstream, &hello()).await.status());
    }

    assert_eq!(statuses, [500, 429, 200]);
}

#[tokio::test]
async fn the_default_can_be_replaced_while_running() {
    let upstream = Upstream::start().await;
    upstream.set(Behaviour::status(503));

    assert_eq!(chat(&upstream, &hello()).await.status(), 503);
}

#[tokio::test]
async fn the_same_seed_fails_the_same_requests() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let behaviour = Behaviour::echo().error_rate(0.5, 500);
        let upstream = Upstream::builder()
            .behaviour(behaviour)
            .seed(3)
            .start()
            .await;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(chat(&upstream, &hello()).await.status());
        }
        runs.push(statuses);
    }

    assert!(
        runs[0].contains(&500) && runs[0].contains(&200),
        "{:?}",
        runs[0]
    );
    assert_eq!(runs[0], runs[1]);
}
