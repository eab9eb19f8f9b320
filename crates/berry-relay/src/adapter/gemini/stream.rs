//! A stream: events with the next parts of each candidate.
//!
//! Each event becomes, for each candidate, a chunk of what it thinks, a chunk of what it says and a
//! chunk for its end: many clients look at one of these only. Calls come whole. The signature of what
//! is no call comes once, before the end, because OpenAI's SDKs would join several into one that is
//! none. Usage comes with every event and grows; the last one counts. Gemini marks no last event: once
//! every candidate has its finish reason, the end of the body is the end.

use super::error;
use super::head::Head;
use super::said::{Before, Said, finish_reason, write, write_signature};
use super::wire::{Answer, Candidate, Failure, FinishReason, UsageMetadata};
use crate::adapter::translate::{Decoder, Garbled, Heading};

/// Where a candidate stands.
#[derive(Debug)]
struct Choice {
    index: u32,
    /// What it has called and shown.
    before: Before,
    /// The last signature of what is no call.
    signature: Option<Box<str>>,
    begun: bool,
    ended: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Stream {
    heading: Heading,
    /// Made of the first event.
    head: Option<Head>,
    choices: Vec<Choice>,
    usage: Option<UsageMetadata>,
    /// Nothing more is said: an error has come, or the end.
    closed: bool,
}

impl Stream {
    pub(super) fn new(heading: Heading) -> Self {
        Self {
            heading,
            head: None,
            choices: Vec::new(),
            usage: None,
            closed: false,
        }
    }
}

impl Stream {
    /// Appends what the event becomes; after a failure, perhaps a part of it.
    fn translate(&mut self, event: &Answer<'_>, out: &mut Vec<u8>) -> Result<(), Garbled> {
        if let Some(status) = event.error {
            self.closed = true;
            write_error(out, |out| error::write(status.get(), out));
            return Ok(());
        }
        match event.usage_metadata {
            Some(Ok(usage)) if usage.counts() => self.usage = Some(usage),
            // What was counted by then is not all.
            Some(Err(Garbled)) => self.usage = None,
            Some(Ok(_)) | None => {}
        }
        let head = match self.head.take() {
            Some(head) => head,
            None => Head::of(event, &self.heading, "chat.completion.chunk")?,
        };
        let mut writer = Writer {
            head: self.head.insert(head),
            usage: if self.heading.include_usage {
                r#","usage":null"#
            } else {
                ""
            },
            out,
        };
        let candidates = event.candidates.as_deref().unwrap_or_default();
        if candidates.is_empty() && event.is_blocked() {
            choice(&mut self.choices, 0).end("content_filter", &mut writer);
        }
        for candidate in candidates {
            let choice = choice(&mut self.choices, candidate.index);
            if let Some(failure) = choice.take(candidate, &mut writer)? {
                self.closed = true;
                write_error(writer.out, |out| error::write_failure(failure, out));
                break;
            }
        }
        Ok(())
    }
}

impl Decoder for Stream {
    fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Garbled> {
        // Some proxies put OpenAI's last event after Gemini's.
        if self.closed || data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let before = out.len();
        self.translate(&Answer::read(data)?, out)
            .inspect_err(|_| out.truncate(before))
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let ended = !self.choices.is_empty() && self.choices.iter().all(|choice| choice.ended);
        if self.closed || !ended {
            return;
        }
        self.closed = true;
        let usage = self.usage.filter(|_| self.heading.include_usage);
        if let (Some(usage), Some(head)) = (usage, &self.head) {
            out.extend(b"data: ");
            out.extend(&head.text);
            out.extend(br#""choices":[],"usage":"#);
            usage.write(out);
            out.extend(b"}\n\n");
        }
        out.extend(b"data: [DONE]\n\n");
    }

    fn write_usage(&self, out: &mut Vec<u8>) {
        if let Some(usage) = &self.usage {
            usage.write(out);
        }
    }
}

/// Returns the choice with this index, new where nothing of it has come yet.
fn choice(choices: &mut Vec<Choice>, index: u32) -> &mut Choice {
    let known = choices.iter().position(|choice| choice.index == index);
    let at = known.unwrap_or(choices.len());
    if known.is_none() {
        choices.push(Choice {
            index,
            before: Before::default(),
            signature: None,
            begun: false,
            ended: false,
        });
    }
    &mut choices[at]
}

impl Choice {
    /// Takes what an event says of it; returns how its generation failed, where it did.
    fn take(
        &mut self,
        candidate: &Candidate<'_>,
        writer: &mut Writer<'_>,
    ) -> Result<Option<Failure>, Garbled> {
        if self.ended {
            return Ok(None);
        }
        let said = Said::of(candidate)?;
        if said.has_reasoning() {
            self.open(writer);
            said.write_reasoning(writer.out);
            writer.out.push(b'}');
            writer.close("null");
        }
        if !said.is_silent() {
            self.open(writer);
            said.write_delta(writer.head.ids, self.index, self.before, writer.out)?;
            writer.out.push(b'}');
            said.write_logprobs(writer.out)?;
            writer.close("null");
            self.before.calls += said.calls();
            self.before.images += said.images();
        }
        if let Some(signature) = said.signature() {
            self.signature = Some(signature.into());
        }
        match candidate.finish_reason {
            Some(FinishReason::Failed(failure)) => Ok(Some(failure)),
            Some(reason) => {
                if let Some(reason) = finish_reason(reason, self.before.calls > 0) {
                    self.end(reason, writer);
                }
                Ok(None)
            }
            None => Ok(None),
        }
    }

    fn end(&mut self, reason: &str, writer: &mut Writer<'_>) {
        if let Some(signature) = self.signature.take() {
            self.open(writer);
            write_signature(&signature, writer.out);
            writer.out.push(b'}');
            writer.close("null");
        }
        self.open(writer);
        writer.out.push(b'}');
        writer.close(&format!("\"{reason}\""));
        self.ended = true;
    }

    /// Begins a chunk, up to the members of its delta; the first carries the role.
    fn open(&mut self, writer: &mut Writer<'_>) {
        writer.out.extend(b"data: ");
        writer.out.extend(&writer.head.text);
        let index = self.index;
        let role = if self.begun {
            ""
        } else {
            r#""role":"assistant""#
        };
        self.begun = true;
        write(
            writer.out,
            format_args!(r#""choices":[{{"index":{index},"delta":{{{role}"#),
        );
    }
}

/// Writes an error, which is the last thing said.
fn write_error(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend(b"data: ");
    write(out);
    out.extend(b"\n\n");
}

/// Where chunks are written, and what they share.
struct Writer<'a> {
    head: &'a Head,
    /// The member that says that the usage comes later.
    usage: &'static str,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Ends a chunk after its delta.
    fn close(&mut self, reason: &str) {
        let usage = self.usage;
        write(
            self.out,
            format_args!(",\"finish_reason\":{reason}}}]{usage}}}\n\n"),
        );
    }
}
