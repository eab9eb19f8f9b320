//! What the simulated model says, and its two forms: a JSON completion and a stream of events.

use bytes::Bytes;
use serde_json::{Value, json};

use super::CREATED;
use super::error::ApiError;
use super::events::EventWriter;
use super::message::Prompt;
use super::request::ChatRequest;
use super::tool::{self, ToolCall};
use crate::reply::Arrival;

/// A completion, in the pieces in which it is streamed.
#[derive(Debug)]
pub(crate) struct Completion {
    content: Content,
    prompt_tokens: usize,
}

/// What a model says.
#[derive(Debug)]
pub(crate) enum Content {
    /// A text, in pieces.
    Text(Vec<String>),
    /// A call of a tool.
    Call(ToolCall),
}

impl Content {
    /// Decides what the model `name` says: a tool's result, a call of the tool, an object that fits
    /// the schema, or a greeting. `pieces` fixes the number of pieces of a text.
    pub(crate) fn decide(
        name: &str,
        prompt: Prompt,
        tool: Option<&Value>,
        schema: &Value,
        pieces: Option<usize>,
    ) -> Self {
        let text = match prompt {
            Prompt::ToolResult(result) => format!("{name} asked its tool, which said: {result}"),
            Prompt::User(said) => {
                if let Some(call) = tool.and_then(ToolCall::of) {
                    return Self::Call(call);
                }
                if schema.is_object() {
                    return Self::Text(vec![tool::fitting(schema)]);
                }
                format!("Hello from {name}! You said: {said}")
            }
        };
        Self::Text(split(&text, pieces))
    }

    /// Returns a rough count of its tokens.
    pub(crate) fn tokens(&self) -> usize {
        match self {
            Self::Text(pieces) => pieces.len(),
            Self::Call(call) => call.arguments.len().div_ceil(4),
        }
    }
}

impl Completion {
    /// Decides what to say; `pieces` fixes the number of pieces of a text.
    pub(crate) fn new(
        arrival: Arrival<'_>,
        request: &ChatRequest<'_>,
        pieces: Option<usize>,
    ) -> Result<Self, ApiError> {
        let prompt = Prompt::of(request)?;
        let tool = request.first_tool();
        let name = &arrival.persona.name;
        let content = Content::decide(name, prompt, tool.as_ref(), request.schema(), pieces);
        Ok(Self::of(request, content))
    }

    /// Says `pieces`, one after the other.
    pub(crate) fn text(request: &ChatRequest<'_>, pieces: Vec<String>) -> Self {
        Self::of(request, Content::Text(pieces))
    }

    fn of(request: &ChatRequest<'_>, content: Content) -> Self {
        Self {
            content,
            prompt_tokens: request.prompt_tokens(),
        }
    }

    /// Returns the `chat.completion` object.
    pub(crate) fn to_json(&self, number: usize, request: &ChatRequest<'_>) -> Value {
        let message = match &self.content {
            Content::Text(pieces) => {
                json!({"role": "assistant", "content": pieces.concat(), "refusal": null})
            }
            Content::Call(call) => json!({"role": "assistant", "content": null, "tool_calls": [{
                "id": format!("call_{number}"),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }]}),
        };
        json!({
            "id": format!("chatcmpl-{number}"),
            "object": "chat.completion",
            "created": CREATED,
            "model": request.model(),
            "choices": [{
                "index": 0,
                "message": message,
                "logprobs": null,
                "finish_reason": self.finish_reason(),
            }],
            "usage": self.usage(),
        })
    }

    /// Writes the completion as server-sent events, `[DONE]` included.
    pub(crate) fn events(&self, mut writer: EventWriter) -> Vec<Bytes> {
        let mut events = Vec::new();
        match &self.content {
            Content::Text(pieces) => {
                events.push(writer.delta(r#"{"role":"assistant","content":""}"#));
                events.extend(pieces.iter().map(|piece| writer.text(piece)));
            }
            Content::Call(call) => {
                events.push(writer.tool_name(&call.name));
                events.extend(
                    call.fragments()
                        .map(|fragment| writer.tool_arguments(fragment)),
                );
            }
        }
        events.push(writer.finish(self.finish_reason()));
        events.extend(writer.usage(&self.usage()));
        events.push(Bytes::from_static(super::DONE));
        events
    }

    fn finish_reason(&self) -> &'static str {
        match self.content {
            Content::Text(_) => "stop",
            Content::Call(_) => "tool_calls",
        }
    }

    fn usage(&self) -> Value {
        let completion = self.content.tokens();
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        })
    }
}

/// Cuts a text into words, or into exactly `count` of them, repeating it if it is too short.
fn split(text: &str, count: Option<usize>) -> Vec<String> {
    match count {
        None => text.split_inclusive(' ').map(str::to_owned).collect(),
        Some(count) => {
            let words = text.split_whitespace().cycle().take(count);
            words.map(|word| format!("{word} ")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_words_of_a_text_make_up_the_text() {
        assert_eq!(split("so  it\ngoes ", None).concat(), "so  it\ngoes ");
    }

    #[test]
    fn a_fixed_number_of_words_is_kept_for_short_and_long_texts() {
        assert_eq!(split("a b c", Some(2)), ["a ", "b "]);
        assert_eq!(split("a b", Some(3)), ["a ", "b ", "a "]);
    }
}
