//! Tools, and which of them must be used.
//!
//! | member | becomes |
//! |---|---|
//! | `tools[].function` | a tool: `name`, `description`, `parameters` as `input_schema`, of type `object` where they do not say so |
//! | `function.strict` | dropped: the schema guides, and no compiled grammar limits how many tools there may be |
//! | tools of another type | refused: a `custom` tool's free text has no form in this protocol |
//! | `tool_choice` `auto`, `none`, `required`, a function | `auto`, `none`, `any`, `tool` |
//! | `tool_choice` `allowed_tools` | only those tools are sent, with `auto` or `any` |
//! | `parallel_tool_calls: false` | `disable_parallel_tool_use` of the choice |
//! | a choice without tools | dropped where it demands nothing, else refused |
//! | a choice that demands a tool of a model that always thinks | refused: Anthropic refuses it |

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::super::super::translate::Untranslatable;
use super::super::place::Place;
use super::field::Fields;
use super::part::{take_cache_control, take_object, take_text};

/// The tools of a request.
#[derive(Debug)]
pub(super) struct Tools {
    offered: Vec<Value>,
    choice: Option<Choice>,
    parallel: bool,
}

/// Which tool the model has to use.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Auto,
    None,
    Any,
    Tool(String),
}

impl Tools {
    /// Takes the members about tools.
    pub(super) fn read(fields: &mut Fields) -> Result<Self, Untranslatable> {
        let mut offered = match fields.take("tools") {
            None => Vec::new(),
            Some(Value::Array(tools)) => read_tools(tools)?,
            Some(_) => return Err(Place::of("tools").refuse("must be an array")),
        };
        let parallel = fields.flag("parallel_tool_calls")?.unwrap_or(true);
        let choice = match fields.take("tool_choice") {
            None => None,
            Some(choice) => Some(read_choice(choice, &mut offered)?),
        };
        let tools = Self {
            offered,
            choice,
            parallel,
        };
        if tools.offered.is_empty() && tools.is_forced() {
            let reason = "demands a tool, but the request has no `tools`";
            return Err(Place::of("tool_choice").refuse(reason));
        }
        Ok(tools)
    }

    /// Returns whether the model must use a tool.
    pub(super) fn is_forced(&self) -> bool {
        matches!(self.choice, Some(Choice::Any | Choice::Tool(_)))
    }

    /// Adds a tool that the model must answer with, unless it chooses one of the client's. Returns
    /// whether it was added: where the client demands one of its own there will be no text.
    pub(super) fn answer_with(&mut self, name: &str, tool: Value) -> Result<bool, Untranslatable> {
        let named = self.offered.iter().position(|tool| tool["name"] == name);
        if let Some(index) = named {
            let tools = Place::of("tools");
            let reason = "is a name that the gateway uses itself for `response_format`";
            return Err(tools
                .item(index)
                .member("function")
                .member("name")
                .refuse(reason));
        }
        if self.is_forced() {
            return Ok(false);
        }
        if self.offered.is_empty() || self.choice == Some(Choice::None) {
            self.choice = Some(Choice::Tool(name.to_owned()));
            self.parallel = false;
        } else {
            self.choice = Some(Choice::Any);
        }
        self.offered.push(tool);
        Ok(true)
    }

    /// Writes them into a body.
    pub(super) fn write(self, body: &mut Map<String, Value>) {
        if self.offered.is_empty() {
            return;
        }
        let choice = match (self.choice, self.parallel) {
            (None, true) => None,
            (None, false) => Some(Choice::Auto),
            (choice, _) => choice,
        };
        body.insert("tools".into(), self.offered.into());
        if let Some(choice) = choice {
            body.insert("tool_choice".into(), choice.into_value(self.parallel));
        }
    }
}

impl Choice {
    fn into_value(self, parallel: bool) -> Value {
        let mut choice = match self {
            Self::None => return json!({"type": "none"}),
            Self::Auto => json!({"type": "auto"}),
            Self::Any => json!({"type": "any"}),
            Self::Tool(name) => json!({"type": "tool", "name": name}),
        };
        if !parallel {
            choice["disable_parallel_tool_use"] = true.into();
        }
        choice
    }
}

fn read_tools(tools: Vec<Value>) -> Result<Vec<Value>, Untranslatable> {
    let place = Place::of("tools");
    let tools = tools.into_iter().enumerate();
    tools
        .map(|(index, tool)| read_tool(tool, &place.item(index)))
        .collect()
}

fn read_tool(tool: Value, place: &Place<'_>) -> Result<Value, Untranslatable> {
    let Value::Object(mut tool) = tool else {
        return Err(place.refuse("must be an object"));
    };
    if take_text(&mut tool, "type", place)? != "function" {
        let reason = "must be `function` for this model's provider";
        return Err(place.member("type").refuse(reason));
    }
    let mut function = take_object(&mut tool, "function", place)?;
    let place = place.member("function");
    let name = take_text(&mut function, "name", &place)?;
    let mut parameters = match function.remove("parameters") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(parameters)) => parameters,
        Some(_) => return Err(place.member("parameters").refuse("must be an object")),
    };
    as_object(&mut parameters);
    let mut translated = Map::new();
    translated.insert("name".into(), name.into());
    if let Some(Value::String(description)) = function.remove("description") {
        translated.insert("description".into(), description.into());
    }
    translated.insert("input_schema".into(), parameters.into());
    let mark = take_cache_control(&mut tool).or_else(|| take_cache_control(&mut function));
    if let Some(mark) = mark {
        translated.insert("cache_control".into(), mark);
    }
    Ok(translated.into())
}

/// Says what a schema of arguments is anyway, and Anthropic wants to read.
pub(super) fn as_object(schema: &mut Map<String, Value>) {
    if !schema.contains_key("type") {
        schema.insert("type".into(), "object".into());
    }
}

fn read_choice(choice: Value, tools: &mut Vec<Value>) -> Result<Choice, Untranslatable> {
    let place = Place::of("tool_choice");
    let mut choice = match choice {
        Value::String(mode) => return read_mode(&mode, &place),
        Value::Object(choice) => choice,
        _ => return Err(place.refuse("must be a string or an object")),
    };
    match take_text(&mut choice, "type", &place)?.as_str() {
        "function" => {
            let mut function = take_object(&mut choice, "function", &place)?;
            let name = take_text(&mut function, "name", &place.member("function"))?;
            Ok(Choice::Tool(name))
        }
        "allowed_tools" => {
            let mut allowed = take_object(&mut choice, "allowed_tools", &place)?;
            let place = place.member("allowed_tools");
            let Some(Value::Array(names)) = allowed.remove("tools") else {
                return Err(place.member("tools").refuse("must be an array"));
            };
            let names = names.iter().map(|allowed| &allowed["function"]["name"]);
            let names: HashSet<&str> = names.filter_map(Value::as_str).collect();
            tools.retain(|tool| {
                tool["name"]
                    .as_str()
                    .is_some_and(|name| names.contains(name))
            });
            let mode = take_text(&mut allowed, "mode", &place)?;
            read_mode(&mode, &place.member("mode"))
        }
        _ => {
            let reason = "must be `function` or `allowed_tools` for this model's provider";
            Err(place.member("type").refuse(reason))
        }
    }
}

fn read_mode(mode: &str, place: &Place<'_>) -> Result<Choice, Untranslatable> {
    match mode {
        "auto" => Ok(Choice::Auto),
        "none" => Ok(Choice::None),
        "required" => Ok(Choice::Any),
        _ => Err(place.refuse("must be `auto`, `none` or `required`, or name a function")),
    }
}
