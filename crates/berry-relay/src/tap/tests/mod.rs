mod whole;

use proptest::prelude::*;

use super::*;

fn tap(events: &[&str]) -> Tap {
    watched(Tap::default(), events)
}

fn watched(mut tap: Tap, events: &[&str]) -> Tap {
    for event in events {
        if tap.observe(Name::Other, event.as_bytes()) == Fate::Stop {
            break;
        }
    }
    tap
}

fn delta(delta: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
}

#[test]
fn a_role_a_ping_and_empty_texts_are_no_content() {
    for event in [
        delta(r#"{"role":"assistant"}"#),
        delta(r#"{"role":"assistant","content":""}"#),
        delta(r#"{"role":"assistant","content":null,"refusal":null,"tool_calls":[]}"#),
        delta("{}"),
        r#"{"choices":[],"prompt_filter_results":[{}]}"#.to_owned(),
        r#"{"choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":""}]}"#.to_owned(),
        r#"{"choices":[],"usage":{"prompt_tokens":1}}"#.to_owned(),
        "{}".to_owned(),
    ] {
        assert!(!tap(&[&event]).content(), "{event}");
    }
}

#[test]
fn text_reasoning_tools_refusals_audio_and_a_finish_reason_are_content() {
    for event in [
        delta(r#"{"content":"a"}"#),
        delta(r#"{"content":"","reasoning_content":"hm"}"#),
        delta(r#"{"reasoning":"hm"}"#),
        delta(r#"{"tool_calls":[{"index":0}]}"#),
        delta(r#"{"function_call":{"name":"f"}}"#),
        delta(r#"{"refusal":"no"}"#),
        delta(r#"{"images":[{"index":0,"type":"image_url"}]}"#),
        delta(r#"{"audio":{"id":"x"}}"#),
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
        r#"{"choices":[{"text":"legacy","finish_reason":"length"}]}"#.to_owned(),
    ] {
        assert!(tap(&[&event]).content(), "{event}");
    }
}

#[test]
fn a_stream_is_finished_by_a_finish_reason_or_done() {
    let text = delta(r#"{"content":"the \"finish_reason\": is"}"#);

    assert!(!tap(&[&text]).finished());
    assert!(
        !tap(&[
            &text,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":""}]}"#
        ])
        .finished()
    );
    assert!(tap(&[&text, r#"{"choices":[{"finish_reason" : "stop"}]}"#]).finished());
    assert!(tap(&[&text, "[DONE]"]).finished());
    assert!(tap(&[&text, " [DONE] "]).finished());
}

#[test]
fn a_stream_of_several_choices_is_finished_when_each_is() {
    let text = |index| format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"a"}}}}]}}"#);
    let end = |index| format!(r#"{{"choices":[{{"index":{index},"finish_reason":"stop"}}]}}"#);

    assert!(!tap(&[&text(0), &text(1), &end(0)]).finished());
    assert!(!tap(&[&text(0), &end(0), &text(70)]).finished());
    assert!(tap(&[&text(0), &text(1), &end(0), &end(1)]).finished());
}

#[test]
fn the_usual_chunk_is_recognised_without_parsing() {
    let usual = r#"[{"index":0,"delta":{"content":"a \"finish_reason\":"},"finish_reason":null}]"#;
    let others = [
        r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#,
        r#"[{"index":1,"delta":{},"finish_reason":null}]"#,
        r#"[{"index":0,"finish_reason":null},{"index":1,"finish_reason":null}]"#,
        r#"[{"delta":{},"finish_reason":null}]"#,
    ];

    assert!(middle_of_first(usual.as_bytes()).is_some());
    for other in others {
        assert!(middle_of_first(other.as_bytes()).is_none(), "{other}");
    }
}

#[test]
fn an_error_object_is_a_failure_and_a_null_one_is_not() {
    assert_eq!(
        tap(&[r#"{"error":{"message":"x"}}"#]).failure(),
        Some(StreamFailure::Told)
    );
    assert_eq!(
        tap(&[r#"{"error":"x"}"#]).failure(),
        Some(StreamFailure::Told)
    );
    assert_eq!(tap(&[r#"{"error":null,"choices":[]}"#]).failure(), None);
}

#[test]
fn what_is_not_a_json_object_is_garbage() {
    for event in ["<html>", "{\"choices\":[", "[]", "hello"] {
        assert_eq!(
            tap(&[event]).failure(),
            Some(StreamFailure::Garbage),
            "{event}"
        );
    }
}

#[test]
fn the_last_usage_counts() {
    let usage = |n: u64| {
        format!(r#"{{"choices":[],"usage":{{"prompt_tokens":{n},"completion_tokens":2}}}}"#)
    };

    let nothing = r#"{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#;

    let tap = tap(&[
        nothing,
        &usage(1),
        r#"{"choices":[],"usage":null}"#,
        &usage(7),
        nothing,
    ]);

    let counted = tap.usage().unwrap();
    assert_eq!((counted.input(), counted.output()), (7, 2));
}

#[test]
fn a_completions_text_is_content() {
    let chunk = |text: &str| format!(r#"{{"choices":[{{"text":"{text}","index":0}}]}}"#);

    assert!(!tap(&[&chunk("")]).content());
    assert!(tap(&[&chunk("a")]).content());
}

#[test]
fn a_response_begins_before_its_content_and_ends_with_its_last_event() {
    let of = |events: &[&str]| watched(Tap::new(Grammar::Responses, Unwanted::default()), events);
    let created =
        r#"{"type":"response.created","response":{"id":"resp_1","error":null,"usage":null}}"#;
    let delta = r#"{"type":"response.output_text.delta","delta":"a"}"#;
    let completed = r#"{"type":"response.completed","response":{"id":"resp_1",
        "usage":{"input_tokens":3,"output_tokens":2}}}"#;

    let begun = of(&[created, r#"{"type":"response.in_progress","response":{}}"#]);
    assert!(!begun.content() && !begun.finished());
    assert_eq!(begun.response(), Some("resp_1"));
    let passing = of(&[created, delta]);
    assert!(passing.content() && !passing.finished());
    let ended = of(&[created, delta, completed]);
    assert!(ended.finished() && ended.done());
    assert_eq!(ended.usage().map(|usage| usage.output()), Some(2));
    for failed in [
        r#"{"type":"error","code":"server_error","message":"x"}"#,
        r#"{"type":"response.failed","response":{"id":"resp_1"}}"#,
    ] {
        assert_eq!(of(&[created, failed]).failure(), Some(StreamFailure::Told));
    }
}

#[test]
fn other_streams_end_where_their_body_ends() {
    let of = |event: &str| watched(Tap::new(Grammar::Other, Unwanted::default()), &[event]);

    let partial = of(r#"{"type":"image_generation.partial_image","b64_json":"x"}"#);

    assert!(partial.content() && partial.finished() && !partial.done());
    assert_eq!(
        of(r#"{"type":"error"}"#).failure(),
        Some(StreamFailure::Untold)
    );
}

#[test]
fn a_stored_response_may_describe_an_error() {
    let mut tap = Tap::new(Grammar::Stored, Unwanted::default());

    tap.observe_whole(br#"{"id":"resp_1","status":"failed","error":{"code":"x"}}"#);

    assert_eq!(tap.failure(), None);
}

#[test]
fn a_stored_response_was_paid_for_when_it_was_made() {
    let body = br#"{"id":"resp_1","usage":{"input_tokens":4,"output_tokens":6}}"#;
    for (grammar, usage, written) in [
        (Grammar::Responses, Some(10), 1),
        (Grammar::Stored, None, 0),
    ] {
        let mut tap = Tap::new(grammar, Unwanted::default());

        tap.observe_whole(body);
        tap.observe(Name::Other, br#"{"type":"response.in_progress"}"#);

        let used = tap.usage().map(|usage| usage.input() + usage.output());
        assert_eq!((used, tap.written(Text::default())), (usage, written));
    }
}

#[test]
fn what_came_for_our_sake_is_left_out() {
    let usage = br#"{"choices":[],"usage":{"prompt_tokens":1}}"#;
    let filter = br#"{"choices":[],"prompt_filter_results":[{}]}"#;
    let report = br#"{"choices":[{"index":0,"finish_reason":null,"content_filter_results":{}}]}"#;
    let text = br#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}"#;
    for (unwanted, expected) in [
        ((false, false), [Fate::Pass, Fate::Pass, Fate::Pass]),
        ((true, false), [Fate::Drop, Fate::Pass, Fate::Pass]),
        ((false, true), [Fate::Pass, Fate::Drop, Fate::Drop]),
    ] {
        let unwanted = Unwanted {
            usage: unwanted.0,
            reports: unwanted.1,
        };
        let mut tap = Tap::new(Grammar::Choices, unwanted);

        assert_eq!(tap.observe(Name::Other, text), Fate::Pass);
        let fates = [usage.as_slice(), filter, report].map(|event| tap.observe(Name::Other, event));
        assert_eq!(fates, expected);
        assert!(tap.usage().is_some());
    }
}

#[test]
fn an_answer_may_end_with_choices_that_were_too_long_to_be_looked_at() {
    let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#;

    assert!(!tap(&[role]).finished());
    assert!(tap(&[role, r#"{"choices":{}}"#]).finished());
}

#[test]
fn an_answer_says_what_it_cost_and_which_response_it_is() {
    let body = br#"{"id":"resp_1","output":{},"usage":{"input_tokens":4,"output_tokens":6}}"#;
    for (grammar, expected) in [
        (Grammar::Responses, (Some("resp_1"), Some(6))),
        (Grammar::Other, (None, Some(6))),
        (Grammar::Stored, (None, None)),
    ] {
        let mut tap = Tap::new(grammar, Unwanted::default());

        tap.observe_whole(body);

        let output = tap.usage().map(|usage| usage.output());
        assert_eq!((tap.response(), output), expected);
    }
}

#[test]
fn what_is_stored_of_an_error_is_to_be_cleaned_and_is_no_failure() {
    let stored = || Tap::new(Grammar::Stored, Unwanted::default());
    for (event, expected) in [
        (
            r#"{"type":"response.failed","response":{"id":"r"}}"#,
            Fate::Clean,
        ),
        (r#"{"type":"error","message":"x"}"#, Fate::Clean),
        (
            r#"{"type":"response.in_progress","response":{"id":"r","error":{"code":"x"}}}"#,
            Fate::Clean,
        ),
        (
            r#"{"type":"response.completed","response":{"id":"r","status":"failed"}}"#,
            Fate::Clean,
        ),
        (
            r#"{"type":"response.completed","response":{"id":"r","error":null}}"#,
            Fate::Pass,
        ),
    ] {
        let mut tap = stored();

        assert_eq!(
            tap.observe(Name::Other, event.as_bytes()),
            expected,
            "{event}"
        );
        assert_eq!(tap.failure(), None);
    }
    for (body, expected) in [
        (r#"{"id":"r","status":"failed","error":{"code":"x"}}"#, true),
        (r#"{"id":"r","status":"failed","output":["x"]}"#, true),
        (r#"{"id":"r","status":"failed","error":null}"#, true),
        (r#"{"id":"r","status":"completed","error":null}"#, false),
    ] {
        let mut tap = stored();
        tap.observe_whole(body.as_bytes());

        assert_eq!((tap.reports_error(), tap.failure()), (expected, None));
    }
}

#[test]
fn whatever_tells_of_an_error_is_to_be_cleaned() {
    let text = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
    let of = |grammar, event: &str| {
        let mut tap = Tap::new(grammar, Unwanted::default());
        tap.observe(Name::Other, text.as_bytes());
        tap.observe(Name::Other, event.as_bytes())
    };
    for (grammar, event, expected) in [
        (Grammar::Choices, text, Fate::Pass),
        (
            Grammar::Choices,
            r#"{"choices":[{"index":0,"delta":{"content":"\"error\": 1"},"finish_reason":null}]}"#,
            Fate::Pass,
        ),
        (
            Grammar::Choices,
            r#"{"choices":[{"index":0,"error":null,"finish_reason":"stop"}]}"#,
            Fate::Pass,
        ),
        (
            Grammar::Choices,
            r#"{"choices":[{"index":0,"error":{"message":"x"},"finish_reason":null}]}"#,
            Fate::Clean,
        ),
        (
            Grammar::Choices,
            r#"{"choices":[{"finish_reason":"error","error" : "x"}]}"#,
            Fate::Stop,
        ),
        (
            Grammar::Choices,
            r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"x":{"error":"x"}}"#,
            Fate::Clean,
        ),
        (
            Grammar::Choices,
            r#"{"choices":[{"index":0,"delta":{"content":"a","error":"x"},"finish_reason":null}]}"#,
            Fate::Clean,
        ),
        (
            Grammar::Choices,
            r#"{"choices":[{"index":0,"delta":{"content":"a"},"error":{"a":"b"},"finish_reason":null}]}"#,
            Fate::Clean,
        ),
        (
            Grammar::Choices,
            r#"{"choices":[{"index":0,"delta":{"content":"\"error\":1"},"logprobs":null,"finish_reason":null}]}"#,
            Fate::Pass,
        ),
        (Grammar::Choices, r#"{"detail":"x"}"#, Fate::Stop),
        (Grammar::Choices, r#"{"x":"y"}"#, Fate::Clean),
        (
            Grammar::Choices,
            r#"{"type":"error","message":"x"}"#,
            Fate::Stop,
        ),
        (
            Grammar::Responses,
            r#"{"type":"response.output_item.done","item":{"error":"x"}}"#,
            Fate::Clean,
        ),
        (
            Grammar::Responses,
            r#"{"type":"response.output_item.done","item":{"error":null}}"#,
            Fate::Pass,
        ),
        (
            Grammar::Responses,
            r#"{"type":"response.incomplete","response":{"error":null,"incomplete_details":{}}}"#,
            Fate::Clean,
        ),
    ] {
        assert_eq!(of(grammar, event), expected, "{event}");
    }
}

/// Events of a stream, most of which are like the one before.
fn events() -> impl Strategy<Value = Vec<String>> {
    let event = prop_oneof![
        12 => ".{0,6}".prop_map(|text| {
            let text = serde_json::to_string(&text).unwrap();
            format!(r#"{{"id":"1","choices":[{{"index":0,"delta":{{"content":{text}}},"finish_reason":null}}],"obfuscation":"x"}}"#)
        }),
        1 => Just(delta(r#"{"content":"x","error":{}}"#)),
        1 => Just(r#"{"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":null}]}"#.to_owned()),
        1 => Just(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned()),
        1 => Just(r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":{"prompt_tokens":1}}"#.to_owned()),
        1 => Just("[DONE]".to_owned()),
    ];
    // One byte of them is another, now and then.
    let changed = (event, 0_usize..400, any::<char>()).prop_map(|(event, place, other)| {
        let change = |(at, c)| if at == place { other } else { c };
        event.chars().enumerate().map(change).collect::<String>()
    });
    proptest::collection::vec(changed, 0..16)
}

proptest! {
    #[test]
    fn events_that_are_not_read_again_say_what_they_would_have_said(events in events()) {
        let (mut quick, mut thorough) = (Tap::default(), Tap::default());
        for event in &events {
            thorough.usual = None;

            prop_assert_eq!(quick.observe(Name::Other, event.as_bytes()), thorough.observe(Name::Other, event.as_bytes()));
        }

        (quick.usual, thorough.usual) = (None, None);
        prop_assert_eq!(format!("{quick:?}"), format!("{thorough:?}"));
    }
}

#[test]
fn an_event_that_is_not_utf_8_is_garbage_however_many_good_ones_came() {
    let good = delta(r#"{"content":"one"}"#);
    let (head, tail) = good.split_once("one").unwrap();
    let bad = [head.as_bytes(), b"o\xffe", tail.as_bytes()].concat();
    for before in 0..10 {
        let mut tap = watched(Tap::default(), &vec![good.as_str(); before]);

        assert_eq!(tap.observe(Name::Other, &bad), Fate::Stop, "{before}");
        assert_eq!(tap.failure(), Some(StreamFailure::Garbage), "{before}");
    }
}
