//! Requests.

use serde_json::{Value, json};

use super::super::CLAUDE;
use super::{assert_golden, cases, input};

cases! { check:
    a_budget_needs_thinking_to_go_on
    a_client_may_ask_for_thinking_in_anthropics_words
    a_json_schema_becomes_a_forced_tool_on_older_models
    a_json_schema_becomes_an_output_format
    a_recursive_json_schema_becomes_a_forced_tool
    allowed_tools_are_the_only_ones
    broken_arguments_are_wrapped
    current_models_get_no_sampling
    effort_becomes_a_budget
    effort_becomes_adaptive_thinking
    effort_yields_to_a_forced_tool
    json_beside_tools_lets_the_model_choose
    json_becomes_a_sentence_where_nothing_can_be_forced
    json_mode_becomes_a_forced_tool
    messages_of_one_side_become_one_turn
    no_effort_disables_adaptive_thinking
    one_of_temperature_and_top_p_is_sent
    results_of_tools_begin_the_users_turn
    system_and_developer_messages_become_system
    text_images_and_a_pdf_become_blocks
    the_other_members_are_copied_or_dropped
    thinking_blocks_return_to_their_places
    tools_and_a_named_choice_become_anthropics
}

fn check(name: &str) {
    let body = input("request", &format!("{name}.json"));
    let model = serde_json::from_str::<Value>(&body).unwrap()["model"].clone();

    let translated = CLAUDE
        .request(body.as_bytes(), model.as_str().unwrap())
        .unwrap();

    let mut output = serde_json::to_string_pretty(&translated.body).unwrap();
    if translated.reading.text_from_tool {
        output.push_str("\n\nThe answer's text is the tool's input.");
    }
    assert_golden("request", name, &output);
}

#[test]
fn what_asks_for_nothing_is_not_refused() {
    let body = json!({
        "messages": [{"role": "user", "content": "hello"}],
        "n": 1,
        "logprobs": false,
        "top_logprobs": 0,
        "logit_bias": {},
        "modalities": ["text"],
        "functions": [],
        "function_call": null,
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "stop": [],
    });

    let translated = CLAUDE.request(body.to_string().as_bytes(), "claude-sonnet-4-5");

    let expected = json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    });
    assert_eq!(translated.unwrap().body, expected);
}

#[test]
fn what_no_program_can_hold_is_refused_for_what_it_is() {
    let deep = format!(r#"{{"messages":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let half = r#"{"messages":[{"role":"user","content":"\ud800"}]}"#;
    for (body, reason, param) in [
        (deep.as_str(), "nested too deep", ""),
        (half, "hex escape", ""),
        (
            r#"{"messages":[{"role":"user","content":"a"}],"temperature":1e999}"#,
            "from 0 to 2",
            "temperature",
        ),
    ] {
        let refused = CLAUDE.request(body.as_bytes(), "claude-sonnet-4-5");

        let refused = refused.unwrap_err();
        assert!(refused.message.contains(reason), "{}", refused.message);
        assert_eq!(refused.param, param);
    }
}

#[test]
fn a_budget_is_less_than_the_limit_and_at_least_the_least() {
    for (limit, effort, expected) in [
        (1000, "high", None),
        (1024, "low", None),
        (1025, "low", Some(1024)),
        (4000, "low", Some(1024)),
        (20_000, "medium", Some(10_000)),
        (20_000, "max", Some(18_000)),
        (20_000, "none", None),
    ] {
        let body = json!({
            "messages": [{"role": "user", "content": "hello"}],
            "max_completion_tokens": limit,
            "reasoning_effort": effort,
        });

        let translated = CLAUDE.request(body.to_string().as_bytes(), "claude-sonnet-4-5");

        let budget = translated.unwrap().body["thinking"]["budget_tokens"].as_u64();
        assert_eq!(budget, expected, "{effort} of {limit}");
    }
}

/// So many of each that work for every pair of them takes longer than a test may.
#[test]
fn the_work_grows_with_the_request_and_not_with_its_square() {
    const MANY: usize = 10_000;
    let result = json!({"role": "tool", "tool_call_id": "a", "content": "b"});
    let text = json!({"role": "user", "content": "c"});
    let thought = json!({"index": 0, "type": "thinking", "thinking": "", "signature": "s"});
    let call = json!({"id": "a", "type": "function", "function": {"name": "f0", "arguments": ""}});
    let tool = |name: String| json!({"type": "function", "function": {"name": name}});
    let mut allowed: Vec<_> = (0..MANY).map(|n| tool(format!("g{n}"))).collect();
    allowed.push(tool("f7".to_owned()));
    let mut messages = vec![json!({
        "role": "assistant", "content": "", "thinking_blocks": vec![thought; MANY],
        "tool_calls": [call],
    })];
    messages.extend(vec![text; MANY]);
    messages.extend(vec![result; MANY]);
    let body = json!({
        "messages": messages,
        "tools": (0..MANY).map(|n| tool(format!("f{n}"))).collect::<Vec<_>>(),
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {
            "mode": "auto", "tools": allowed,
        }},
    });

    let body = CLAUDE.request(body.to_string().as_bytes(), "claude-sonnet-4-5");

    let body = body.unwrap().body;
    let [assistant, user] = body["messages"].as_array().unwrap().as_slice() else {
        panic!("one turn of each side is expected")
    };
    let kinds = |turn: &Value| {
        let mut kinds: Vec<_> = turn["content"].as_array().unwrap().iter().collect();
        kinds.dedup_by(|a, b| a["type"] == b["type"]);
        kinds
            .iter()
            .map(|block| block["type"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(assistant), ["\"thinking\"", "\"tool_use\""]);
    assert_eq!(kinds(user), ["\"tool_result\"", "\"text\""]);
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
}

#[test]
fn numbers_of_arguments_and_schemas_keep_all_their_digits() {
    let body = r#"{
        "messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function":
            {"name": "f", "arguments": "{\"a\":[12345678901234567890123,18446744073709551616,1E2,1.10,-0]}"}}]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters":
            {"type": "object", "properties": {"a": {"maximum": 1e400, "const": 0.10}}}}}]
    }"#;

    let body = CLAUDE.request(body.as_bytes(), "claude-sonnet-4-5");

    let body = body.unwrap().body.to_string();
    for expected in [
        r#""input":{"a":[12345678901234567890123,18446744073709551616,1e+2,1.10,-0]}"#,
        r#"{"maximum":1e+400,"const":0.10}"#,
    ] {
        assert!(body.contains(expected), "{body}");
    }
}
