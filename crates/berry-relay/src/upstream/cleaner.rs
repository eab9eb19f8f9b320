//! Hides what is not for clients in an answer that passes piece by piece.
//!
//! What is known to report an error, or is not what was asked for, is cleaned where it stands. Of what
//! is too long to be held nobody knows yet what it is: until it says that it tells of an error, only
//! what nobody writes by chance is hidden in it. A secret may be cut there, so the end of each piece
//! is kept back until more has come.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::scrub::{Scrub, Suspicion, without};
use crate::sse::Split;
use crate::tap::tells_of_error;

/// How much is kept back: the longest keys, each of their characters behind two escapes.
const KEPT_BACK: usize = 8 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Cleaner {
    scrub: Arc<Scrub>,
    /// The end of what has come of a line that goes on.
    kept: Bytes,
    /// What goes on has told of an error.
    is_error: bool,
}

impl Cleaner {
    /// Makes a cleaner for one answer.
    pub(crate) fn new(scrub: &Arc<Scrub>) -> Self {
        Self {
            scrub: Arc::clone(scrub),
            kept: Bytes::new(),
            is_error: false,
        }
    }

    /// Returns a whole answer that tells of an error without what is not for clients.
    pub(crate) fn clean(&self, text: Bytes) -> Bytes {
        self.scrub.clean(text)
    }

    /// Returns what may go on of a piece of an answer that is one long line; the rest comes with the
    /// next.
    pub(crate) fn pass_part(&mut self, piece: Bytes) -> Bytes {
        let length = piece.len();
        let mut split = Split {
            complete: piece,
            open: Some(length),
            ..Split::default()
        };
        split.long.push(0..length);
        self.pass(split)
    }

    /// Returns the rest of an answer that is one long line.
    pub(crate) fn pass_rest(&mut self) -> Bytes {
        let mut split = Split::default();
        split.long.push(0..0);
        self.pass(split)
    }

    /// Returns what may go on of a stream; the rest comes with the next piece.
    pub(crate) fn pass(&mut self, split: Split) -> Bytes {
        if self.kept.is_empty() && split.long.is_empty() {
            return self.scrub.clean_parts(split.complete, &split.unclean);
        }
        self.pass_long(split)
    }

    fn pass_long(&mut self, split: Split) -> Bytes {
        if split.complete.is_empty() && split.long.is_empty() {
            return Bytes::new();
        }
        let before = self.kept.len();
        let text: Bytes = match before {
            0 => split.complete,
            _ => [std::mem::take(&mut self.kept), split.complete]
                .concat()
                .into(),
        };
        // What was kept is the beginning of what comes first.
        let moved = |part: &Range<usize>| match part.start {
            0 => 0..part.end + before,
            start => start + before..part.end + before,
        };
        let mut found = Vec::new();
        for part in &split.unclean {
            found.extend(self.scrub.find_in(&text, moved(part), Suspicion::Grave));
        }
        for part in &split.long {
            let part = moved(part);
            self.is_error |= tells_of_error(text.get(part.clone()).unwrap_or_default());
            let suspicion = if self.is_error {
                Suspicion::Grave
            } else {
                Suspicion::Slight
            };
            let goes_on = split.open.is_some() && part.end == text.len();
            self.is_error &= goes_on;
            found.extend(self.scrub.find_in(&text, part, suspicion));
        }
        let open = split.open.map_or(0, |open| {
            // What was kept belongs to the same line, unless that has ended since.
            if open + before == text.len() {
                text.len()
            } else {
                open
            }
        });
        let end = end_of_secret(&mut found, text.len() - open.min(KEPT_BACK));
        self.kept = text.slice(end..);
        if found.is_empty() {
            return text.slice(..end);
        }
        without(&text[..end], found).into()
    }
}

/// Returns where a text may be cut, at `end` or behind the secret there; forgets what lies behind.
fn end_of_secret(found: &mut Vec<Range<usize>>, mut end: usize) -> usize {
    found.sort_by_key(|place| place.start);
    for place in &*found {
        if place.start < end {
            end = end.max(place.end);
        }
    }
    found.retain(|place| place.start < end);
    end
}

#[cfg(test)]
mod tests {
    use berry_core::Source;

    use super::*;
    use crate::snapshot::Names;
    use crate::sse::{Fate, MAX_EVENT, Splitter};

    const KEY: &str = "sk-live/0123456789abcdef";

    fn cleaner() -> Cleaner {
        let config = format!(
            "[providers.p]\nbase_url = \"http://vm/\"\napi_key = \"{KEY}\"\n\
             headers = {{ X-Region = \"region-1\" }}"
        );
        let source = Source::new("test.toml", config);
        let loaded = Names::collect().parse(&source, &|_| None).unwrap();
        Cleaner::new(&Arc::new(Scrub::of(&loaded.config.providers[0], None)))
    }

    /// What a client gets of a stream that comes in frames of this size.
    fn passed(stream: &str, size: usize) -> String {
        let (mut splitter, mut cleaner) = (Splitter::default(), cleaner());
        let mut passed = Vec::new();
        let observe = |event: &[u8]| {
            if tells_of_error(event) {
                Fate::Clean
            } else {
                Fate::Pass
            }
        };
        for frame in stream.as_bytes().chunks(size) {
            let split = splitter.push(&Bytes::copy_from_slice(frame), observe);
            passed.extend(cleaner.pass(split));
        }
        passed.extend(cleaner.pass(splitter.finish(observe)));
        String::from_utf8(passed).unwrap()
    }

    #[test]
    fn a_key_in_a_long_event_is_hidden_wherever_the_event_is_cut() {
        let escaped = KEY.replace('/', r"\u002f");
        for key in [KEY, &escaped] {
            for before in (MAX_EVENT - 80..MAX_EVENT + 20).step_by(23) {
                let (left, right) = ("x".repeat(before), "y".repeat(20_000));
                let stream = format!("data: {{\"a\":\"{left}{key}{right}{key}\"}}\n\n: {key}\n\n");
                let expected = stream.replace(key, "***");
                for size in [16_000, MAX_EVENT + 1] {
                    assert!(passed(&stream, size) == expected, "{before} {size} {key}");
                }
            }
        }
    }

    #[test]
    fn a_long_event_that_was_asked_for_passes_whole() {
        let picture = r"QmVyc//vm/nkgQVBJ".repeat(1 << 16);
        let event = format!("data: {{\"b64_json\":\"{picture}\",\"note\":\"region-1\"}}\n\n");
        let stream = format!("{event}data: [DONE]\n\n");
        for size in [8_000, MAX_EVENT * 3, stream.len()] {
            assert!(passed(&stream, size) == stream, "{size}");
        }
    }

    #[test]
    fn once_a_long_event_tells_of_an_error_all_is_hidden_in_it_and_nothing_behind_it() {
        let long = "x".repeat(MAX_EVENT);
        for (head, tail) in [
            ("data: {\"error\": {\"message\":\"", "\"}}"),
            ("event: error\ndata: {\"message\":\"", "\"}"),
            (
                "data: {\"message\":\"\ndata: \",\"error\": {\"a\":\"",
                "\"}}",
            ),
        ] {
            for long in [long.clone(), long.repeat(3)] {
                let stream = format!("{head}{long} of region-1{tail}\n\ndata: \"of region-1\"\n\n");
                let expected = stream.replacen("region-1", "***", 1);
                for size in [16_000, MAX_EVENT + 1] {
                    assert!(passed(&stream, size) == expected, "{head} {size}");
                }
            }
        }
    }

    #[test]
    fn a_key_in_a_line_without_data_is_hidden_however_long_the_line_is() {
        for name in [":", "id:", "event:", "unknown:", "dat"] {
            for before in [MAX_EVENT / 2, MAX_EVENT - 10, MAX_EVENT * 2] {
                let left = "x".repeat(before);
                let stream = format!("{name} {left}{KEY}{left}\ndata: a\n\n");
                for size in [1_000, MAX_EVENT - 1, MAX_EVENT + 1, stream.len()] {
                    let passed = passed(&stream, size);

                    assert!(!passed.contains("0123456789"), "{name} {before} {size}");
                    assert!(passed.ends_with("\ndata: a\n\n"), "{name} {before} {size}");
                }
            }
        }
    }

    #[test]
    fn a_long_answer_without_events_passes_in_parts() {
        let text = format!(
            "{{\"a\":\"{}{KEY}{}\"}}",
            "x".repeat(20_000),
            "y".repeat(20_000)
        );
        for size in [150, 1_000, text.len()] {
            let mut cleaner = cleaner();
            let mut passed = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                passed.extend(cleaner.pass_part(Bytes::copy_from_slice(piece)));
                assert!(cleaner.kept.len() <= KEPT_BACK);
            }
            passed.extend(cleaner.pass_rest());

            assert!(passed == text.replace(KEY, "***").as_bytes(), "{size}");
        }
    }
}
