//! What must hold for any bytes: of an answer, of a stream, of a provider's events, of a form.
//!
//! The same checks run as property tests here and under cargo-fuzz from `fuzz/`, which needs a
//! nightly compiler and finds what random bytes do not.

#![expect(
    clippy::missing_panics_doc,
    reason = "a panic is how these functions say that something does not hold"
)]

use bytes::Bytes;
use http::HeaderValue;

use crate::adapter::translate::{Decoder, Heading, Reading};
use crate::adapter::{self, Tongue};
use crate::envelope::Envelope;
use crate::sse::{Fate, Name, Splitter};
use crate::tap::{Grammar, Tap, Unwanted};
use crate::upstream::http1::script::{Then, read, read_after_long};

/// Events are the same and bytes are untouched, wherever a stream is cut.
///
/// # Panics
/// It does not hold.
pub fn splitter(stream: &[u8], cut: usize) {
    let read = |frames: &[&[u8]]| {
        let (mut splitter, mut events, mut forwarded) =
            (Splitter::default(), Vec::new(), Vec::new());
        let mut observe = |_: Name, data: &[u8]| {
            events.push(data.to_vec());
            Fate::Pass
        };
        for frame in frames {
            let split = splitter.push(&Bytes::copy_from_slice(frame), &mut observe);
            forwarded.extend_from_slice(&split.complete);
        }
        forwarded.extend_from_slice(&splitter.finish(&mut observe).complete);
        (events, forwarded)
    };
    let (before, after) = stream.split_at(cut.min(stream.len()));

    let whole = read(&[stream]);

    assert_eq!(whole.1, stream, "bytes are forwarded as they came");
    assert_eq!(read(&[before, after]), whole, "a cut changes nothing");
}

/// Returns a decoder of a protocol's streams; none where it is OpenAI's.
fn decoder(protocol: &str) -> Option<Box<dyn Decoder>> {
    let heading = Heading {
        id: "chatcmpl-1".to_owned(),
        created: 1,
        model: "m".to_owned(),
        include_usage: true,
    };
    match &adapter::find(protocol)?.tongue {
        Tongue::OpenAi { .. } => None,
        Tongue::Foreign(foreign) => Some(foreign.chat.decoder(heading, Reading::default())),
    }
}

/// Whatever a provider sends becomes whole events of OpenAI's, the same wherever it is cut.
///
/// # Panics
/// It does not hold.
pub fn stream(protocol: &str, stream: &[u8], cut: usize) {
    let read = |frames: &[&[u8]]| {
        let mut decoder = decoder(protocol)?;
        let (mut splitter, mut out, mut garbled) = (Splitter::default(), Vec::new(), false);
        let mut observe = |_: Name, data: &[u8]| {
            garbled = garbled || decoder.event(data, &mut out).is_err();
            if garbled { Fate::Stop } else { Fate::Pass }
        };
        for frame in frames {
            let split = splitter.push(&Bytes::copy_from_slice(frame), &mut observe);
            if split.stopped_by.is_some() {
                return Some((out, true));
            }
        }
        splitter.finish(&mut observe);
        if !garbled {
            decoder.end(&mut out);
        }
        Some((out, garbled))
    };
    let (before, after) = stream.split_at(cut.min(stream.len()));

    let whole = read(&[stream]);

    assert_eq!(read(&[before, after]), whole, "a cut changes nothing");
    let out = whole.map(|(out, _)| out).unwrap_or_default();
    let text = String::from_utf8_lossy(&out);
    for event in text.split_inclusive("\n\n") {
        let data = event
            .strip_prefix("data: ")
            .and_then(|rest| rest.strip_suffix("\n\n"));
        let is_json = |data: &str| serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok();
        assert!(
            data.is_some_and(|data| data == "[DONE]" || is_json(data)),
            "not an event of OpenAI's: {event:?}"
        );
    }
}

/// Whatever comes as a stream of OpenAI's is judged the same wherever it is cut.
pub fn openai_stream(stream: &[u8], cut: usize) {
    let watch = |frames: &[&[u8]]| {
        [Grammar::Choices, Grammar::Responses].map(|grammar| {
            let (mut splitter, mut tap) =
                (Splitter::default(), Tap::new(grammar, Unwanted::default()));
            for frame in frames {
                let frame = Bytes::copy_from_slice(frame);
                let split = splitter.push(&frame, |name, data| tap.observe(name, data));
                if split.stopped_by.is_some() {
                    break;
                }
            }
            if tap.failure().is_none() {
                splitter.finish(|name, data| tap.observe(name, data));
            }
            let response = tap.response().map(str::to_owned);
            (
                tap.content(),
                tap.finished(),
                tap.failure(),
                tap.usage(),
                response,
            )
        })
    };
    let (before, after) = stream.split_at(cut.min(stream.len()));

    assert_eq!(
        watch(&[before, after]),
        watch(&[stream]),
        "a cut changes nothing"
    );
}

/// An answer over HTTP/1.1 is the same, wherever it is cut and whether or not its connection stays open.
///
/// # Panics
/// It does not hold.
pub fn http1_answer(answer: &[u8], cut: usize) {
    let (before, after) = answer.split_at(cut.min(answer.len()));
    for then in [Then::Close, Then::Hold] {
        let whole = read([answer], then);

        assert_eq!(read([before, after], then), whole, "a cut changes nothing");
        assert_eq!(read(answer.chunks(1), then), whole, "nor do many");
        assert_eq!(
            read_after_long([answer], then),
            whole,
            "nor does what came before"
        );
        assert_eq!(read_after_long([before, after], then), whole, "nor do both");
    }
}

/// A form that is accepted is read again with the model that was put in, and without a backend.
///
/// # Panics
/// It does not hold.
pub fn form(body: &[u8]) {
    let kind = HeaderValue::from_static("multipart/form-data; boundary=b");
    let Ok(envelope) = Envelope::parse_form(Bytes::copy_from_slice(body), &kind) else {
        return;
    };
    let rewritten = envelope.rewrite("another", None).concat();

    let again = Envelope::parse_form(rewritten.into(), &kind);

    let again = again.map(|again| (again.model().to_owned(), again.backend().is_some()));
    assert_eq!(again, Ok(("another".to_owned(), false)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text of which much is what a reader looks at.
    fn lines() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("data: ".to_owned()),
            Just("\n\n".to_owned()),
            Just("\r\n".to_owned()),
            Just("event: x\n".to_owned()),
            Just(r#"{"type":"message_start","message":{"id":"m","usage":{}}}"#.to_owned()),
            Just(r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#.to_owned()),
            Just(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"é"}}"#.to_owned()),
            Just(r#"{"type":"message_stop"}"#.to_owned()),
            Just(r#"{"candidates":[{"content":{"parts":[{"text":"é"}]},"finishReason":"STOP"}]}"#.to_owned()),
            Just(r#"{"error":{"code":500}}"#.to_owned()),
            Just("[DONE]".to_owned()),
            Just(r#"{"choices":[{"index":0,"delta":{"content":"é"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#.to_owned()),
            Just(r#"{"type":"response.created","response":{"id":"resp_1"}}"#.to_owned()),
            Just(r#"{"type":"response.completed","response":{"id":"resp_1","usage":{"input_tokens":1}}}"#.to_owned()),
            ".{0,8}",
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_stream_is_split_the_same(text in lines(), cut in 0_usize..400) {
            splitter(text.as_bytes(), cut);
        }

        #[test]
        fn any_claude_stream_becomes_events(text in lines(), cut in 0_usize..400) {
            stream("claude", text.as_bytes(), cut);
        }

        #[test]
        fn any_gemini_stream_becomes_events(text in lines(), cut in 0_usize..400) {
            stream("gemini", text.as_bytes(), cut);
        }

        #[test]
        fn any_openai_stream_is_judged_the_same(text in lines(), cut in 0_usize..400) {
            openai_stream(text.as_bytes(), cut);
        }

        #[test]
        fn any_accepted_form_is_rewritten(
            body in proptest::collection::vec(prop_oneof![
                Just("--b\r\n"),
                Just("--b--"),
                Just("\r\n"),
                Just("\r\n\r\n"),
                Just("content-disposition: form-data; name=\"model\""),
                Just("content-disposition: form-data; name=\"backend\""),
                Just("content-disposition: form-data; name=f; filename=g"),
                Just("x"),
            ], 0..16),
        ) {
            form(body.concat().as_bytes());
        }
    }
}
