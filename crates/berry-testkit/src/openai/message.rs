//! What the conversation's end asks for.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;
use super::request::ChatRequest;

/// The part of a conversation that is to be answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// The last thing the user said.
    User(String),
    /// A tool's result, at the conversation's end.
    ToolResult(String),
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(default)]
    content: Value,
}

impl Prompt {
    /// Finds what is to be answered, reading messages from the last.
    pub(crate) fn of(request: &ChatRequest<'_>) -> Result<Self, ApiError> {
        for (age, raw) in request.messages.iter().rev().enumerate() {
            let message: Message<'_> = serde_json::from_str(raw.get()).map_err(|error| {
                ApiError::bad_request(format!("a message is not valid: {error}"))
            })?;
            match &*message.role {
                "user" => return Ok(Self::User(text(&message.content))),
                "tool" | "function" if age == 0 => {
                    return Ok(Self::ToolResult(text(&message.content)));
                }
                _ => {}
            }
        }
        Ok(Self::User(String::new()))
    }
}

/// Returns the text of a message's content: a string, or parts of which some are text.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(messages: &str) -> Prompt {
        let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
        let request = ChatRequest::parse(body.as_bytes()).expect("a valid request");
        Prompt::of(&request).expect("valid messages")
    }

    #[test]
    fn the_last_user_message_is_answered() {
        let messages = r#"[{"role":"user","content":"one"},{"role":"user","content":"two"},
            {"role":"assistant","content":"hm"}]"#;

        assert_eq!(prompt(messages), Prompt::User("two".to_owned()));
    }

    #[test]
    fn the_text_parts_of_a_message_are_joined() {
        let messages = r#"[{"role":"user","content":[{"type":"text","text":"a"},
            {"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]}]"#;

        assert_eq!(prompt(messages), Prompt::User("ab".to_owned()));
    }

    #[test]
    fn a_tool_result_is_answered_only_at_the_end() {
        let result = r#"{"role":"tool","tool_call_id":"c","content":"21 °C"}"#;
        let user = r#"{"role":"user","content":"thanks"}"#;

        assert_eq!(
            prompt(&format!("[{user},{result}]")),
            Prompt::ToolResult("21 °C".to_owned())
        );
        assert_eq!(
            prompt(&format!("[{result},{user}]")),
            Prompt::User("thanks".to_owned())
        );
    }
}
