//! What answers cost, in one form whoever counted it: for the client, and in the log.

use berry_testkit::{Behaviour, Protocol, Upstream};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Client, Process, Setup, TOKEN, chat, hello, hello_stream, request, scratch};

/// Returns an answer that took 12 tokens, 4 of them from a cache, and gave 7, 2 of them reasoning
/// where the protocol counts that.
fn whole(protocol: Protocol) -> Value {
    match protocol {
        Protocol::OpenAi | Protocol::Azure => json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "a"}}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2}},
        }),
        Protocol::Claude => json!({
            "id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 4,
                "cache_creation_input_tokens": 5, "output_tokens": 7},
        }),
        Protocol::Gemini => json!({
            "candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]},
                "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 12, "cachedContentTokenCount": 4,
                "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 19},
        }),
    }
}

/// Returns the same as a stream.
fn streamed(protocol: Protocol) -> String {
    let whole = whole(protocol);
    let events = match protocol {
        Protocol::OpenAi | Protocol::Azure => vec![
            json!({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}),
            json!({"choices": [], "usage": whole["usage"]}),
        ],
        Protocol::Claude => {
            let mut begun = whole["usage"].clone();
            begun["output_tokens"] = 1.into();
            vec![
                json!({"type": "message_start", "message": {"id": "m", "usage": begun}}),
                json!({"type": "content_block_start", "index": 0,
                    "content_block": {"type": "text", "text": "a"}}),
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                    "usage": {"output_tokens": 7}}),
                json!({"type": "message_stop"}),
            ]
        }
        Protocol::Gemini => {
            let mut first = whole.clone();
            first["candidates"][0]["finishReason"].take();
            first["usageMetadata"]["candidatesTokenCount"] = 1.into();
            let mut last = whole;
            last["candidates"][0]["content"]["parts"] = json!([{"text": ""}]);
            vec![first, last]
        }
    };
    let events = events.iter().map(|event| format!("data: {event}\n\n"));
    events.collect()
}

#[tokio::test]
async fn usage_is_counted_as_openai_does_whoever_counted_it() {
    for (protocol, name, reasoning) in [
        (Protocol::OpenAi, "openai", 2),
        (Protocol::Azure, "azure", 2),
        (Protocol::Claude, "claude", 0),
        (Protocol::Gemini, "gemini", 2),
    ] {
        let upstream = Upstream::builder().protocol(protocol).start().await;
        let setup = Setup::over(&upstream).option(&format!("backend_type = \"{name}\""));
        let folder = scratch(&[("config.toml", &setup.toml())]);
        let mut process = Process::start(folder.path(), &[], &[]).await;
        let mut client = Client::connect(process.address()).await;
        let mut asking = hello_stream();
        asking["stream_options"] = json!({"include_usage": true});

        upstream.set(Behaviour::json(whole(protocol)));
        let answer = client.send(chat(hello().to_string())).await.json();
        let whole_line = process.logged("Backend selected").await;
        upstream.set(Behaviour::body("text/event-stream", streamed(protocol)));
        let answers = client.send(chat(asking.to_string())).await;
        let stream_line = process.logged("Backend selected").await;

        let events = answers.text().split("\n\n");
        let last = events
            .filter_map(|event| event.strip_prefix("data: {"))
            .last()
            .expect("an event");
        let last: Value = serde_json::from_str(&format!("{{{last}")).unwrap();
        for usage in [&answer["usage"], &last["usage"]] {
            let details = &usage["completion_tokens_details"]["reasoning_tokens"];
            let counted = [
                &usage["prompt_tokens"],
                &usage["prompt_tokens_details"]["cached_tokens"],
                &usage["completion_tokens"],
                &usage["total_tokens"],
            ];
            assert_eq!(counted, [12, 4, 7, 19], "{name}: {usage}");
            assert_eq!(details.as_u64().unwrap_or(0), reasoning, "{name}: {usage}");
        }
        for line in [whole_line, stream_line] {
            let fields = &line["fields"];
            assert_eq!(
                (&fields["tokens_in"], &fields["tokens_out"]),
                (&12.into(), &7.into()),
                "{name}: {line}"
            );
        }
    }
}

#[tokio::test]
async fn the_usage_of_answers_and_events_that_are_too_long_to_be_held_is_counted() {
    let picture = "A".repeat(1_500_000);
    let output = json!([{"type": "image_generation_call", "result": picture}]);
    let usage = json!({"input_tokens": 12, "output_tokens": 7, "total_tokens": 19});
    let response = json!({"id": "resp_1", "output": output, "usage": usage});
    let events = [
        json!({"type": "response.created", "response": {"id": "resp_1"}}),
        json!({"type": "response.output_item.done", "item": output[0]}),
        json!({"type": "response.completed", "response": response}),
    ];
    let events = events.map(|event| format!("data: {event}\n\n")).concat();
    let mut said = whole(Protocol::Claude);
    said["content"] = json!([{"type": "text", "text": picture}]);
    for (protocol, name, stream, upstreams) in [
        (Protocol::OpenAi, "openai", false, response.to_string()),
        (Protocol::OpenAi, "openai", true, events),
        (Protocol::Claude, "claude", false, said.to_string()),
    ] {
        let upstream = Upstream::builder().protocol(protocol).start().await;
        let setup = Setup::over(&upstream).option(&format!("backend_type = \"{name}\""));
        let folder = scratch(&[("config.toml", &setup.toml())]);
        let mut process = Process::start(folder.path(), &[], &[]).await;
        let mut client = Client::connect(process.address()).await;
        let kind = if stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        upstream.set(Behaviour::body(kind, upstreams.clone()));

        let answer = if protocol == Protocol::OpenAi {
            let body = json!({"model": "test-model", "input": "x", "stream": stream});
            let bearer = format!("Bearer {TOKEN}");
            let headers = [("authorization", bearer.as_str())];
            let asked = request(Method::POST, "/v1/responses", &headers, body.to_string());
            client.send(asked).await
        } else {
            client.send(chat(hello().to_string())).await
        };
        let line = process.logged("Backend selected").await;

        assert!(protocol != Protocol::OpenAi || answer.text() == upstreams);
        let fields = &line["fields"];
        assert_eq!(
            (
                &fields["status"],
                &fields["tokens_in"],
                &fields["tokens_out"]
            ),
            (&200.into(), &12.into(), &7.into()),
            "{name}: {line}"
        );
    }
}
