//! What a model thought comes back to it as it was: from an answer or a stream, through a client that
//! sends the message back, into the next request.

use serde_json::{Value, json};

use super::super::CLAUDE;
use super::{heading, input, reading};

/// Sends a message back, with results of its tools, and returns the blocks it became.
fn sent_back(message: &Value) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "hello"}), message.clone()];
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "1"}));
    }
    let body = json!({"messages": messages, "reasoning_effort": "high"});
    let translated = CLAUDE.request(body.to_string().as_bytes(), "claude-sonnet-4-5");
    let body = translated.unwrap().body;
    assert_eq!(body["thinking"]["type"], "enabled");
    body["messages"][1]["content"].clone()
}

#[test]
fn thinking_of_an_answer_comes_back_as_it_was() {
    let body = input("answer", "thinking_is_shown_and_kept.json");
    let answer = CLAUDE
        .answer(body.as_bytes(), &heading(), reading(""))
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();

    let blocks = sent_back(&answer["choices"][0]["message"]);

    let mut original: Value = serde_json::from_str(&body).unwrap();
    // The last one has no signature: it cannot be sent back.
    original["content"].as_array_mut().unwrap().pop();
    assert_eq!(blocks, original["content"]);
}

#[test]
fn thinking_of_a_stream_comes_back_as_it_was() {
    let stream = input("stream", "interleaved_thinking_keeps_its_places.sse");
    let mut decoder = CLAUDE.decoder(heading(), reading(""));
    let mut out = Vec::new();
    for data in stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
    {
        decoder.event(data.as_bytes(), &mut out).unwrap();
    }

    let blocks = sent_back(&collect(std::str::from_utf8(&out).unwrap()));

    let expected = json!([
        {"type": "thinking", "thinking": "First", "signature": "s1"},
        {"type": "text", "text": "I look."},
        {"type": "thinking", "thinking": "Then", "signature": "s2"},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
    ]);
    assert_eq!(blocks, expected);
}

/// Puts the message of a stream together as simple clients do: texts and arguments are appended,
/// lists are extended.
fn collect(stream: &str) -> Value {
    let mut content = String::new();
    let mut thinking = Vec::new();
    let mut calls: Vec<Value> = Vec::new();
    let data = stream
        .split_terminator("\n\n")
        .map(|event| &event["data: ".len()..]);
    for data in data.filter(|data| *data != "[DONE]") {
        let chunk: Value = serde_json::from_str(data).unwrap();
        let delta = &chunk["choices"][0]["delta"];
        content += delta["content"].as_str().unwrap_or_default();
        thinking.extend(
            delta["thinking_blocks"]
                .as_array()
                .into_iter()
                .flatten()
                .cloned(),
        );
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            if call.get("id").is_some() {
                calls.push(call.clone());
                continue;
            }
            let place = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            let arguments = &mut calls[place]["function"]["arguments"];
            let piece = call["function"]["arguments"].as_str().unwrap();
            *arguments = format!("{}{piece}", arguments.as_str().unwrap()).into();
        }
    }
    json!({
        "role": "assistant",
        "content": content,
        "thinking_blocks": thinking,
        "tool_calls": calls,
    })
}
