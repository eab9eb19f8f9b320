use serde_json::json;

use super::golden;
use crate::adapter::gemini::Gemini;
use crate::adapter::translate::Chat as _;

const MODEL: &str = "gemini-2.5-flash";

fn check(name: &str, model: &str, body: &str) {
    let translated = Gemini.request(body.as_bytes(), model).unwrap();

    let output = serde_json::to_string_pretty(&translated.body).unwrap();
    golden(
        &format!("request_{name}"),
        &format!("{model} {body}"),
        &output,
    );
}

#[test]
fn a_text_becomes_a_turn() {
    check(
        "text",
        MODEL,
        r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}}"#,
    );
}

#[test]
fn system_and_developer_messages_become_the_instruction() {
    check(
        "system",
        MODEL,
        r#"{"messages":[
            {"role":"system","content":"Be brief."},
            {"role":"user","content":"Hi"},
            {"role":"developer","content":[{"type":"text","text":"In French."}]}
        ]}"#,
    );
}

#[test]
fn a_lone_system_message_is_the_users_turn() {
    check(
        "system_alone",
        MODEL,
        r#"{"messages":[{"role":"system","content":"Tell a joke."}]}"#,
    );
}

#[test]
fn neighbours_become_one_turn_and_empty_messages_none() {
    check(
        "neighbours",
        MODEL,
        r#"{"messages":[
            {"role":"user","name":"ann","content":"a"},
            {"role":"user","content":""},
            {"role":"user","content":[{"type":"text","text":"b"},{"type":"text","text":""}]},
            {"role":"assistant","content":null},
            {"role":"assistant","content":"c","reasoning_content":"hm"},
            {"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},
            {"role":"user","content":"d"}
        ]}"#,
    );
}

#[test]
fn all_parts_of_content_are_translated() {
    check(
        "parts",
        MODEL,
        r#"{"messages":[{"role":"user","content":[
            {"type":"text","text":"look"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0=","detail":"high"}},
            {"type":"image_url","image_url":{"url":"data:text/plain;charset=utf-8;base64,aGk="}},
            {"type":"image_url","image_url":{"url":"https://example.org/a.JPG?size=2#x"}},
            {"type":"image_url","image_url":{"url":"https://example.org/image"}},
            {"type":"image_url","image_url":{"url":"gs://bucket/scan.pdf"}},
            {"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}},
            {"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0="}}
        ]}]}"#,
    );
}

const TOOLS: &str = r##"[{"type":"function","function":{"name":"weather","description":"Tells the weather","strict":true,
    "parameters":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
        "properties":{"place":{"$ref":"#/$defs/place"},"at":{"type":["string","null"]}},
        "required":["place"],"additionalProperties":false,"$defs":{"place":{"type":"string"}}}}},
    {"type":"function","function":{"name":"now"}}]"##;

#[test]
fn tools_keep_their_schemas() {
    check(
        "tools",
        MODEL,
        &format!(
            r#"{{"messages":[{{"role":"user","content":"Hi"}}],"tools":{TOOLS},"parallel_tool_calls":true}}"#
        ),
    );
}

#[test]
fn the_choice_of_tools_is_translated() {
    for (name, choice) in [
        ("none", r#""none""#),
        ("auto", r#""auto""#),
        ("required", r#""required""#),
        ("one", r#"{"type":"function","function":{"name":"now"}}"#),
        (
            "allowed",
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"now"}}]}}"#,
        ),
        (
            "allowed_required",
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"now"}}]}}"#,
        ),
    ] {
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":"Hi"}}],"tools":[{{"type":"function","function":{{"name":"now"}}}}],"tool_choice":{choice}}}"#
        );
        check(&format!("tool_choice_{name}"), MODEL, &body);
    }
}

#[test]
fn a_choice_without_tools_is_dropped() {
    check(
        "tool_choice_without_tools",
        MODEL,
        r#"{"messages":[{"role":"user","content":"Hi"}],"tool_choice":"auto","parallel_tool_calls":false,"tools":[]}"#,
    );
}

#[test]
fn one_demanded_function_is_called_once() {
    check(
        "parallel_of_one",
        MODEL,
        r#"{"messages":[{"role":"user","content":"Hi"}],"parallel_tool_calls":false,
            "tools":[{"type":"function","function":{"name":"now"}}],
            "tool_choice":{"type":"function","function":{"name":"now"}}}"#,
    );
}

/// Two parallel calls, answered in the other order, and the next question.
const CALLS: &str = r#"{"messages":[
    {"role":"user","content":"Weather in Oslo and Rome?"},
    {"role":"assistant","content":null,"tool_calls":[
        {"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"place\":\"Oslo\"}"}},
        {"id":"call_2","type":"function","function":{"name":"weather","arguments":"{\"place\":\"Rome\"}"}}
    ]},
    {"role":"tool","tool_call_id":"call_2","content":"{\"sky\":\"blue\"}"},
    {"role":"tool","tool_call_id":"call_1","content":[{"type":"text","text":"ra"},{"type":"text","text":"in"}]},
    {"role":"user","content":"Thanks"}
]}"#;

#[test]
fn results_stand_in_the_order_of_their_calls() {
    check("calls", MODEL, CALLS);
}

#[test]
fn a_lost_signature_is_replaced_where_one_is_demanded() {
    check("calls_without_signature", "gemini-3-pro-preview", CALLS);
}

#[test]
fn signatures_and_ids_return() {
    check(
        "signatures",
        "gemini-3-pro-preview",
        r#"{"messages":[
            {"role":"user","content":"Go"},
            {"role":"assistant","content":"Let me see","extra_content":{"google":{"thought_signature":"c2lnMQ=="}},"tool_calls":[
                {"id":"jm4owj31","type":"function","function":{"name":"now","arguments":""},"extra_content":{"google":{"thought_signature":"c2lnMg=="}}},
                {"id":"jm4owj32","type":"function","function":{"name":"now","arguments":"{}"}}
            ]},
            {"role":"tool","tool_call_id":"jm4owj31","content":"12:00"},
            {"role":"tool","tool_call_id":"jm4owj32","content":""},
            {"role":"assistant","content":"","extra_content":{"google":{"thought_signature":"c2lnMw=="}}},
            {"role":"user","content":"And?"}
        ]}"#,
    );
}

#[test]
fn a_result_belongs_to_the_last_call_with_its_id() {
    check(
        "repeated_ids",
        MODEL,
        r#"{"messages":[
            {"role":"assistant","tool_calls":[{"id":"0","type":"function","function":{"name":"a","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"0","content":"1"},
            {"role":"assistant","tool_calls":[{"id":"0","function":{"name":"b","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"0","content":"2"}
        ]}"#,
    );
}

#[test]
fn all_settings_are_translated() {
    check(
        "settings",
        MODEL,
        r#"{"messages":[{"role":"user","content":"Hi"}],"temperature":0.5,"top_p":0.9,"top_k":40,
            "presence_penalty":0.1,"frequency_penalty":-0.1,"seed":-7,"max_tokens":5,"max_completion_tokens":10,
            "stop":["a","b"],"n":2,"logprobs":true,"top_logprobs":3,"service_tier":"flex"}"#,
    );
}

#[test]
fn what_changes_no_answer_is_dropped() {
    check(
        "dropped",
        MODEL,
        r#"{"messages":[{"role":"user","content":"Hi"}],"metadata":{"a":"b"},"store":true,"user":"u",
            "safety_identifier":"s","prompt_cache_key":"k","prompt_cache_retention":"24h","verbosity":"low",
            "prediction":{"type":"content","content":"x"},"logit_bias":{},"modalities":["text"],"n":1,
            "logprobs":false,"top_logprobs":null,"temperature":null,"stop":null,"tools":null,"tool_choice":null,
            "response_format":{"type":"text"},"service_tier":"auto","functions":null,"unknown":{"x":1}}"#,
    );
}

#[test]
fn a_schema_of_the_answer_keeps_its_order() {
    check(
        "json_schema",
        MODEL,
        r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":7,"stop":"END","response_format":{"type":"json_schema","json_schema":{"name":"x","strict":true,
            "schema":{"$schema":"x","type":"object","properties":{"reasoning":{"type":"string"},"answer":{"type":"integer"}},"required":["reasoning","answer"],"additionalProperties":false}}}}"#,
    );
}

#[test]
fn json_without_a_schema_is_a_type() {
    check(
        "json_object",
        MODEL,
        r#"{"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_object"}}"#,
    );
}

#[test]
fn an_effort_is_a_budget_or_a_level() {
    let mut table = Vec::new();
    for effort in ["none", "minimal", "low", "medium", "high", "xhigh", "max"] {
        for model in [MODEL, "gemini-3-flash", "gemini-3.1-pro"] {
            let body = format!(
                r#"{{"messages":[{{"role":"user","content":"Hi"}}],"reasoning_effort":"{effort}"}}"#
            );
            let translated = Gemini.request(body.as_bytes(), model).unwrap();
            let config = &translated.body["generationConfig"]["thinkingConfig"];
            table.push(format!("{effort} {model}: {config}"));
        }
    }

    golden("request_efforts", "reasoning_effort", &table.join("\n"));
}

#[test]
fn results_stand_in_the_turn_after_their_calls_wherever_they_come() {
    check(
        "results_in_odd_order",
        MODEL,
        r#"{"messages":[
            {"role":"user","content":"Where?"},
            {"role":"assistant","tool_calls":[
                {"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}},
                {"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"call_2","content":"two"},
            {"role":"user","content":"Well?"},
            {"role":"tool","tool_call_id":"call_1","content":"one"},
            {"role":"assistant","content":"Here."}
        ]}"#,
    );
}

/// So many of each that work for every pair of them takes longer than a test may.
#[test]
fn the_work_grows_with_the_request_and_not_with_its_square() {
    const MANY: usize = 10_000;
    let calls: Vec<_> = (0..MANY)
        .map(|n| json!({"id": n.to_string(), "function": {"name": "f", "arguments": ""}}))
        .collect();
    let results = (0..MANY)
        .rev()
        .map(|n| json!({"role": "tool", "tool_call_id": n.to_string(), "content": "b"}));
    let mut messages = vec![json!({"role": "assistant", "tool_calls": calls})];
    messages.extend(vec![json!({"role": "user", "content": "c"}); MANY]);
    messages.extend(results);
    let body = json!({ "messages": messages });

    let translated = Gemini.request(body.to_string().as_bytes(), MODEL);

    let body = translated.unwrap().body;
    let turns = body["contents"].as_array().unwrap();
    let lengths: Vec<_> = turns
        .iter()
        .map(|turn| turn["parts"].as_array().unwrap().len())
        .collect();
    assert_eq!(lengths, [MANY, MANY, MANY]);
    assert_eq!(turns[1]["parts"][0]["functionResponse"]["id"], "0");
}

#[test]
fn numbers_of_arguments_and_schemas_keep_all_their_digits() {
    let body = r#"{
        "messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function":
            {"name": "f", "arguments": "{\"a\":[12345678901234567890123,18446744073709551616,1E2,1.10]}"}}]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters":
            {"type": "object", "properties": {"a": {"maximum": 1e400}}}}}]
    }"#;

    let body = Gemini
        .request(body.as_bytes(), MODEL)
        .unwrap()
        .body
        .to_string();

    for expected in [
        r#""args":{"a":[12345678901234567890123,18446744073709551616,1e+2,1.10]}"#,
        r#"{"maximum":1e+400}"#,
    ] {
        assert!(body.contains(expected), "{body}");
    }
}

#[test]
fn schemes_are_read_in_either_case() {
    for (url, kind) in [
        ("HTTPS://host/a.png", "fileData"),
        ("Data:image/png;Base64,AA==", "inlineData"),
    ] {
        let part = json!({"type": "image_url", "image_url": {"url": url}});
        let body = json!({"messages": [{"role": "user", "content": [part]}]});

        let body = Gemini
            .request(body.to_string().as_bytes(), MODEL)
            .unwrap()
            .body;

        assert!(
            body["contents"][0]["parts"][0].get(kind).is_some(),
            "{body}"
        );
    }
}
