//! Whatever a client sends: a request that Anthropic can read, or a refusal that names a member.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::CLAUDE;

const MODELS: &[&str] = &[
    "claude-3-opus-20240229",
    "claude-3-7-sonnet-latest",
    "claude-opus-4-1",
    "claude-sonnet-4-5",
    "claude-opus-4-6",
    "claude-opus-5",
    "claude-fable-5",
    "kimi-k2",
];

fn one_of(values: &[Value]) -> impl Strategy<Value = Value> + use<> {
    proptest::sample::select(values.to_vec())
}

fn message() -> impl Strategy<Value = Value> {
    let role = one_of(&[
        json!("system"),
        json!("user"),
        json!("assistant"),
        json!("tool"),
        json!("developer"),
    ]);
    let content = one_of(&[
        json!(null),
        json!(""),
        json!("hello "),
        json!([{"type": "text", "text": " "}, {"type": "text", "text": "hello"}]),
        json!([{"type": "image_url", "image_url": {"url": "https://host/a.png"}}]),
        json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]),
        json!([{"type": "refusal", "refusal": "no"}]),
        json!([7]),
    ]);
    let calls = one_of(&[
        json!(null),
        json!([]),
        json!([{"id": "a:1", "function": {"name": "f", "arguments": "{\"x\":"}}]),
        json!([{"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}}]),
    ]);
    let thoughts = one_of(&[
        json!(null),
        json!([{"index": 9, "type": "thinking", "thinking": "hm", "signature": "s"}]),
        json!([{"type": "redacted_thinking", "data": "d"}]),
        json!([{"type": "thinking", "thinking": "hm"}]),
    ]);
    (role, content, calls, thoughts).prop_map(|(role, content, calls, thoughts)| {
        json!({
            "role": role,
            "content": content,
            "tool_calls": calls,
            "tool_call_id": "a:1",
            "thinking_blocks": thoughts,
        })
    })
}

fn request() -> impl Strategy<Value = Value> {
    let options = (
        one_of(&[
            json!(null),
            json!(1),
            json!(1500),
            json!(64_000),
            json!(u64::MAX),
        ]),
        one_of(&[
            json!(null),
            json!("none"),
            json!("low"),
            json!("high"),
            json!("max"),
        ]),
        one_of(&[json!(null), json!(0), json!(0.7), json!(1), json!(1.9)]),
        one_of(&[json!(null), json!(0.5), json!(0.99), json!(1)]),
        one_of(&[json!(null), json!("auto"), json!("none"), json!("required")]),
        one_of(&[
            json!(null),
            json!({"type": "json_object"}),
            json!({"type": "json_schema", "json_schema": {"schema": {
                "type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}}}),
            json!({"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}),
        ]),
    );
    let tools = one_of(&[
        json!(null),
        json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]),
    ]);
    let messages = proptest::collection::vec(message(), 1..7);
    (messages, tools, options).prop_map(|(messages, tools, options)| {
        let (most, effort, temperature, top_p, choice, format) = options;
        json!({
            "messages": messages,
            "tools": tools,
            "max_completion_tokens": most,
            "reasoning_effort": effort,
            "temperature": temperature,
            "top_p": top_p,
            "tool_choice": choice,
            "response_format": format,
        })
    })
}

fn blocks(message: &Value) -> &Vec<Value> {
    message["content"].as_array().unwrap()
}

fn assert_readable(body: &Value) {
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<&Value> = messages.iter().map(|message| &message["role"]).collect();
    assert!(roles.windows(2).all(|pair| pair[0] != pair[1]), "{roles:?}");
    for message in messages {
        assert!(!blocks(message).is_empty());
        let kinds: Vec<&str> = blocks(message)
            .iter()
            .map(|block| block["type"].as_str().unwrap())
            .collect();
        assert!(!kinds.last().unwrap().ends_with("thinking"), "{kinds:?}");
        let results = kinds
            .iter()
            .take_while(|kind| **kind == "tool_result")
            .count();
        assert!(!kinds[results..].contains(&"tool_result"), "{kinds:?}");
        for block in blocks(message) {
            let text = block["text"].as_str();
            assert!(text.is_none_or(|text| !text.trim().is_empty()));
            assert!(block["type"] != "tool_use" || block["input"].is_object());
        }
    }
    let most = body["max_tokens"].as_u64().unwrap();
    let budget = body["thinking"]["budget_tokens"].as_u64();
    assert!(budget.is_none_or(|budget| (1024..most).contains(&budget)));
    let forced = ["any", "tool"]
        .into_iter()
        .any(|kind| body["tool_choice"]["type"] == kind);
    let thinks = budget.is_some() || body["thinking"]["type"] == "adaptive";
    assert!(!(forced && thinks));
    assert!(!(thinks && body.get("temperature").is_some()));
    assert!(body.get("tool_choice").is_none() || body.get("tools").is_some());
}

proptest! {
    #[test]
    fn a_request_is_readable_or_refused_by_name(
        request in request(),
        model in proptest::sample::select(MODELS.to_vec()),
    ) {
        match CLAUDE.request(request.to_string().as_bytes(), model) {
            Ok(translated) => assert_readable(&translated.body),
            Err(refused) => {
                let named = format!("`{}` ", refused.param);
                prop_assert!(refused.message.starts_with(&named), "{}", refused.message);
            }
        }
    }
}
