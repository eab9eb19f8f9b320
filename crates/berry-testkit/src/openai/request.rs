//! The members of a chat request that a simulated provider acts on.
//!
//! Messages and tools stay raw until one of them matters: a load test must not pay for parsing a
//! long conversation of which only the last message is repeated.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::ApiError;

/// A chat request.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ChatRequest<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    pub(super) messages: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    tools: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(default)]
    response_format: Value,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

impl<'a> ChatRequest<'a> {
    /// Reads a request's body.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("the body is not valid: {error}")))
    }

    /// Returns the model asked for; some paths name it and leave it out here.
    pub(crate) fn model(&self) -> &str {
        self.model.as_deref().unwrap_or("unnamed")
    }

    /// Whether the answer is to be streamed.
    pub(crate) fn stream(&self) -> bool {
        self.stream == Some(true)
    }

    /// Whether a stream is to end with a usage event.
    pub(crate) fn include_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .and_then(|options| options.include_usage)
            == Some(true)
    }

    /// Returns the tool to call, in full, if any is offered.
    pub(crate) fn first_tool(&self) -> Option<Value> {
        if self
            .tool_choice
            .as_ref()
            .is_some_and(|choice| choice == "none")
        {
            return None;
        }
        let tool = self.tools.as_ref()?.first()?;
        serde_json::from_str(tool.get()).ok()
    }

    /// Returns the schema that the answer must fit; null where there is none.
    pub(crate) fn schema(&self) -> &Value {
        &self.response_format["json_schema"]["schema"]
    }

    /// Returns a rough count of the prompt's tokens: four bytes each.
    pub(crate) fn prompt_tokens(&self) -> usize {
        let bytes: usize = self
            .messages
            .iter()
            .map(|message| message.get().len())
            .sum();
        bytes.div_ceil(4)
    }
}
