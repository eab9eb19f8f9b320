use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::{golden, heading};
use crate::adapter::gemini::Gemini;
use crate::adapter::translate::{Chat as _, Garbled, Reading};
use crate::sse::{Fate, Name, Splitter};

/// How events can be framed without meaning anything else.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Lf,
    CrLf,
    Cr,
    /// A byte order mark, comments, other fields, no space after the colon.
    Decorated,
    /// Each event's JSON on several lines of data.
    Lines,
}

const FRAMINGS: [Framing; 5] = [
    Framing::Lf,
    Framing::CrLf,
    Framing::Cr,
    Framing::Decorated,
    Framing::Lines,
];

impl Framing {
    fn stream(self, events: &[&str]) -> Vec<u8> {
        let start = match self {
            Self::Decorated => "\u{feff}: hello\n\nretry: 3\n\n",
            _ => "",
        };
        let events = events.iter().map(|event| self.event(event));
        let frames: String = std::iter::once(start.to_owned()).chain(events).collect();
        frames.into_bytes()
    }

    fn event(self, event: &str) -> String {
        match self {
            Self::Lf => format!("data: {event}\n\n"),
            Self::CrLf => format!("data: {event}\r\n\r\n"),
            Self::Cr => format!("data: {event}\r\r"),
            Self::Decorated => format!("event: x\n: c\ndata:{event}\nid: 1\n\n: ping\n\n"),
            Self::Lines => {
                let value: Result<Value, _> = serde_json::from_str(event);
                let text = value.map_or_else(|_| event.to_owned(), |value| format!("{value:#}"));
                format!("data: {}\n\n", text.replace('\n', "\ndata: "))
            }
        }
    }
}

/// Translates a stream that comes in these frames.
fn decode<'a>(
    frames: impl IntoIterator<Item = &'a [u8]>,
    include_usage: bool,
) -> Result<String, Garbled> {
    let mut heading = heading();
    heading.include_usage = include_usage;
    let mut decoder = Gemini.decoder(heading, Reading::default());
    let (mut out, mut failure) = (Vec::new(), None);
    let mut splitter = Splitter::default();
    let mut observe = |_: Name, data: &[u8]| match decoder.event(data, &mut out) {
        Ok(()) => Fate::Pass,
        Err(garbled) => {
            failure = Some(garbled);
            Fate::Stop
        }
    };
    for frame in frames {
        splitter.push(&Bytes::copy_from_slice(frame), &mut observe);
    }
    splitter.finish(&mut observe);
    decoder.end(&mut out);
    match failure {
        Some(garbled) => Err(garbled),
        None => Ok(String::from_utf8(out).unwrap()),
    }
}

/// Compares with the golden file what the events become, however they are framed and cut.
fn check(name: &str, include_usage: bool, events: &[&str]) {
    let whole = decode([Framing::Lf.stream(events).as_slice()], include_usage).unwrap();

    golden(&format!("stream_{name}"), &events.join("\n"), &whole);
    for framing in FRAMINGS {
        let stream = framing.stream(events);
        for cut in 0..=stream.len() {
            let (first, second) = stream.split_at(cut);
            let again = decode([first, second], include_usage).unwrap();
            assert_eq!(again, whole, "{framing:?} cut at {cut}");
        }
        let again = decode(stream.chunks(1), include_usage).unwrap();
        assert_eq!(again, whole, "{framing:?} cut everywhere");
    }
    for chunk in whole
        .split_terminator("\n\n")
        .filter(|chunk| *chunk != "data: [DONE]")
    {
        let json = chunk.strip_prefix("data: ").unwrap();
        serde_json::from_str::<Value>(json).unwrap();
    }
}

const TEXT: [&str; 3] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"Three \"r\""}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":5,"totalTokenCount":199,"thoughtsTokenCount":185},"modelVersion":"gemini-3-pro-preview","responseId":"bH6LaZW8Fp"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":" é€😀\n"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":9,"totalTokenCount":203,"thoughtsTokenCount":185},"modelVersion":"gemini-3-pro-preview","responseId":"bH6LaZW8Fp"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"c2ln"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":23,"totalTokenCount":217,"thoughtsTokenCount":185},"modelVersion":"gemini-3-pro-preview","responseId":"bH6LaZW8Fp"}"#,
];

#[test]
fn a_text_comes_in_pieces() {
    check("text", false, &TEXT);
}

#[test]
fn usage_comes_last_where_it_was_asked_for() {
    check("usage", true, &TEXT);
}

#[test]
fn thoughts_come_as_reasoning() {
    check(
        "thoughts",
        false,
        &[
            r#"{"candidates":[{"content":{"parts":[{"text":"Hm.","thought":true}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":" So","thought":true},{"text":"3"}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"!"}]},"finishReason":"MAX_TOKENS"}]}"#,
        ],
    );
}

#[test]
fn calls_count_on_from_event_to_event() {
    check(
        "calls",
        false,
        &[
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"weather","args":{"place":"Oslo"}},"thoughtSignature":"c2ln"},{"functionCall":{"name":"weather","args":{"place":"Rome"}}}]}}],"responseId":"b36L"}"#,
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"now","id":"x1"}}]}}],"responseId":"b36L"}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"responseId":"b36L"}"#,
        ],
    );
}

#[test]
fn each_candidate_begins_and_ends_by_itself() {
    check(
        "candidates",
        false,
        &[
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"index":0},{"content":{"parts":[{"text":"b"}]},"index":1}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"B"}]},"finishReason":"STOP","index":1}]}"#,
            r#"{"candidates":[{"finishReason":"SAFETY","index":0}]}"#,
        ],
    );
}

#[test]
fn a_stream_in_which_one_candidate_did_not_end_is_cut() {
    check(
        "cut_candidate",
        true,
        &[
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"index":0},{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP","index":1}],"usageMetadata":{"promptTokenCount":1}}"#,
        ],
    );
}

#[test]
fn a_stream_without_an_end_has_none() {
    check(
        "cut",
        true,
        &[
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":1}}"#,
        ],
    );
}

#[test]
fn a_blocked_prompt_is_filtered_content() {
    check(
        "blocked",
        true,
        &[
            r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7},"modelVersion":"gemini-2.5-flash"}"#,
        ],
    );
}

#[test]
fn an_error_ends_the_stream() {
    check(
        "error",
        true,
        &[
            TEXT[0],
            r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#,
            TEXT[2],
        ],
    );
}

#[test]
fn a_failed_generation_ends_the_stream_with_an_error() {
    check(
        "failed",
        true,
        &[
            r#"{"candidates":[{"content":{"parts":[{"text":"I"}]}}]}"#,
            r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"Malformed function call: f("}]}"#,
        ],
    );
}

#[test]
fn events_that_say_nothing_become_nothing() {
    check(
        "silent",
        true,
        &[
            r#"{"usageMetadata":{"trafficType":"ON_DEMAND"}}"#,
            "{}",
            r#"{"candidates":[{"content":{"parts":[{"text":""}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1}}"#,
            r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"trafficType":"ON_DEMAND"}}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"late"}]}}]}"#,
            "[DONE]",
        ],
    );
}

#[test]
fn the_last_signature_comes_once_before_the_end() {
    check(
        "signatures",
        false,
        &[
            r#"{"candidates":[{"content":{"parts":[{"text":"Hm.","thought":true,"thoughtSignature":"Zmlyc3Q="}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a","thoughtSignature":"bGFzdA=="}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}]}"#,
        ],
    );
}

#[test]
fn images_and_probabilities_come_too() {
    check(
        "image_and_logprobs",
        false,
        &[
            r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBORw0="}},{"inlineData":{"mimeType":"image/png","data":"iVBORw1="}}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBORw2="}}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP","logprobsResult":{"chosenCandidates":[{"token":"a","logProbability":-0.5}]}}]}"#,
        ],
    );
}

#[test]
fn what_is_no_event_is_garbled() {
    for event in [
        "<html>",
        "7",
        r#"{"candidates":["#,
        r#"{"candidates":[{"content":{"parts":[{"text":{}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[],"willContinue":true}}]}}]}"#,
    ] {
        let stream = Framing::Lf.stream(&[event]);

        assert_eq!(decode([stream.as_slice()], false), Err(Garbled), "{event}");
    }
}

#[test]
fn a_garbled_event_leaves_no_half_a_chunk() {
    let mut decoder = Gemini.decoder(heading(), Reading::default());
    let mut out = b"before".to_vec();

    let garbled = decoder.event(
        br#"{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"functionCall":{}}]},"index":1}]}"#,
        &mut out,
    );

    assert_eq!(garbled, Err(Garbled));
    assert_eq!(out, b"before");
}

#[test]
fn an_empty_stream_becomes_nothing() {
    assert_eq!(decode([], true), Ok(String::new()));
}

fn event() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        ".{0,12}".prop_map(|text| serde_json::json!({ "text": text })),
        ".{0,12}".prop_map(|text| serde_json::json!({ "text": text, "thought": true })),
        "[a-z\"\\\\ ]{0,8}".prop_map(
            |text| serde_json::json!({ "functionCall": { "name": "f", "args": { "a b": text } } })
        ),
    ];
    let parts = proptest::collection::vec(part, 0..3);
    let ends = prop_oneof![4 => Just(None), 1 => Just(Some("STOP")), 1 => Just(Some("SAFETY"))];
    (parts, ends, 0..3_u32).prop_map(|(parts, end, index)| {
        let mut candidate = serde_json::json!({ "content": { "parts": parts }, "index": index });
        if let Some(end) = end {
            candidate["finishReason"] = end.into();
        }
        serde_json::json!({ "candidates": [candidate] }).to_string()
    })
}

proptest! {
    #[test]
    fn any_stream_in_any_cut_is_translated_alike_into_json(
        events in proptest::collection::vec(event(), 0..12),
        size in 1..40_usize,
        framing in proptest::sample::select(&FRAMINGS[..]),
    ) {
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        let whole = decode([Framing::Lf.stream(&events).as_slice()], true).unwrap();
        let stream = framing.stream(&events);

        prop_assert_eq!(&decode(stream.chunks(size), true).unwrap(), &whole);
        for chunk in whole.split_terminator("\n\n").filter(|chunk| *chunk != "data: [DONE]") {
            let json = chunk.strip_prefix("data: ").unwrap();
            prop_assert!(serde_json::from_str::<Value>(json).is_ok(), "{}", chunk);
        }
    }

    #[test]
    fn the_pieces_are_the_text(texts in proptest::collection::vec("\\PC{0,20}", 1..8)) {
        let events: Vec<String> = texts
            .iter()
            .map(|text| serde_json::json!({ "candidates": [{ "content": { "parts": [{ "text": text }] } }] }).to_string())
            .collect();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();

        let chunks = decode([Framing::Lf.stream(&events).as_slice()], false).unwrap();

        let said: String = chunks
            .split_terminator("\n\n")
            .map(|chunk| serde_json::from_str(chunk.strip_prefix("data: ").unwrap()).unwrap())
            .map(|chunk: Value| chunk["choices"][0]["delta"]["content"].as_str().unwrap().to_owned())
            .collect();
        prop_assert_eq!(said, texts.concat());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Gemini.decoder(heading(), Reading::default());
        let _ = decoder.event(&bytes, &mut Vec::new());
        let _ = Gemini.answer(&bytes, &heading(), Reading::default());
        let _ = Gemini.request(&bytes, "gemini-3-pro");
    }
}
