//! Whole answers.

use super::super::super::translate::Garbled;
use super::super::CLAUDE;
use super::{assert_golden, cases, heading, input, pretty, reading};

cases! { check:
    a_cut_answer_has_its_length
    a_json_answer_is_the_tools_input
    a_refusal_is_filtered_content
    an_error_inside_a_success_is_an_error
    an_ignored_json_tool_leaves_the_text
    cached_tokens_are_part_of_the_prompt
    escapes_stay_as_they_are
    parallel_tool_calls_keep_their_order
    text_is_content
    thinking_is_shown_and_kept
    tools_that_run_at_anthropic_are_left_out
}

fn check(name: &str) {
    let body = input("answer", &format!("{name}.json"));

    let answer = CLAUDE.answer(body.as_bytes(), &heading(), reading(name));

    assert_golden("answer", name, &pretty(&answer.unwrap()));
}

#[test]
fn what_is_no_message_is_garbled() {
    for body in [
        "",
        "<html><body>502</body></html>",
        "{}",
        r#"{"content":"hello"}"#,
        r#"{"content":[{"text":"a block without a type"}]}"#,
        r#"{"object":"chat.completion","choices":[]}"#,
        r#"[{"content":[]}]"#,
        r#"{"content":[{"type":"text","text":"cut"#,
        r#"{"content":[{"type":"text","text":"no reason"}],"stop_reason":null}"#,
    ] {
        let answer = CLAUDE.answer(body.as_bytes(), &heading(), reading(""));

        assert_eq!(answer, Err(Garbled), "{body}");
    }
}

#[test]
fn a_json_tool_that_was_cut_before_its_input_says_nothing() {
    for (reason, content) in [("max_tokens", ""), ("tool_use", "{}")] {
        let body = format!(
            r#"{{"content":[{{"type":"tool_use","id":"t","name":"answer_in_json","input":{{}}}}],"stop_reason":"{reason}"}}"#
        );

        let answer = CLAUDE.answer(body.as_bytes(), &heading(), reading("json"));

        let answer: serde_json::Value = serde_json::from_slice(&answer.unwrap()).unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], content);
    }
}
