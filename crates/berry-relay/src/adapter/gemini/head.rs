//! What all objects of an answer begin and end with: id, time, model; and the usage.

use super::said::{CallIds, write};
use super::wire::{Answer, UsageMetadata, inner};
use crate::adapter::translate::{Garbled, Heading};

/// The members before `choices`, and the ids that come of them.
#[derive(Debug)]
pub(super) struct Head {
    /// From the opening brace to the comma before `choices`.
    pub(super) text: Vec<u8>,
    pub(super) ids: CallIds,
}

impl Head {
    /// Makes the head of an object of this kind, from what the answer says of itself and, where it
    /// says nothing, the heading.
    pub(super) fn of(
        answer: &Answer<'_>,
        heading: &Heading,
        object: &str,
    ) -> Result<Self, Garbled> {
        let id = answer.response_id.map(inner).transpose()?;
        let model = answer.model_version.map(inner).transpose()?;
        let mut text = br#"{"id":"#.to_vec();
        write_string(id, &heading.id, &mut text);
        let created = heading.created;
        write(
            &mut text,
            format_args!(r#","object":"{object}","created":{created},"model":"#),
        );
        write_string(model, &heading.model, &mut text);
        text.push(b',');
        Ok(Self {
            text,
            ids: CallIds::of(id.unwrap_or(&heading.id)),
        })
    }
}

/// Writes a string that is escaped already, or one that is not.
fn write_string(escaped: Option<&str>, otherwise: &str, out: &mut Vec<u8>) {
    if let Some(text) = escaped.filter(|text| !text.is_empty()) {
        write(out, format_args!("\"{text}\""));
    } else {
        // Writing into a Vec cannot fail.
        let _ = serde_json::to_writer(out, otherwise);
    }
}

impl UsageMetadata {
    /// Returns whether it counts anything: some events of a stream have none but other members.
    pub(super) fn counts(&self) -> bool {
        self.prompt.is_some()
    }

    /// Writes it in OpenAI's terms: thoughts are part of the completion, what Google's own tools
    /// said is part of the prompt.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let prompt = self.prompt.unwrap_or(0);
        let prompt = prompt.saturating_add(self.tool_use_prompt.unwrap_or(0));
        let thoughts = self.thoughts.unwrap_or(0);
        let total = self.total.unwrap_or(0);
        let rest = total.saturating_sub(prompt.saturating_add(thoughts));
        let completion = self.candidates.unwrap_or(rest).saturating_add(thoughts);
        let total = prompt.saturating_add(completion);
        let cached = self.cached_content.unwrap_or(0);
        write(
            out,
            format_args!(
                r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{cached}}},"completion_tokens_details":{{"reasoning_tokens":{thoughts}}}}}"#
            ),
        );
    }
}
