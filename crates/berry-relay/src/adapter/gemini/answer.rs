//! A whole answer.

use super::error;
use super::head::Head;
use super::said::{Said, finish_reason, write};
use super::wire::{Answer, Candidate, FinishReason};
use crate::adapter::translate::{Garbled, Heading};

/// Translates a whole answer.
///
/// An error in it, and a generation that failed, become OpenAI's error object, which whoever reads
/// on takes for the failure that it is.
pub(super) fn translate(body: &[u8], heading: &Heading) -> Result<Vec<u8>, Garbled> {
    let answer = Answer::read(body)?;
    if let Some(status) = answer.error {
        let mut out = Vec::new();
        error::write(status.get(), &mut out);
        return Ok(out);
    }
    let mut out = Vec::with_capacity(body.len() + 512);
    let head = Head::of(&answer, heading, "chat.completion")?;
    out.extend(&head.text);
    out.extend(br#""choices":["#);
    match answer.candidates.as_deref().unwrap_or_default() {
        [] if answer.is_blocked() => out.extend(
            br#"{"index":0,"message":{"role":"assistant","content":null,"refusal":null},"logprobs":null,"finish_reason":"content_filter"}"#,
        ),
        [] => return Err(Garbled),
        candidates => {
            for (i, candidate) in candidates.iter().enumerate() {
                if let Some(FinishReason::Failed(failure)) = candidate.finish_reason {
                    let mut out = Vec::new();
                    error::write_failure(failure, &mut out);
                    return Ok(out);
                }
                if i > 0 {
                    out.push(b',');
                }
                write_choice(candidate, &head, &mut out)?;
            }
        }
    }
    out.push(b']');
    if let Some(Ok(usage)) = answer.usage_metadata
        && usage.counts()
    {
        out.extend(br#","usage":"#);
        usage.write(&mut out);
    }
    out.push(b'}');
    Ok(out)
}

fn write_choice(candidate: &Candidate<'_>, head: &Head, out: &mut Vec<u8>) -> Result<(), Garbled> {
    let said = Said::of(candidate)?;
    let reason = candidate.finish_reason.ok_or(Garbled)?;
    let reason = finish_reason(reason, said.calls() > 0).ok_or(Garbled)?;
    let index = candidate.index;
    write(
        out,
        format_args!(r#"{{"index":{index},"message":{{"role":"assistant""#),
    );
    said.write_message(head.ids, index, out)?;
    out.push(b'}');
    if said.has_logprobs() {
        said.write_logprobs(out)?;
    } else {
        out.extend(br#","logprobs":null"#);
    }
    write(out, format_args!(r#","finish_reason":"{reason}"}}"#));
    Ok(())
}
