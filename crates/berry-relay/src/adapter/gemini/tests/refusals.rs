use super::golden;
use crate::adapter::gemini::Gemini;
use crate::adapter::translate::Chat as _;

/// The member of each body that is refused.
const REFUSED: &[(&str, &str)] = &[
    ("messages", r"{}"),
    ("messages", r#"{"messages":null}"#),
    ("messages", r#"{"messages":"Hi"}"#),
    ("messages", r#"{"messages":[]}"#),
    ("messages", r#"{"messages":[{"role":"user","content":""}]}"#),
    ("messages[0]", r#"{"messages":["Hi"]}"#),
    ("messages[0].role", r#"{"messages":[{"content":"Hi"}]}"#),
    (
        "messages[0].role",
        r#"{"messages":[{"role":"bot","content":"Hi"}]}"#,
    ),
    (
        "messages[0].role",
        r#"{"messages":[{"role":"function","name":"f","content":"Hi"}]}"#,
    ),
    ("messages[0].content", r#"{"messages":[{"role":"user"}]}"#),
    (
        "messages[0].content",
        r#"{"messages":[{"role":"user","content":7}]}"#,
    ),
    (
        "messages[0].content[0]",
        r#"{"messages":[{"role":"user","content":["Hi"]}]}"#,
    ),
    (
        "messages[0].content[0].type",
        r#"{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}"#,
    ),
    (
        "messages[0].content[1].type",
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"video"}]}]}"#,
    ),
    (
        "messages[0].content[0].text",
        r#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
    ),
    (
        "messages[0].content[0].image_url.url",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://example.org/a.png"}}]}]}"#,
    ),
    (
        "messages[0].content[0].image_url.url",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/svg+xml,<svg/>"}}]}]}"#,
    ),
    (
        "messages[0].content[0].image_url",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"data:image/png;base64,aa"}]}]}"#,
    ),
    (
        "messages[0].content[0].input_audio.format",
        r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"aa","format":"midi"}}]}]}"#,
    ),
    (
        "messages[0].content[0].file.file_id",
        r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#,
    ),
    (
        "messages[0].content[0].file.file_data",
        r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"JVBERi0="}}]}]}"#,
    ),
    (
        "messages[0].content[0].type",
        r#"{"messages":[{"role":"system","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,aa"}}]}]}"#,
    ),
    (
        "messages[0].function_call",
        r#"{"messages":[{"role":"assistant","function_call":{"name":"f","arguments":"{}"}}]}"#,
    ),
    (
        "messages[0].audio",
        r#"{"messages":[{"role":"assistant","audio":{"id":"a"}}]}"#,
    ),
    (
        "messages[0].tool_calls[0].type",
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1","type":"custom","custom":{"name":"f","input":"x"}}]}]}"#,
    ),
    (
        "messages[0].tool_calls[0].function.name",
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"arguments":"{}"}}]}]}"#,
    ),
    (
        "messages[0].tool_calls[0].function.arguments",
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{\"a\":"}}]}]}"#,
    ),
    (
        "messages[0].tool_calls[0].function.arguments",
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"[]"}}]}]}"#,
    ),
    (
        "messages[0].tool_calls[0].extra_content.google.thought_signature",
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":1}}}]}]}"#,
    ),
    (
        "messages[1].tool_call_id",
        r#"{"messages":[{"role":"user","content":"Hi"},{"role":"tool","tool_call_id":"9","content":"x"}]}"#,
    ),
    (
        "messages[1].content[0].type",
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":[{"type":"image_url"}]}]}"#,
    ),
];

/// The same for what stands beside the messages.
const REFUSED_BESIDE_MESSAGES: &[(&str, &str)] = &[
    ("temperature", r#""temperature":"hot""#),
    ("temperature", r#""temperature":1e999"#),
    ("max_tokens", r#""max_tokens":-1"#),
    ("max_completion_tokens", r#""max_completion_tokens":1.5"#),
    ("seed", r#""seed":4294967296"#),
    ("stop", r#""stop":[7]"#),
    ("n", r#""n":0"#),
    ("logprobs", r#""logprobs":1"#),
    ("top_logprobs", r#""top_logprobs":2"#),
    ("logit_bias", r#""logit_bias":{"50256":-100}"#),
    ("modalities", r#""modalities":["text","audio"]"#),
    ("web_search_options", r#""web_search_options":{}"#),
    ("moderation", r#""moderation":{"model":"omni"}"#),
    ("functions", r#""functions":[{"name":"f"}]"#),
    ("function_call", r#""function_call":"auto""#),
    ("service_tier", r#""service_tier":"scale""#),
    ("reasoning_effort", r#""reasoning_effort":"extreme""#),
    (
        "response_format.type",
        r#""response_format":{"type":"xml"}"#,
    ),
    (
        "response_format.json_schema",
        r#""response_format":{"type":"json_schema"}"#,
    ),
    (
        "response_format.json_schema.schema",
        r#""response_format":{"type":"json_schema","json_schema":{"name":"x","schema":7}}"#,
    ),
    (
        "tools[0].type",
        r#""tools":[{"type":"custom","custom":{"name":"x"}}]"#,
    ),
    ("tools[0].function", r#""tools":[{"type":"function"}]"#),
    (
        "tools[0].function.name",
        r#""tools":[{"type":"function","function":{}}]"#,
    ),
    (
        "tools[0].function.parameters",
        r#""tools":[{"type":"function","function":{"name":"f","parameters":[]}}]"#,
    ),
    ("tool_choice", r#""tool_choice":"required""#),
    ("tool_choice", r#""tool_choice":"sometimes""#),
    (
        "tool_choice.type",
        r#""tool_choice":{"type":"custom","custom":{"name":"x"}}"#,
    ),
    (
        "tool_choice.allowed_tools.tools",
        r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}"#,
    ),
    (
        "tool_choice.allowed_tools.mode",
        r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"never","tools":[{"function":{"name":"f"}}]}}"#,
    ),
    (
        "parallel_tool_calls",
        r#""parallel_tool_calls":false,"tools":[{"type":"function","function":{"name":"f"}}]"#,
    ),
];

#[test]
fn what_cannot_be_said_is_refused_with_its_place() {
    let beside = REFUSED_BESIDE_MESSAGES.iter().map(|&(param, member)| {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}],{member}}}"#);
        (param, body)
    });
    let all = REFUSED
        .iter()
        .map(|&(param, body)| (param, body.to_owned()));
    let mut messages = Vec::new();
    for (param, body) in all.chain(beside) {
        let refusal = Gemini.request(body.as_bytes(), "gemini-3-pro").unwrap_err();

        assert_eq!(refusal.param, param, "{body}");
        messages.push(refusal.message);
    }
    golden("refusals", "what clients read", &messages.join("\n"));
}

#[test]
fn a_body_that_is_no_object_or_too_deep_is_refused() {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    for body in ["", "[]", "7", r#"{"messages":"#, deep.as_str()] {
        assert!(
            Gemini.request(body.as_bytes(), "gemini-3-pro").is_err(),
            "{body}"
        );
    }
}
