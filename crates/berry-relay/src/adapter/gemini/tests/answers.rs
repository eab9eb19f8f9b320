use super::{golden, heading, pretty};
use crate::adapter::gemini::Gemini;
use crate::adapter::translate::{Chat as _, Garbled, Reading};

fn check(name: &str, body: &str) {
    let answer = Gemini.answer(body.as_bytes(), &heading(), Reading::default());

    golden(&format!("answer_{name}"), body, &pretty(&answer.unwrap()));
}

#[test]
fn a_text_is_content() {
    check(
        "text",
        r#"{
  "candidates": [{"content": {"parts": [{"text": "Say \"hi\"\n"}, {"text": "\u00e9\ud83d\ude00", "thoughtSignature": "c2ln"}], "role": "model"},
    "finishReason": "STOP", "index": 0, "safetyRatings": [], "avgLogprobs": -0.1}],
  "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 28, "totalTokenCount": 281, "thoughtsTokenCount": 244,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}]},
  "modelVersion": "gemini-3-pro-preview", "responseId": "Un6LacrVMcjUxs0PmJfWoQc"
}"#,
    );
}

#[test]
fn thoughts_are_reasoning() {
    check(
        "thoughts",
        r#"{"candidates":[{"content":{"parts":[{"text":"Hm. ","thought":true},{"text":"So.","thought":true},{"text":"3"}]},"finishReason":"STOP"}],
            "usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":64,"toolUsePromptTokenCount":5,"candidatesTokenCount":1,"thoughtsTokenCount":2}}"#,
    );
}

#[test]
fn calls_are_whole_and_have_ids() {
    check(
        "calls",
        r#"{"candidates":[{"content":{"parts":[
            {"functionCall":{"name":"weather","args":{ "place" : "a \"b\" \\ c", "n": [1, 2.50] }},"thoughtSignature":"c2ln"},
            {"functionCall":{"name":"now","id":"jm4owj31"}}
        ]},"finishReason":"STOP","finishMessage":"Model generated function call(s)."}],"responseId":"m36LaZGyCLz1xs0PtNSB-QU"}"#,
    );
}

#[test]
fn a_text_may_come_before_a_call() {
    check(
        "text_and_call",
        r#"{"candidates":[{"content":{"parts":[{"text":"One moment"},{"functionCall":{"name":"now","args":{}}}]},"finishReason":"STOP"}]}"#,
    );
}

#[test]
fn an_image_is_a_data_url() {
    check(
        "image",
        r#"{"candidates":[{"content":{"parts":[{"text":"Here"},{"inlineData":{"mimeType":"image/png","data":"iVBORw0="}},{"executableCode":{"code":"1"}}]},"finishReason":"STOP"}]}"#,
    );
}

#[test]
fn each_candidate_is_a_choice() {
    check(
        "candidates",
        r#"{"candidates":[
            {"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"},
            {"content":{"parts":[{"text":"b"}]},"finishReason":"MAX_TOKENS","index":1}
        ]}"#,
    );
}

#[test]
fn probabilities_are_logprobs() {
    check(
        "logprobs",
        r#"{"candidates":[{"content":{"parts":[{"text":"Hi!"}]},"finishReason":"STOP","logprobsResult":{
            "chosenCandidates":[{"token":"Hi","tokenId":7,"logProbability":-0.25},{"token":"!","logProbability":"-Infinity"}],
            "topCandidates":[{"candidates":[{"token":"Hi","logProbability":-0.25},{"token":"Ho","logProbability":-1.5}]}]}}]}"#,
    );
}

#[test]
fn a_blocked_prompt_is_filtered_content() {
    check(
        "blocked",
        r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT","safetyRatings":[]},"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7},"modelVersion":"gemini-2.5-flash","responseId":"x"}"#,
    );
}

#[test]
fn an_answer_may_be_empty() {
    check(
        "empty",
        r#"{"candidates":[{"content":{"role":"model"},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":7,"thoughtsTokenCount":50}}"#,
    );
}

#[test]
fn every_end_has_its_name() {
    let reasons = [
        "STOP",
        "MAX_TOKENS",
        "CONTINUATION",
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
        "ESCALATION",
        "SOMETHING_NEW",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        "NO_IMAGE",
        "IMAGE_OTHER",
    ];
    let ends = reasons.map(|reason| {
        let body = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"a"}}]}},"finishReason":"{reason}"}}]}}"#
        );
        let answer = Gemini.answer(body.as_bytes(), &heading(), Reading::default());
        let answer: serde_json::Value = serde_json::from_slice(&answer.unwrap()).unwrap();
        match answer.get("error") {
            Some(error) => format!("{reason}: error {error}"),
            None => format!("{reason}: {}", answer["choices"][0]["finish_reason"]),
        }
    });

    golden("answer_finish_reasons", "finishReason", &ends.join("\n"));
}

#[test]
fn an_error_with_status_200_is_an_error() {
    check(
        "error",
        r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#,
    );
}

#[test]
fn what_is_no_answer_is_garbled() {
    for body in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"candidates":[]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#,
        r#"{"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED"}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":7}]},"finishReason":"STOP"}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{}}]},"finishReason":"STOP"}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","willContinue":true}}]},"finishReason":"STOP"}]}"#,
        r#"{"usageMetadata":{"promptTokenCount":"many"}}"#,
    ] {
        let answer = Gemini.answer(body.as_bytes(), &heading(), Reading::default());

        assert_eq!(answer, Err(Garbled), "{body}");
    }
}

#[test]
fn calls_without_ids_get_the_same_ones_again_and_short_ones() {
    let body = br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}},{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}]}"#;
    let ids = |id: &str| -> Vec<String> {
        let mut heading = heading();
        heading.id = id.to_owned();
        let answer = Gemini.answer(body, &heading, Reading::default()).unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let calls = answer["choices"][0]["message"]["tool_calls"].as_array();
        let ids = calls.unwrap().iter().map(|call| &call["id"]);
        ids.map(|id| id.as_str().unwrap().to_owned()).collect()
    };

    let (first, again, other) = (ids("a"), ids("a"), ids(&"b".repeat(100)));

    assert_eq!(first, again);
    assert_ne!(first[0], first[1]);
    assert!(first.iter().all(|id| !other.contains(id)));
    assert!(other.iter().all(|id| id.len() <= 40), "{other:?}");
}

#[test]
fn counts_and_flags_of_an_odd_shape_do_not_spoil_an_answer() {
    let said = |index: &str, thought: &str, usage: &str| {
        let body = format!(
            r#"{{"candidates":[{{"index":{index},"content":{{"parts":[{{"text":"a","thought":{thought}}}]}},"finishReason":"STOP"}}],"usageMetadata":{usage}}}"#
        );
        let answer = Gemini.answer(body.as_bytes(), &heading(), Reading::default());
        let answer: serde_json::Value = serde_json::from_slice(&answer.unwrap()).unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], "a");
        assert_eq!(answer["choices"][0]["index"], 0);
        let usage = answer["usage"].as_object();
        usage.map(|usage| {
            [&usage["prompt_tokens"], &usage["completion_tokens"]].map(ToString::to_string)
        })
    };
    let counted = |prompt: &str, completion: &str| Some([prompt.to_owned(), completion.to_owned()]);

    for (usage, expected) in [
        (
            r#"{"promptTokenCount":3.0,"candidatesTokenCount":"4","thoughtsTokenCount":null}"#,
            counted("3", "4"),
        ),
        (
            r#"{"promptTokenCount":3,"cachedContentTokenCount":{}}"#,
            counted("3", "0"),
        ),
        (
            r#"{"promptTokenCount":3,"totalTokenCount":10}"#,
            counted("3", "7"),
        ),
        (
            r#"{"promptTokenCount":3,"thoughtsTokenCount":7,"totalTokenCount":10}"#,
            counted("3", "7"),
        ),
        (r#"{"promptTokenCount":3,"candidatesTokenCount":-1}"#, None),
        (r#"{"promptTokenCount":3,"candidatesTokenCount":2.5}"#, None),
        (
            r#"{"promptTokenCount":3,"thoughtsTokenCount":"many"}"#,
            None,
        ),
        (r#"{"promptTokenCount":null}"#, None),
        ("null", None),
        ("[]", None),
    ] {
        assert_eq!(said("null", "null", usage), expected, "{usage}");
    }
    assert_eq!(said("0.0", "\"no\"", "7"), None);
}
