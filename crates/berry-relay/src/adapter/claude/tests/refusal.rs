//! What is refused, and by which name.

use serde_json::{Value, json};

use super::super::CLAUDE;

/// Translates a request of a user who says hello, with other members beside, and compares what it
/// is refused for.
fn assert_refused(cases: &[(Value, &str)]) {
    for (members, param) in cases {
        let mut body = json!({"messages": [{"role": "user", "content": "hello"}]});
        for (name, value) in members.as_object().unwrap() {
            body[name] = value.clone();
        }

        let refused = CLAUDE.request(body.to_string().as_bytes(), "claude-sonnet-4-5");

        let refused = refused.expect_err(&members.to_string());
        assert_eq!(refused.param, *param, "{members}");
        let message = refused.message;
        assert!(message.starts_with(&format!("`{param}` ")), "{message}");
    }
}

fn messages(message: &Value) -> Value {
    json!({"messages": [{"role": "user", "content": "hello"}, message]})
}

fn user(part: &Value) -> Value {
    messages(&json!({"role": "user", "content": [{"type": "text", "text": "see"}, part]}))
}

#[test]
fn a_member_that_cannot_be_said_is_refused_by_name() {
    assert_refused(&[
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"top_logprobs": 3}), "top_logprobs"),
        (json!({"logit_bias": {"50256": -100}}), "logit_bias"),
        (json!({"modalities": ["text", "audio"]}), "modalities"),
        (json!({"functions": [{"name": "f"}]}), "functions"),
        (json!({"function_call": "auto"}), "function_call"),
        (json!({"web_search_options": {}}), "web_search_options"),
        (json!({"moderation": {"model": "omni"}}), "moderation"),
        (json!({"stop": "\n"}), "stop"),
        (json!({"stop": ["end", " "]}), "stop[1]"),
        (json!({"stop": 3}), "stop"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (
            json!({"max_completion_tokens": 1.5}),
            "max_completion_tokens",
        ),
        (json!({"temperature": 2.1}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": -1}), "top_p"),
        (json!({"user": 3}), "user"),
        (json!({"reasoning_effort": "huge"}), "reasoning_effort"),
    ]);
}

#[test]
fn a_format_or_a_tool_that_cannot_be_said_is_refused_by_name() {
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    assert_refused(&[
        (json!({"response_format": "json"}), "response_format"),
        (
            json!({"response_format": {"type": "xml"}}),
            "response_format.type",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}}),
            "response_format.json_schema.schema",
        ),
        (json!({"tools": {}}), "tools"),
        (
            json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]}),
            "tools[0].type",
        ),
        (
            json!({"tools": [{"type": "function", "function": {}}]}),
            "tools[0].function.name",
        ),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tools": tool, "tool_choice": "any"}), "tool_choice"),
        (
            json!({"tools": tool, "tool_choice": {"type": "custom"}}),
            "tool_choice.type",
        ),
        (
            json!({"tools": tool, "parallel_tool_calls": "no"}),
            "parallel_tool_calls",
        ),
        (
            json!({
                "response_format": {"type": "json_object"},
                "tools": [{"type": "function", "function": {"name": "answer_in_json"}}],
            }),
            "tools[0].function.name",
        ),
    ]);
}

#[test]
fn a_message_that_cannot_be_said_is_refused_by_name() {
    assert_refused(&[
        (json!({"messages": []}), "messages"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": ["hello"]}), "messages[0]"),
        (
            json!({"messages": [{"role": "system", "content": "be brief"}]}),
            "messages",
        ),
        (messages(&json!({"content": "?"})), "messages[1].role"),
        (
            messages(&json!({"role": "wizard", "content": "?"})),
            "messages[1].role",
        ),
        (
            messages(&json!({"role": "function", "name": "f", "content": "1"})),
            "messages[1].role",
        ),
        (
            messages(&json!({"role": "user", "content": " \n"})),
            "messages[1].content",
        ),
        (
            messages(&json!({"role": "user", "content": 3})),
            "messages[1].content",
        ),
        (
            messages(&json!({"role": "tool", "content": "1"})),
            "messages[1].tool_call_id",
        ),
        (
            messages(&json!({"role": "assistant", "function_call": {"name": "f"}})),
            "messages[1].function_call",
        ),
        (
            messages(&json!({"role": "assistant", "audio": {"id": "a"}})),
            "messages[1].audio",
        ),
        (
            messages(&json!({"role": "assistant", "tool_calls": [{"id": "", "function": {}}]})),
            "messages[1].tool_calls[0].id",
        ),
        (
            messages(&json!({"role": "assistant", "tool_calls": [{"id": "1", "type": "custom"}]})),
            "messages[1].tool_calls[0].type",
        ),
        (
            messages(&json!({"role": "assistant", "content": "x", "thinking_blocks": [{}]})),
            "messages[1].thinking_blocks[0].type",
        ),
    ]);
}

#[test]
fn a_part_that_cannot_be_said_is_refused_by_name() {
    assert_refused(&[
        (user(&json!("text")), "messages[1].content[1]"),
        (
            user(&json!({"type": "input_audio"})),
            "messages[1].content[1].type",
        ),
        (
            user(&json!({"type": "text"})),
            "messages[1].content[1].text",
        ),
        (
            user(&json!({"type": "image_url", "image_url": {"url": "http://host/a.png"}})),
            "messages[1].content[1].image_url.url",
        ),
        (
            user(
                &json!({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}),
            ),
            "messages[1].content[1].image_url.url",
        ),
        (
            user(&json!({"type": "image_url", "image_url": {"url": "data:image/png,%89PNG"}})),
            "messages[1].content[1].image_url.url",
        ),
        (
            user(&json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}})),
            "messages[1].content[1].image_url.url",
        ),
        (
            user(&json!({"type": "file", "file": {"file_id": "file-1"}})),
            "messages[1].content[1].file.file_id",
        ),
        (
            user(&json!({"type": "file", "file": {"file_data": "data:text/csv;base64,AA=="}})),
            "messages[1].content[1].file.file_data",
        ),
    ]);
}

#[test]
fn a_tool_cannot_be_demanded_of_a_model_that_always_thinks() {
    let body = json!({
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "required",
    });
    let body = body.to_string();

    let refused = CLAUDE.request(body.as_bytes(), "claude-opus-5-5");

    assert_eq!(refused.unwrap_err().param, "tool_choice");
    assert!(CLAUDE.request(body.as_bytes(), "claude-opus-4-6").is_ok());
}

#[test]
fn schemes_are_read_in_either_case_and_a_null_file_id_is_none() {
    for part in [
        json!({"type": "image_url", "image_url": {"url": "HTTPS://host/a.png"}}),
        json!({"type": "image_url", "image_url": {"url": "DATA:image/PNG;BASE64,AA=="}}),
        json!({"type": "file", "file": {"file_id": null, "file_data": "data:application/pdf;base64,AA=="}}),
    ] {
        let mut body = user(&part);
        body["messages"].as_array_mut().unwrap().remove(0);

        let translated = CLAUDE.request(body.to_string().as_bytes(), "claude-sonnet-4-5");

        assert!(translated.is_ok(), "{part}: {translated:?}");
    }
}
