//! What a candidate says, written as the members of OpenAI's message or delta.

use smallvec::SmallVec;

use super::wire::{Blob, Candidate, FinishReason, FunctionCall, Logprob, LogprobsResult, inner};
use crate::adapter::translate::Garbled;

/// OpenAI's stand-in for a probability of nothing.
const IMPOSSIBLE: &str = "-9999.0";

/// Texts as they are written in JSON, without their quotes; joined they are one.
type Texts<'a> = SmallVec<[&'a str; 2]>;

/// A call and the signature of the thought that led to it.
type SignedCall<'a> = (&'a FunctionCall<'a>, Option<&'a str>);

/// The parts of a candidate, sorted by what they are in OpenAI's protocol.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    reasoning: Texts<'a>,
    content: Texts<'a>,
    images: SmallVec<[&'a Blob<'a>; 1]>,
    calls: SmallVec<[SignedCall<'a>; 1]>,
    /// The signature of the text.
    signature: Option<&'a str>,
    logprobs: Option<&'a LogprobsResult<'a>>,
}

impl<'a> Said<'a> {
    /// Sorts a candidate's parts. Those of tools that Google itself runs are never asked for, and
    /// passed over.
    pub(super) fn of(candidate: &'a Candidate<'a>) -> Result<Self, Garbled> {
        let mut said = Self {
            logprobs: candidate.logprobs_result.as_ref(),
            ..Self::default()
        };
        let content = candidate.content.as_ref();
        for part in content
            .and_then(|content| content.parts.as_ref())
            .into_iter()
            .flatten()
        {
            let signature = part.thought_signature.map(inner).transpose()?;
            if let Some(call) = &part.function_call {
                said.calls.push((call, signature));
                continue;
            }
            said.signature = signature.or(said.signature);
            if let Some(text) = part.text.map(inner).transpose()? {
                let texts = if part.thought {
                    &mut said.reasoning
                } else {
                    &mut said.content
                };
                texts.push(text);
            }
            said.images.extend(part.inline_data.as_ref());
        }
        Ok(said)
    }

    /// Returns the number of calls.
    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Returns the number of images.
    pub(super) fn images(&self) -> usize {
        self.images.len()
    }

    /// Returns the signature of what is no call, as it is written.
    pub(super) fn signature(&self) -> Option<&'a str> {
        self.signature
    }

    /// Returns whether there are probabilities of tokens.
    pub(super) fn has_logprobs(&self) -> bool {
        self.logprobs.is_some()
    }

    /// Returns whether there are thoughts.
    pub(super) fn has_reasoning(&self) -> bool {
        !is_silent(&self.reasoning)
    }

    /// Returns whether there is nothing but thoughts, and perhaps a signature.
    pub(super) fn is_silent(&self) -> bool {
        is_silent(&self.content)
            && self.images.is_empty()
            && self.calls.is_empty()
            && self.logprobs.is_none()
    }

    /// Writes the members of a message that follow its role.
    pub(super) fn write_message(
        &self,
        ids: CallIds,
        index: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), Garbled> {
        key(out, "content");
        if self.content.is_empty() {
            out.extend(b"null");
        } else {
            write_joined(&self.content, out);
        }
        key(out, "refusal");
        out.extend(b"null");
        self.write_reasoning(out);
        self.write_rest(
            &Numbering {
                ids,
                index,
                from: None,
            },
            out,
        )?;
        if let Some(signature) = self.signature {
            write_signature(signature, out);
        }
        Ok(())
    }

    /// Writes the members of a delta, but for its thoughts and its signature; its calls and images
    /// count from those that came before.
    pub(super) fn write_delta(
        &self,
        ids: CallIds,
        index: u32,
        before: Before,
        out: &mut Vec<u8>,
    ) -> Result<(), Garbled> {
        if !is_silent(&self.content) {
            key(out, "content");
            write_joined(&self.content, out);
        }
        self.write_rest(
            &Numbering {
                ids,
                index,
                from: Some(before),
            },
            out,
        )
    }

    /// Writes the thoughts, where there are any.
    pub(super) fn write_reasoning(&self, out: &mut Vec<u8>) {
        if self.has_reasoning() {
            key(out, "reasoning_content");
            write_joined(&self.reasoning, out);
        }
    }

    fn write_rest(&self, numbering: &Numbering, out: &mut Vec<u8>) -> Result<(), Garbled> {
        if !self.images.is_empty() {
            key(out, "images");
            out.push(b'[');
            for (i, image) in self.images.iter().enumerate() {
                comma(i, out);
                numbering.write_image(i, image, out)?;
            }
            out.push(b']');
        }
        if !self.calls.is_empty() {
            key(out, "tool_calls");
            out.push(b'[');
            for (i, &(call, signature)) in self.calls.iter().enumerate() {
                comma(i, out);
                numbering.write_call(i, call, signature, out)?;
            }
            out.push(b']');
        }
        Ok(())
    }

    /// Writes the choice's member `logprobs`, after a comma, where there are any.
    pub(super) fn write_logprobs(&self, out: &mut Vec<u8>) -> Result<(), Garbled> {
        let Some(result) = self.logprobs else {
            return Ok(());
        };
        key(out, "logprobs");
        out.extend(br#"{"content":["#);
        for (i, chosen) in result.chosen_candidates.iter().enumerate() {
            comma(i, out);
            write_logprob(chosen, out)?;
            out.extend(br#","top_logprobs":["#);
            let top = result.top_candidates.get(i).map(|top| &top.candidates);
            for (j, candidate) in top.into_iter().flatten().enumerate() {
                comma(j, out);
                write_logprob(candidate, out)?;
                out.push(b'}');
            }
            out.extend(b"]}");
        }
        out.extend(br#"],"refusal":null}"#);
        Ok(())
    }
}

/// Returns OpenAI's name for the end, once there is one; a failure has none.
pub(super) fn finish_reason(reason: FinishReason, called: bool) -> Option<&'static str> {
    match reason {
        FinishReason::Stop if called => Some("tool_calls"),
        FinishReason::Stop => Some("stop"),
        FinishReason::Length => Some("length"),
        FinishReason::Filtered => Some("content_filter"),
        FinishReason::Unspecified | FinishReason::Failed(_) => None,
    }
}

/// Makes ids for calls that come without one: the same for the same answer.
///
/// OpenAI takes ids of at most 40 characters, and may be the one that answers next; so an answer's
/// own id, of any length, is hashed into them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CallIds(u64);

impl CallIds {
    pub(super) fn of(answer: &str) -> Self {
        // FNV-1a: short, and the same in every build.
        let hash = answer
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        Self(hash)
    }
}

/// What earlier deltas of a choice had.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) calls: usize,
    pub(super) images: usize,
}

/// How the calls and the images of a choice are told apart.
struct Numbering {
    ids: CallIds,
    /// The choice's index.
    index: u32,
    /// What the first ones of a delta count from. OpenAI's SDKs join the items of all deltas by
    /// their indexes, and fail where there are none.
    from: Option<Before>,
}

impl Numbering {
    fn write_call(
        &self,
        i: usize,
        call: &FunctionCall<'_>,
        signature: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<(), Garbled> {
        let name = call.name.filter(|_| !call.will_continue);
        let name = inner(name.ok_or(Garbled)?)?;
        let number = i + self.from.map_or(0, |before| before.calls);
        out.push(b'{');
        if self.from.is_some() {
            write(out, format_args!(r#""index":{number},"#));
        }
        match call.id.map(inner).transpose()? {
            Some(id) if !id.is_empty() => write(out, format_args!(r#""id":"{id}""#)),
            _ => {
                let (ids, index) = (self.ids.0, self.index);
                write(
                    out,
                    format_args!(r#""id":"call_{ids:016x}_{index}_{number}""#),
                );
            }
        }
        out.extend(br#","type":"function","function":{"name":""#);
        out.extend(name.as_bytes());
        out.extend(br#"","arguments":"#);
        write_as_string(call.args.map_or("{}", |args| args.get()), out);
        out.push(b'}');
        if let Some(signature) = signature {
            write_signature(signature, out);
        }
        out.push(b'}');
        Ok(())
    }

    fn write_image(&self, i: usize, image: &Blob<'_>, out: &mut Vec<u8>) -> Result<(), Garbled> {
        let (media, data) = (inner(image.mime_type)?, inner(image.data)?);
        out.push(b'{');
        if let Some(before) = self.from {
            write(out, format_args!(r#""index":{},"#, i + before.images));
        }
        out.extend(br#""type":"image_url","image_url":{"url":"data:"#);
        out.extend(media.as_bytes());
        out.extend(b";base64,");
        out.extend(data.as_bytes());
        out.extend(br#""}}"#);
        Ok(())
    }
}

/// Writes a token and its probability, and leaves the object open.
fn write_logprob(logprob: &Logprob<'_>, out: &mut Vec<u8>) -> Result<(), Garbled> {
    let token = logprob.token.map(inner).transpose()?.unwrap_or_default();
    // Infinity is written as a string.
    let value = logprob.log_probability.map_or("0", |value| value.get());
    let value = if value.starts_with('"') {
        IMPOSSIBLE
    } else {
        value
    };
    write(
        out,
        format_args!(r#"{{"token":"{token}","logprob":{value},"bytes":null"#),
    );
    Ok(())
}

/// Writes the member that brings a signature back, where Google's own OpenAI endpoint has it.
pub(super) fn write_signature(signature: &str, out: &mut Vec<u8>) {
    key(out, "extra_content");
    out.extend(br#"{"google":{"thought_signature":""#);
    out.extend(signature.as_bytes());
    out.extend(br#""}}"#);
}

fn is_silent(texts: &[&str]) -> bool {
    texts.iter().all(|text| text.is_empty())
}

fn write_joined(texts: &[&str], out: &mut Vec<u8>) {
    out.push(b'"');
    for text in texts {
        out.extend(text.as_bytes());
    }
    out.push(b'"');
}

/// Writes a JSON text as a JSON string, without its white space.
///
/// Well-formed JSON has no bytes that a string must escape but quotes and backslashes.
fn write_as_string(json: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json.as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => continue,
            b'"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Begins a member of the object that `out` ends in.
fn key(out: &mut Vec<u8>, key: &str) {
    comma(usize::from(out.last() != Some(&b'{')), out);
    write(out, format_args!("\"{key}\":"));
}

fn comma(i: usize, out: &mut Vec<u8>) {
    if i > 0 {
        out.push(b',');
    }
}

/// Appends formatted text.
pub(super) fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    // Writing into a Vec cannot fail.
    let _ = out.write_fmt(text);
}
