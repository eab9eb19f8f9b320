//! The bytes of an answer as OpenAI's protocol has them, whatever the upstream speaks.
//!
//! Everything behind it (holding until content, failover, taps, accounting) sees one protocol. For
//! upstreams that speak OpenAI nothing happens here: their bytes pass.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;

use crate::adapter::translate::{Decoder, Garbled};
use crate::sse::{Fate, Name, Splitter};
use crate::tap::Usage;
use crate::upstream::UpstreamBody;

/// The most that is held to be translated in one piece, a whole answer or an event: pictures come
/// so in both.
const LARGEST_PIECE: usize = 64 * 1024 * 1024;

/// Translates a whole answer.
pub(crate) type TranslateWhole = Box<dyn FnOnce(&[u8]) -> Result<Vec<u8>, Garbled> + Send>;

/// How an answer becomes OpenAI's.
#[derive(Default)]
pub(crate) enum Translation {
    /// It is already.
    #[default]
    None,
    /// Event by event.
    Events(Box<dyn Decoder>),
    /// As a whole.
    Whole(TranslateWhole),
}

impl fmt::Debug for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Events(_) => "Events",
            Self::Whole(_) => "Whole",
        })
    }
}

/// The body broke off, or is not in the upstream's protocol.
#[derive(Debug)]
pub(crate) struct Broken;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Source {
    body: UpstreamBody,
    stage: Stage,
    /// What a decoder that is gone had counted.
    counted: Option<Usage>,
}

enum Stage {
    Plain,
    Events(Splitter, Box<dyn Decoder>),
    Whole(Vec<u8>, TranslateWhole),
    /// What is left makes no sense.
    Failed,
    /// All was read and translated.
    Ended,
}

impl Source {
    /// Begins to read a body.
    pub(crate) fn new(body: UpstreamBody, translation: Translation) -> Self {
        let stage = match translation {
            Translation::None => Stage::Plain,
            Translation::Events(decoder) => {
                Stage::Events(Splitter::holding(LARGEST_PIECE), decoder)
            }
            Translation::Whole(translate) => Stage::Whole(Vec::new(), translate),
        };
        Self {
            body,
            stage,
            counted: None,
        }
    }

    /// Has a body of no more than `most` bytes come in one piece, where that can be known before.
    pub(crate) fn gathering(mut self, most: usize) -> Self {
        self.body.gather(most);
        self
    }

    /// Returns what has come; an empty piece where it is a sign of life and nothing more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match self.stage {
            Stage::Ended => return Poll::Ready(None),
            Stage::Failed => return Poll::Ready(Some(Err(Broken))),
            Stage::Plain | Stage::Events(..) | Stage::Whole(..) => {}
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let data = match frame {
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => return Poll::Ready(Some(Err(Broken))),
            None => return Poll::Ready(self.end()),
        };
        Poll::Ready(Some(match &mut self.stage {
            Stage::Plain | Stage::Failed | Stage::Ended => Ok(data),
            Stage::Events(splitter, decoder) => {
                let (translated, going) = decode(splitter, decoder.as_mut(), &data);
                if !going {
                    self.counted = counted(decoder.as_ref());
                    self.stage = Stage::Failed;
                }
                Ok(translated)
            }
            Stage::Whole(held, _) if held.len() + data.len() > LARGEST_PIECE => Err(Broken),
            Stage::Whole(held, _) => {
                held.extend_from_slice(&data);
                Ok(Bytes::new())
            }
        }))
    }

    /// Returns whether all of it has been read and translated.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// Returns what the upstream has counted so far, where its protocol says so before the end.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match &self.stage {
            Stage::Events(_, decoder) => counted(decoder.as_ref()),
            Stage::Plain | Stage::Whole(..) | Stage::Failed | Stage::Ended => self.counted,
        }
    }

    /// Translates what only the end of the body completes.
    fn end(&mut self) -> Option<Result<Bytes, Broken>> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Plain | Stage::Failed | Stage::Ended => None,
            Stage::Events(mut splitter, mut decoder) => {
                let mut out = Vec::new();
                let mut failed = false;
                splitter.finish(|name, event| {
                    failed |= name == Name::Garbage || decoder.event(event, &mut out).is_err();
                    Fate::Drop
                });
                decoder.end(&mut out);
                self.counted = counted(decoder.as_ref());
                let translated = if failed { Err(Broken) } else { Ok(out.into()) };
                Some(translated)
            }
            Stage::Whole(held, translate) => {
                Some(translate(&held).map(Bytes::from).map_err(|Garbled| Broken))
            }
        }
    }
}

fn counted(decoder: &dyn Decoder) -> Option<Usage> {
    let mut usage = Vec::new();
    decoder.write_usage(&mut usage);
    Usage::read(&usage)
}

/// Translates the events that a piece of a stream completes; returns whether it may go on.
fn decode(splitter: &mut Splitter, decoder: &mut dyn Decoder, data: &Bytes) -> (Bytes, bool) {
    let mut out = Vec::new();
    let split = splitter.push(data, |name, event| {
        if name == Name::Garbage {
            return Fate::Stop;
        }
        match decoder.event(event, &mut out) {
            Ok(()) => Fate::Pass,
            Err(Garbled) => Fate::Stop,
        }
    });
    // An event that is too long to be held was not seen, and what follows makes no sense without.
    let going = split.stopped_by.is_none() && !splitter.torn();
    (out.into(), going)
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Events(..) => "Events",
            Self::Whole(..) => "Whole",
            Self::Failed => "Failed",
            Self::Ended => "Ended",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::adapter::translate::{Chat, Heading, Reading};
    use crate::adapter::{self, Tongue};
    use crate::tap::{Grammar, Tap, Unwanted};

    fn chat(protocol: &str) -> &'static dyn Chat {
        let Tongue::Foreign(foreign) = adapter::find(protocol).unwrap().tongue else {
            panic!("`{protocol}` is not translated")
        };
        foreign.chat
    }

    fn heading() -> Heading {
        Heading {
            id: "chatcmpl-1".to_owned(),
            created: 1,
            model: "m".to_owned(),
            include_usage: true,
        }
    }

    fn decoder(protocol: &str) -> Box<dyn Decoder> {
        chat(protocol).decoder(heading(), Reading::default())
    }

    #[test]
    fn what_follows_garbage_is_not_translated_and_what_precedes_it_is() {
        let mut splitter = Splitter::default();
        let mut decoder = decoder("gemini");
        let stream = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n\n\
                      data: garbage\n\n";

        let (translated, going) = decode(&mut splitter, decoder.as_mut(), &stream.into());

        assert!(!going);
        let text = String::from_utf8(translated.to_vec()).unwrap();
        assert!(text.contains("\"content\":\"a\"") && text.ends_with("\n\n"));
    }

    #[test]
    fn a_picture_in_one_event_is_translated() {
        let (mut splitter, mut decoder) = (Splitter::holding(LARGEST_PIECE), decoder("gemini"));
        let picture = "A".repeat(9 * 1024 * 1024);
        let stream = format!(
            r#"data: {{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{picture}"}}}}]}}}}]}}"#
        );
        let mut length = 0;
        for piece in (stream + "\n\n").as_bytes().chunks(64 * 1024) {
            let piece = Bytes::copy_from_slice(piece);
            let (translated, going) = decode(&mut splitter, decoder.as_mut(), &piece);

            assert!(going);
            length += translated.len();
        }

        assert!(length > picture.len());
    }

    /// Prints what something costs, and fails where that is more than it may. The fastest of many
    /// rounds counts: the others were interrupted by what else the machine does.
    fn measure(name: &str, most: Duration, mut work: impl FnMut()) {
        const ROUNDS: u32 = 100;
        const TIMES: u32 = 1_000;
        let rounds = (0..ROUNDS).map(|_| {
            let begin = Instant::now();
            for _ in 0..TIMES {
                work();
            }
            begin.elapsed() / TIMES
        });
        let each = rounds.min().unwrap_or_default();
        println!("{name}: {each:?}");
        assert!(each <= most, "{name} costs {each:?}, more than {most:?}");
    }

    /// What a translated event costs on its way from the socket to the client: read, translated, and
    /// watched. `cargo test --release -p berry-relay costs -- --ignored --nocapture`
    #[test]
    #[ignore = "measures, in a release build"]
    fn an_event_costs_little() {
        for (protocol, event) in [
            (
                "claude",
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
                \"delta\":{\"type\":\"text_delta\",\"text\":\" a few words\"}}\n\n",
            ),
            (
                "gemini",
                "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \" a few words\"}],\
                \"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 9,\
                \"totalTokenCount\": 9},\"modelVersion\": \"gemini-2.5-flash\",\"responseId\": \"r\"}\r\n\r\n",
            ),
        ] {
            let mut decoder = decoder(protocol);
            let (mut foreign, mut ours) = (Splitter::default(), Splitter::default());
            let mut tap = Tap::new(Grammar::Choices, Unwanted::default());
            let event = Bytes::from(event);
            measure(protocol, Duration::from_micros(5), || {
                let (translated, _) = decode(&mut foreign, decoder.as_mut(), black_box(&event));
                let split = ours.push(&translated, |name, data| tap.observe(name, data));
                black_box(split.complete);
            });
        }
    }

    /// The same for whole answers of a KiB.
    #[test]
    #[ignore = "measures, in a release build"]
    fn an_answer_costs_little() {
        let text = "It is \\\"so\\\", said the model.\\n".repeat(28);
        for (protocol, answer) in [
            (
                "claude",
                format!(
                    r#"{{"id":"m","type":"message","role":"assistant","model":"claude","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","usage":{{"input_tokens":9,"output_tokens":9}}}}"#
                ),
            ),
            (
                "gemini",
                format!(
                    r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},"finishReason":"STOP","index":0}}],"usageMetadata":{{"promptTokenCount":9,"totalTokenCount":9}},"modelVersion":"gemini","responseId":"r"}}"#
                ),
            ),
        ] {
            assert!(answer.len() >= 1024, "{}", answer.len());
            let chat = chat(protocol);
            measure(protocol, Duration::from_micros(50), || {
                let answer = black_box(answer.as_bytes());
                let translated = chat.answer(answer, &heading(), Reading::default()).unwrap();
                let mut tap = Tap::new(Grammar::Choices, Unwanted::default());
                tap.observe_whole(&translated);
                assert!(tap.failure().is_none());
            });
        }
    }
}
