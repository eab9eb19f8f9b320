//! What the provider answers, and what a client must therefore read.
//!
//! A request's model says which answer it wants, because a model is what every gateway forwards:
//! `small`, `large` (64 KiB), `burst-100` (so many chunks at once), `paced-50-20` (so many chunks, one
//! each 20 ms). What follows a `/` only tells models apart.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;

/// The length of the content of a large answer.
const LARGE: usize = 64 * 1024;

/// An answer to a chat request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One JSON document.
    Whole(Bytes),
    /// A stream of server-sent events.
    Stream {
        /// The events: a role, the contents, a finish, the usage, the end.
        events: Vec<Bytes>,
        /// The time between two contents; none where all are sent at once.
        pace: Option<Duration>,
    },
}

impl Answer {
    /// Returns the answer that a model stands for.
    pub(crate) fn of(model: &str) -> Option<Self> {
        let kind = model.split('/').next()?;
        let mut parts = kind.split('-');
        let answer = match (parts.next()?, parts.next(), parts.next()) {
            ("small", None, None) => Self::Whole(completion("Hello! How can I help you today?")),
            ("large", None, None) => Self::Whole(completion(&text(LARGE))),
            ("burst", Some(count), None) => Self::Stream {
                events: events(count.parse().ok()?),
                pace: None,
            },
            ("paced", Some(count), Some(pace)) => Self::Stream {
                events: events(count.parse().ok()?),
                pace: Some(Duration::from_millis(pace.parse().ok()?)),
            },
            _ => return None,
        };
        Some(answer)
    }
}

/// Returns words of that many bytes together, which JSON holds as they are.
pub(crate) fn text(length: usize) -> String {
    let mut text =
        "She opened the window and looked at the berries in the garden. ".repeat(length / 63 + 1);
    text.truncate(length);
    text
}

fn completion(content: &str) -> Bytes {
    format!(
        r#"{{"id":"chatcmpl-berry-bench","object":"chat.completion","created":1750000000,"model":"bench","choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{USAGE},"service_tier":"default","system_fingerprint":"fp_berry"}}"#
    )
    .into()
}

const USAGE: &str = r#"{"prompt_tokens":24,"completion_tokens":10,"total_tokens":34}"#;

/// The events that follow the last content: a finish, the usage, the end.
pub(crate) const EVENTS_AFTER_CONTENT: usize = 3;

/// The place of the usage in a stream's events, counted from the end.
const USAGE_FROM_END: usize = 2;

fn events(contents: usize) -> Vec<Bytes> {
    let mut events = vec![event(r#"{"role":"assistant","content":""}"#, "null")];
    for number in 0..contents {
        events.push(event(
            &format!(r#"{{"content":" word{number:04}"}}"#),
            "null",
        ));
    }
    events.push(event("{}", r#""stop""#));
    events.push(chunk("[]", &format!(r#","usage":{USAGE}"#)));
    events.push("data: [DONE]\n\n".into());
    events
}

fn event(delta: &str, finish_reason: &str) -> Bytes {
    let mut choices = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        choices,
        r#"[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish_reason}}}]"#
    );
    chunk(&choices, "")
}

fn chunk(choices: &str, more: &str) -> Bytes {
    format!(
        "data: {{\"id\":\"chatcmpl-berry-bench\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\"model\":\"bench\",\"system_fingerprint\":\"fp_berry\",\"choices\":{choices}{more}}}\n\n"
    )
    .into()
}

/// Removes the event that only a client that asked for the usage gets.
pub(crate) fn without_usage(mut events: Vec<Bytes>) -> Vec<Bytes> {
    events.remove(events.len() - USAGE_FROM_END);
    events
}

/// The body that a client reads, and where in it which chunk ends.
#[derive(Debug)]
pub(crate) struct Expected {
    /// All of the body.
    pub(crate) body: Vec<u8>,
    /// Where each event ends; of a JSON document only its end.
    pub(crate) ends: Vec<usize>,
    /// Where the first content ends.
    pub(crate) first: usize,
}

impl Expected {
    /// Returns what a client that does not ask for the usage reads of an answer.
    pub(crate) fn of(answer: Answer) -> Self {
        match answer {
            Answer::Whole(body) => Self {
                ends: vec![body.len()],
                first: body.len(),
                body: body.into(),
            },
            Answer::Stream { events, .. } => {
                let mut body = Vec::new();
                let mut ends = Vec::new();
                for event in without_usage(events) {
                    body.extend_from_slice(&event);
                    ends.push(body.len());
                }
                Self {
                    // The role comes before it.
                    first: ends[1],
                    body,
                    ends,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(model: &str) -> Vec<Bytes> {
        match Answer::of(model) {
            Some(Answer::Stream { events, .. }) => events,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_model_says_what_is_answered() {
        for model in ["small", "small/17", "large"] {
            let Some(Answer::Whole(body)) = Answer::of(model) else {
                panic!("{model}")
            };
            serde_json::from_slice::<serde_json::Value>(&body).expect(model);
        }
        assert_eq!(stream("burst-100").len(), 104);
        let paced = Answer::of("paced-5-20").expect("an answer");
        assert!(matches!(paced, Answer::Stream { pace: Some(pace), .. } if pace.as_millis() == 20));
        for unknown in ["", "gpt", "burst", "burst-x", "paced-5", "small-1"] {
            assert_eq!(Answer::of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_event_of_a_stream_is_json_but_the_last() {
        let events = stream("burst-3");
        let (end, chunks) = events.split_last().expect("events");
        assert_eq!(&end[..], b"data: [DONE]\n\n");
        for chunk in chunks {
            let data = chunk.strip_prefix(b"data: ").expect("an event");
            serde_json::from_slice::<serde_json::Value>(data).expect("JSON");
        }
    }

    #[test]
    fn who_does_not_ask_for_the_usage_does_not_expect_it() {
        let expected = Expected::of(Answer::of("burst-3").expect("an answer"));
        let text = String::from_utf8(expected.body.clone()).expect("text");
        assert!(!text.contains("usage"));
        assert_eq!(expected.ends.len(), 6);
        assert_eq!(expected.ends.last(), Some(&expected.body.len()));
        assert!(text[..expected.first].ends_with("\"finish_reason\":null}]}\n\n"));
        assert!(text[..expected.first].contains("word0000"));
        assert!(!text[..expected.first].contains("word0001"));
    }

    #[test]
    fn text_has_the_length_asked_for() {
        for length in [0, 1, 62, 63, 64, 1000] {
            assert_eq!(text(length).len(), length);
        }
    }
}
