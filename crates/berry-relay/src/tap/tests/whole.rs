//! Answers that come whole.

use super::*;

/// Returns whether an answer is one, and how it failed.
fn whole(body: &[u8]) -> (bool, Option<StreamFailure>) {
    let mut tap = Tap::default();
    tap.observe_whole(body);
    (tap.content(), tap.failure())
}

#[test]
fn a_whole_answer_must_be_an_object_without_an_error() {
    assert_eq!(whole(br#"{"choices":[{}]}"#), (true, None));
    for nothing in [
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":[ ]}"#,
        r#"{"choices":null}"#,
    ] {
        let expected = (false, Some(StreamFailure::Garbage));
        assert_eq!(whole(nothing.as_bytes()), expected, "{nothing}");
    }
    assert_eq!(
        whole(br#"{"error":{"message":"x"}}"#),
        (false, Some(StreamFailure::Told))
    );
    assert_eq!(whole(b"<html>"), (false, Some(StreamFailure::Garbage)));
}

#[test]
fn a_whole_answer_is_utf_8_to_its_last_string() {
    let sound = (true, None);
    let garbage = (false, Some(StreamFailure::Garbage));
    for (before, after) in [
        (r#""a":""#.to_owned(), "\""),
        ("\"".to_owned(), "\":1"),
        (r#""a":{"b":[""#.to_owned(), "\"]}"),
        (r#""a":"\n"#.to_owned(), "\",\"b\":\"plain\""),
        (format!("\"a\":\"{}", "x".repeat(22)), "\""),
        (format!("\"a\":\"{}", "x".repeat(30)), "\""),
        (format!("\"a\":\"{}", "x".repeat(5_000)), "\""),
    ] {
        for (letter, expected) in [(&b"\xff"[..], garbage), ("é".as_bytes(), sound)] {
            let answer = [
                br#"{"choices":[{}],"#,
                before.as_bytes(),
                letter,
                after.as_bytes(),
                b"}",
            ];
            assert_eq!(whole(&answer.concat()), expected, "{before}");
        }
    }
}

#[test]
fn a_whole_answer_that_tells_of_an_error_is_to_be_cleaned() {
    for (grammar, body, expected) in [
        (
            Grammar::Choices,
            r#"{"choices":[{"error":{"message":"x"}}]}"#,
            true,
        ),
        (Grammar::Choices, r#"{"choices":[{"error":null}]}"#, false),
        (Grammar::Other, r#"{"data":[]}"#, false),
        (Grammar::Responses, r#"{"output":[{"error":"x"}]}"#, true),
        (
            Grammar::Responses,
            r#"{"incomplete_details":{"reason":"x"}}"#,
            true,
        ),
        (
            Grammar::Responses,
            r#"{"error":null,"incomplete_details":null}"#,
            false,
        ),
    ] {
        let mut tap = Tap::new(grammar, Unwanted::default());

        tap.observe_whole(body.as_bytes());

        assert_eq!(
            (tap.reports_error(), tap.failure()),
            (expected, None),
            "{body}"
        );
    }
}
