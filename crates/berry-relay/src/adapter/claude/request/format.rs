//! `response_format`.
//!
//! | format | becomes |
//! |---|---|
//! | `text` | nothing |
//! | `json_schema`, a model and a schema that Anthropic's structured outputs take | `output_config.format` |
//! | any other `json_schema`; `json_object` | a tool whose input is the answer, which the model must use; see [`JSON_TOOL`] |
//! | the same where a model cannot be forced | a sentence at the end of `system` |
//!
//! The client's tools stay beside the forced one, and the model may use them instead, as it may
//! with OpenAI. Where the client itself demands a tool there will be no text, so no format of it.
//! `json_schema.name`, `description` and `strict` have no counterpart in structured outputs; the
//! forced tool has the description.

use serde_json::{Map, Value, json};

use super::super::super::translate::Untranslatable;
use super::super::JSON_TOOL;
use super::super::model::Model;
use super::super::place::Place;
use super::part::{take_object, take_text};
use super::{schema, tool};

/// How the model is brought to answer in JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Format {
    Text,
    /// The answer is held to a schema.
    Schema(Value),
    /// The answer is the input of this tool.
    Tool(Value),
    /// The model is told so.
    Told(String),
}

impl Format {
    /// Reads the member `response_format`.
    pub(super) fn read(format: Option<Value>, model: Model) -> Result<Self, Untranslatable> {
        let place = Place::of("response_format");
        let mut format = match format {
            None => return Ok(Self::Text),
            Some(Value::Object(format)) => format,
            Some(_) => return Err(place.refuse("must be an object")),
        };
        match take_text(&mut format, "type", &place)?.as_str() {
            "text" => Ok(Self::Text),
            "json_object" => Ok(Self::unheld(None, None, model)),
            "json_schema" => {
                let mut format = take_object(&mut format, "json_schema", &place)?;
                let description = match format.remove("description") {
                    Some(Value::String(description)) => Some(description),
                    _ => None,
                };
                match format.remove("schema") {
                    None | Some(Value::Null) => Ok(Self::unheld(None, description, model)),
                    Some(Value::Object(schema)) => Ok(Self::held(schema, description, model)),
                    Some(_) => {
                        let place = place.member("json_schema");
                        Err(place.member("schema").refuse("must be an object"))
                    }
                }
            }
            _ => {
                let reason = "must be `text`, `json_object` or `json_schema`";
                Err(place.member("type").refuse(reason))
            }
        }
    }

    fn held(schema: Map<String, Value>, description: Option<String>, model: Model) -> Self {
        let schema = Value::Object(schema);
        if model.schemas
            && let Some(held) = schema::for_structured_outputs(&schema)
        {
            return Self::Schema(held);
        }
        Self::unheld(Some(schema), description, model)
    }

    fn unheld(schema: Option<Value>, description: Option<String>, model: Model) -> Self {
        if !model.can_be_forced() {
            let sentence = "Answer with one JSON object and nothing else, without Markdown";
            return Self::Told(match schema {
                Some(schema) => format!("{sentence}. It must satisfy this JSON schema: {schema}"),
                None => format!("{sentence}."),
            });
        }
        let description = description.unwrap_or_else(|| {
            "Gives the answer to the user. The input is the JSON object that the user asks for."
                .to_owned()
        });
        let mut schema = schema.unwrap_or_else(|| json!({}));
        if let Value::Object(schema) = &mut schema {
            tool::as_object(schema);
        }
        Self::Tool(json!({
            "name": JSON_TOOL,
            "description": description,
            "input_schema": schema,
        }))
    }
}
