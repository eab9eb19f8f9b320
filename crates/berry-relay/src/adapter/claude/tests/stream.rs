//! Streams, as bytes from a server through the splitter to the client.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::super::translate::{Garbled, Heading};
use super::super::CLAUDE;
use super::{assert_golden, cases, heading, input, reading};
use crate::sse::{Fate, Name, Splitter};

cases! { check:
    a_cut_stream_has_no_end
    a_forced_json_tool_that_is_ignored_leaves_the_text
    a_json_answer_is_the_tools_input
    a_json_tool_beside_a_call_of_the_clients
    a_refusal_is_filtered_content
    a_stream_without_its_last_event_ends_after_the_reason
    a_tool_without_arguments_gets_an_empty_object
    an_error_at_once_is_the_only_event
    an_error_ends_the_stream
    arguments_may_come_whole
    cached_tokens_are_part_of_the_prompt
    content_before_the_start_still_comes_after_the_role
    interleaved_thinking_keeps_its_places
    parallel_tool_calls_are_numbered
    redacted_thinking_is_kept
    running_out_of_tokens_is_a_length
    text_is_content
    the_start_counts_once
    thinking_is_shown_and_kept
    unknown_events_and_blocks_are_nothing
}

/// Sends pieces of a stream, as the relay will.
fn decode(name: &str, pieces: &[&[u8]], heading: Heading) -> Result<Vec<u8>, Garbled> {
    let mut splitter = Splitter::default();
    let mut decoder = CLAUDE.decoder(heading, reading(name));
    let mut out = Vec::new();
    let mut result = Ok(());
    let mut observe = |_: Name, data: &[u8]| {
        result = decoder.event(data, &mut out);
        match result {
            Ok(()) => Fate::Pass,
            Err(Garbled) => Fate::Stop,
        }
    };
    for piece in pieces {
        let split = splitter.push(&Bytes::copy_from_slice(piece), &mut observe);
        if split.stopped_by.is_some() {
            return Err(Garbled);
        }
    }
    splitter.finish(&mut observe);
    result?;
    decoder.end(&mut out);
    Ok(out)
}

fn check(name: &str) {
    let stream = input("stream", &format!("{name}.sse"));

    let whole = decode(name, &[stream.as_bytes()], heading()).unwrap();

    assert_is_openais(&whole);
    assert_golden("stream", name, std::str::from_utf8(&whole).unwrap());
    for written in spellings(&stream) {
        let bytes: Vec<&[u8]> = written.as_bytes().chunks(1).collect();
        let byte_by_byte = decode(name, &bytes, heading());
        assert_eq!(byte_by_byte.as_ref(), Ok(&whole), "{written:?}");
    }
    for written in [stream.replace('\n', "\r\n"), stream] {
        let bytes = written.as_bytes();
        for cut in 0..=bytes.len() {
            let (front, back) = bytes.split_at(cut);
            let cut_once = decode(name, &[front, back], heading());
            assert_eq!(cut_once.as_ref(), Ok(&whole), "cut at {cut} of {written:?}");
        }
    }
}

/// Other ways to write the same events.
fn spellings(stream: &str) -> Vec<String> {
    let commented = stream.replace("event:", ": a comment\nid: 7\nevent:");
    vec![
        stream.to_owned(),
        stream.replace('\n', "\r\n"),
        stream.replace('\n', "\r"),
        format!("\u{feff}{stream}"),
        commented.replace("data: ", "data:"),
        // JSON may have line breaks between its members: each is a data line of its own.
        stream.replace("{\"type\":", "{\ndata: \"type\":"),
    ]
}

/// Asserts that all events are JSON, the first has the role, and nothing follows `[DONE]` or an error.
fn assert_is_openais(stream: &[u8]) {
    let stream = std::str::from_utf8(stream).unwrap();
    let mut role_came = false;
    let mut ended = false;
    for event in stream.split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").unwrap();
        assert!(!ended, "after the end: {data}");
        if data == "[DONE]" {
            ended = true;
            continue;
        }
        let chunk: serde_json::Value = serde_json::from_str(data).unwrap();
        if chunk.get("error").is_some() {
            ended = true;
            continue;
        }
        let delta = &chunk["choices"][0]["delta"];
        assert_eq!(delta.get("role").is_some(), !role_came, "{data}");
        role_came = true;
    }
}

#[test]
fn the_usage_comes_only_where_it_is_asked_for() {
    let stream = input("stream", "text_is_content.sse");
    let heading = Heading {
        include_usage: false,
        ..heading()
    };

    let out = decode("", &[stream.as_bytes()], heading).unwrap();

    let out = String::from_utf8(out).unwrap();
    assert!(!out.contains("usage"), "{out}");
    assert!(
        out.ends_with("\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"),
        "{out}"
    );
}

#[test]
fn what_is_no_event_is_garbled() {
    for data in [
        b"<html>".as_slice(),
        b"{",
        b"[]",
        b"[\"ping\"]",
        b"\"ping\"",
        b"{}",
        b"{\"choices\":[]}",
        b"{\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\xff\"}}",
        b"{\"type\":\"error\",\"error\":\"x\"}",
    ] {
        let decoded = decode("", &[b"data: ", data, b"\n\n"], heading());

        assert_eq!(decoded, Err(Garbled), "{}", data.escape_ascii());
    }
}

#[test]
fn thinking_that_is_too_long_to_keep_is_only_shown() {
    let event = |event: serde_json::Value| format!("data: {event}\n\n");
    let piece = "m".repeat(100_000);
    let mut stream = event(serde_json::json!({
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "thinking", "thinking": "", "signature": ""},
    }));
    for _ in 0..12 {
        stream += &event(serde_json::json!({
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": piece},
        }));
    }
    stream += &event(serde_json::json!({
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "signature_delta", "signature": "sig"},
    }));
    stream += &event(serde_json::json!({"type": "content_block_stop", "index": 0}));

    let out = decode("", &[stream.as_bytes()], heading()).unwrap();

    let out = String::from_utf8(out).unwrap();
    assert_eq!(out.matches(&piece).count(), 12);
    assert!(!out.contains("thinking_blocks"));
}

fn event() -> impl Strategy<Value = String> {
    let kinds = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
    ];
    let parts = [
        r#""message":{"id":"m","usage":{"input_tokens":3}}"#,
        r#""content_block":{"type":"text","text":"a"}"#,
        r#""content_block":{"type":"tool_use","id":"t","name":"f","input":{}}"#,
        r#""content_block":{"type":"tool_use","id":"t","name":"answer_in_json","input":{"a":1}}"#,
        r#""content_block":{"type":"thinking","thinking":"","signature":""}"#,
        r#""content_block":7"#,
        r#""delta":{"type":"text_delta","text":"é\ud83d\ude00"}"#,
        r#""delta":{"type":"text_delta","text":null}"#,
        r#""delta":{"type":"input_json_delta","partial_json":"{\"a\":"}"#,
        r#""delta":{"type":"thinking_delta","thinking":"hm"}"#,
        r#""delta":{"type":"signature_delta","signature":"s"}"#,
        r#""delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}"#,
        r#""delta":[]"#,
    ];
    let kind = proptest::sample::select(kinds.to_vec());
    let part = proptest::sample::select(parts.to_vec());
    (kind, 0..3_u8, part)
        .prop_map(|(kind, index, part)| format!(r#"{{"type":"{kind}","index":{index},{part}}}"#))
}

proptest! {
    #[test]
    fn every_order_of_events_gives_a_stream_of_openais(
        events in proptest::collection::vec(event(), 0..24),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        json in any::<bool>(),
    ) {
        let name = if json { "json" } else { "" };
        let stream = format!("event: x\r\ndata: {}\r\n\r\n", events.join("\r\n\r\ndata: "));
        let whole = decode(name, &[stream.as_bytes()], heading()).unwrap();
        assert_is_openais(&whole);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream.as_bytes()[cut[0]..cut[1]]).collect();
        prop_assert_eq!(decode(name, &pieces, heading()).unwrap(), whole);
    }

    #[test]
    fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode("", &[b"data: {\"type\":", &data, b"}\n\n"], heading());
        let _ = CLAUDE.answer(&data, &heading(), reading("json"));
        let _ = CLAUDE.request(&data, "claude-sonnet-4-5");
    }
}

/// Returns what a client gets of these events' data.
fn decoded(name: &str, events: &[&str]) -> String {
    let events = events.iter().map(|data| format!("data: {data}\n\n"));
    let stream = events.collect::<Vec<_>>().concat();
    let out = decode(name, &[stream.as_bytes()], heading());
    String::from_utf8(out.unwrap()).unwrap()
}

const START: &str = r#"{"type":"message_start","message":{"id":"m"}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

#[test]
fn a_stop_before_anything_else_is_no_answer() {
    assert_eq!(decoded("", &[STOP]), "");
    assert_eq!(decoded("", &["[DONE]"]), "");
}

#[test]
fn openais_last_event_ends_what_has_its_finish_reason() {
    let reason = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;

    assert!(decoded("", &[START, reason, "[DONE]"]).ends_with("data: [DONE]\n\n"));
    assert!(!decoded("", &[START, "[DONE]"]).contains("[DONE]"));
}

#[test]
fn a_tool_that_was_cut_before_its_input_has_none() {
    for tool in ["f", "answer_in_json"] {
        let begin = format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"t","name":"{tool}","input":{{}}}}}}"#
        );
        let end = r#"{"type":"content_block_stop","index":0}"#;
        for (reason, has_input) in [("max_tokens", false), ("tool_use", true)] {
            let delta =
                format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#);
            for events in [
                &[START, &begin, end, &delta, STOP][..],
                &[START, &begin, &delta, STOP],
            ] {
                let shown = decoded("json", events);

                assert_eq!(
                    shown.contains(r#":"{}""#),
                    has_input,
                    "{tool} {reason}: {shown}"
                );
            }
        }
    }
}
