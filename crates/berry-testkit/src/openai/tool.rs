//! A tool call with arguments that fit the tool's schema.

use serde_json::{Map, Value, json};

/// How deep a schema is followed; a schema may refer to itself.
const DEPTH: usize = 8;

/// A call of a tool.
#[derive(Debug)]
pub(crate) struct ToolCall {
    /// The tool's name.
    pub(crate) name: String,
    /// The arguments, as JSON text.
    pub(crate) arguments: String,
}

impl ToolCall {
    /// Makes a call of `tool` as a request offers it; `None` if it is not a function.
    pub(crate) fn of(tool: &Value) -> Option<Self> {
        let function = &tool["function"];
        Some(Self {
            name: function["name"].as_str()?.to_owned(),
            arguments: sample(&function["parameters"], DEPTH).to_string(),
        })
    }

    /// Returns the arguments in the pieces in which a model streams them.
    pub(crate) fn fragments(&self) -> impl Iterator<Item = &str> {
        self.arguments.split_inclusive([':', ','])
    }
}

/// Returns a JSON text that fits a schema.
pub(super) fn fitting(schema: &Value) -> String {
    sample(schema, DEPTH).to_string()
}

/// Returns a value that fits a JSON schema of the simple kind that tools have.
fn sample(schema: &Value, depth: usize) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("string") => json!("sample"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("null") => Value::Null,
        _ if depth == 0 => json!({}),
        _ => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let members =
                properties.map(|(name, schema)| (name.clone(), sample(schema, depth - 1)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_the_schema() {
        let tool = json!({"type": "function", "function": {"name": "weather", "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"enum": ["C", "F"]},
            },
        }}});

        let call = ToolCall::of(&tool).expect("a function");

        assert_eq!(call.arguments, r#"{"city":"sample","days":1,"unit":"C"}"#);
        assert_eq!(call.fragments().collect::<String>(), call.arguments);
        assert!(call.fragments().count() > 3);
    }
}
