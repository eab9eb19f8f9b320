//! How much an answer says, for where nobody counts its tokens.
//!
//! Text is told by the member it stands in: pictures, sound, ids and encrypted thoughts are long too,
//! and their bytes are no tokens. Thoughts come under several names, and from some upstreams under two
//! of them at once: the longest counts.

use memchr::{memchr, memchr2};

use crate::json;

/// Bytes of JSON for each token, as English text has it.
const BYTES_PER_TOKEN: u64 = 4;

/// Bytes of text so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Text {
    said: u64,
    /// As `reasoning_content`, as `reasoning`, and as parts of either, which have their `text`.
    thought: [u64; 3],
}

/// What a string is, by the member that it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Said,
    /// By one of the names of thoughts.
    Thought(usize),
}

impl Part {
    /// Returns what a string in a member with this key is; none where it is no text.
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"content" | b"refusal" | b"arguments" | b"transcript" => Self::Said,
            b"reasoning_content" => Self::Thought(0),
            b"reasoning" => Self::Thought(1),
            b"text" => Self::Thought(2),
            _ => return None,
        })
    }
}

impl Text {
    /// Adds a string of so many bytes.
    pub(super) fn add(&mut self, part: Part, bytes: usize) {
        let sum = match part {
            Part::Said => Some(&mut self.said),
            Part::Thought(name) => self.thought.get_mut(name),
        };
        if let Some(sum) = sum {
            *sum += bytes as u64;
        }
    }

    /// Adds what is in the strings of a value, however deep they are.
    pub(super) fn add_strings(&mut self, value: &[u8]) {
        strings(value, |key, string| {
            if let Some(part) = Part::of(key) {
                self.add(part, string.len());
            }
        });
    }

    /// Adds what is between the index and the finish reason of a choice, in less time where it is what
    /// nearly all upstreams write.
    pub(super) fn add_middle(&mut self, middle: &[u8]) {
        if self.add_usual(middle).is_none() {
            self.add_strings(middle);
        }
    }

    fn add_usual(&mut self, middle: &[u8]) -> Option<()> {
        let delta = middle.strip_prefix(b"\"delta\":{")?;
        let role = b"\"role\":\"assistant\",";
        let delta = delta.strip_prefix(role).unwrap_or(delta);
        let (part, text) = match delta.strip_prefix(b"\"content\":\"") {
            Some(text) => (Part::Said, text),
            None => (
                Part::Thought(0),
                delta.strip_prefix(b"\"reasoning_content\":\"")?,
            ),
        };
        let text = text.strip_suffix(b"\"logprobs\":null,").unwrap_or(text);
        // What other members the delta may have besides is short.
        let text = text.strip_suffix(b"\"},")?;
        let text = text
            .strip_suffix(b"\",\"role\":\"assistant")
            .unwrap_or(text);
        self.add(part, text.len());
        Some(())
    }

    /// Adds what a whole answer says: choices, the items of a response, or what was heard.
    pub(super) fn add_answer(&mut self, body: &[u8]) {
        // That it is one object was checked.
        let _ = json::members(body, |member| {
            let value = &body[member.value];
            match &body[member.key] {
                b"choices" | b"output" => self.add_strings(value),
                b"text" => self.add_piece(value),
                _ => {}
            }
        });
    }

    /// Adds a piece of text: a JSON string.
    pub(super) fn add_piece(&mut self, string: &[u8]) {
        self.add(Part::Said, string.len().saturating_sub(2));
    }

    /// Returns this and another's.
    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.said += other.said;
        for (sum, more) in self.thought.iter_mut().zip(other.thought) {
            *sum += more;
        }
        self
    }

    /// Returns about how many tokens that is.
    pub(crate) fn tokens(&self) -> u64 {
        let thought = self.thought.into_iter().max().unwrap_or_default();
        (self.said + thought).div_ceil(BYTES_PER_TOKEN)
    }
}

/// Hands each string in a JSON value to `visit`, without its quotes, with the key it stands under: in an
/// array, that of the array.
fn strings<'a>(value: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8])) {
    let (mut rest, mut key): (_, &[u8]) = (value, b"");
    while let Some(at) = memchr(b'"', rest)
        && let Some(end) = rest.get(at + 1..).and_then(end_of_string)
    {
        let string = &rest[at + 1..][..end];
        rest = &rest[at + end + 2..];
        if rest.trim_ascii_start().starts_with(b":") {
            key = string;
        } else {
            visit(key, string);
        }
    }
}

/// Returns where the string ends whose quote is before the text.
fn end_of_string(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_with_their_keys_however_deep_they_are() {
        let text = r#"{"a" : "x","b":["y",{"c":"\"}:"}, 1, "z"],"d":null,"":"","#;
        let mut found = Vec::new();

        strings(text.as_bytes(), |key, string| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
            found.push(format!("{}={}", text(key), text(string)));
        });

        assert_eq!(found, ["a=x", "b=y", r#"c=\"}:"#, "c=z", "="]);
    }

    #[test]
    fn text_counts_once_and_nothing_else_does() {
        let data = "A".repeat(4_000);
        for (value, expected) in [
            (r#"[{"index":0,"delta":{"content":"12345678"},"finish_reason":null}]"#.to_owned(), 2),
            (r#"[{"index":0,"delta":{"content":null,"reasoning_content":"12345"}}]"#.to_owned(), 2),
            (r#"[{"index":0,"delta":{"reasoning":"1234","reasoning_content":"1234","reasoning_details":[{"type":"reasoning.text","text":"1234"}]}}]"#.to_owned(), 1),
            (r#"[{"delta":{"content":"1234"},"logprobs":{"content":[{"token":"1234","bytes":[49],"top_logprobs":[{"token":"1234"}]}]}}]"#.to_owned(), 1),
            (r#"[{"delta":{"tool_calls":[{"index":0,"id":"call_1234567890","function":{"name":"f","arguments":"{\"a\":12}"}}]}}]"#.to_owned(), 3),
            (r#"[{"text":"12345678","index":0}]"#.to_owned(), 2),
            (r#"[{"message":{"content":[{"type":"text","text":"1234"}],"refusal":"1234"}}]"#.to_owned(), 2),
            (format!(r#"[{{"message":{{"audio":{{"data":"{data}","transcript":"1234"}},"images":[{{"image_url":{{"url":"{data}"}}}}]}}}}]"#), 1),
            (format!(r#"[{{"type":"reasoning","encrypted_content":"{data}"}},{{"content":[{{"type":"output_text","text":"1234"}}]}}]"#), 1),
            ("[]".to_owned(), 0),
            ("null".to_owned(), 0),
        ] {
            let mut text = Text::default();

            text.add_strings(value.as_bytes());

            assert_eq!(text.tokens(), expected, "{value}");
        }
    }

    #[test]
    fn the_usual_middle_of_a_choice_takes_the_short_way() {
        for (delta, is_usual) in [
            (r#""content":"a\"b""#, true),
            (r#""role":"assistant","content":"a""#, true),
            (r#""content":"a","role":"assistant""#, true),
            (r#""reasoning_content":"a""#, true),
            (r#""content":"a","reasoning_content":null"#, false),
            (r#""content":null,"reasoning_content":"a""#, false),
            (r#""tool_calls":[{"function":{"arguments":"a"}}]"#, false),
        ] {
            for rest in ["", r#""logprobs":null,"#] {
                let middle = format!(r#""delta":{{{delta}}},{rest}"#);
                let (mut text, mut short) = (Text::default(), Text::default());

                text.add_strings(middle.as_bytes());

                assert_eq!(
                    short.add_usual(middle.as_bytes()).is_some(),
                    is_usual,
                    "{middle}"
                );
                if is_usual {
                    assert_eq!(short, text, "{middle}");
                }
            }
        }
    }
}
