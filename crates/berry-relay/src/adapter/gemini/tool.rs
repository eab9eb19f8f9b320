//! Tools and the choice among them.
//!
//! A function's parameters go on as they are, as `parametersJsonSchema`, which takes JSON Schema
//! with `$ref`, `$defs` and `additionalProperties`; the older `parameters` takes a dialect of its
//! own. Only `$schema` is taken out: it names the dialect and says nothing of the value.

use serde_json::{Map, Value, json};

use super::member::{Members, object, put, refuse, within};
use crate::adapter::translate::Untranslatable;

/// Puts `tools` and `toolConfig`.
pub(super) fn translate(
    request: &mut Members,
    body: &mut Map<String, Value>,
) -> Result<(), Untranslatable> {
    let tools = request.array("tools")?.unwrap_or_default();
    let declared = !tools.is_empty();
    if declared {
        let declarations = tools.into_iter().enumerate();
        let declarations = declarations
            .map(|(i, tool)| declaration(tool).map_err(within(format_args!("tools[{i}]"))))
            .collect::<Result<Vec<_>, _>>()?;
        body.insert(
            "tools".to_owned(),
            vec![object([("functionDeclarations", declarations.into())])].into(),
        );
    }
    let choice = request.value("tool_choice").map(choice).transpose();
    let choice = choice.map_err(within("tool_choice"))?;
    if !declared && choice.as_ref().is_some_and(Choice::is_forced) {
        return Err(refuse(
            "tool_choice",
            "it demands a call, but there are no `tools`",
        ));
    }
    one_call_at_most(request, declared, choice.as_ref())?;
    if let Some(choice) = choice.filter(|_| declared) {
        let config = json!({ "functionCallingConfig": choice.into_config() });
        body.insert("toolConfig".to_owned(), config);
    }
    Ok(())
}

/// Refuses to promise at most one call, which Gemini cannot be told, except where one function is
/// demanded: then its first call is the one that was asked for.
fn one_call_at_most(
    request: &mut Members,
    declared: bool,
    choice: Option<&Choice>,
) -> Result<(), Untranslatable> {
    let parallel = request.boolean("parallel_tool_calls")?.unwrap_or(true);
    if parallel || !declared || choice.is_some_and(Choice::is_of_one) {
        return Ok(());
    }
    let message = "this model's provider cannot be kept from calling several tools at once; \
                   leave it out, or name one function in `tool_choice`";
    Err(refuse("parallel_tool_calls", message))
}

fn declaration(tool: Value) -> Result<Value, Untranslatable> {
    let mut tool = Members::of(tool)?;
    let kind = tool.needed("type")?;
    if kind != "function" {
        let message = format!("tools of type `{kind}` cannot be translated; use `function`");
        return Err(refuse("type", message));
    }
    let mut function = tool.needed_object("function")?;
    let translated = declared_function(&mut function);
    translated.map_err(within("function"))
}

fn declared_function(function: &mut Members) -> Result<Value, Untranslatable> {
    let mut declaration = Map::new();
    put(&mut declaration, "name", Some(function.needed("name")?));
    put(
        &mut declaration,
        "description",
        function.string("description")?,
    );
    let schema = function.value("parameters").map(schema).transpose();
    let schema = schema.map_err(within("parameters"))?;
    put(&mut declaration, "parametersJsonSchema", schema);
    Ok(declaration.into())
}

/// Returns a JSON schema as Gemini takes it.
pub(super) fn schema(mut schema: Value) -> Result<Value, Untranslatable> {
    let Some(members) = schema.as_object_mut() else {
        return Err(refuse("", "a JSON schema must be an object"));
    };
    members.shift_remove("$schema");
    Ok(schema)
}

/// What `tool_choice` says.
#[derive(Debug)]
enum Choice {
    None,
    Auto,
    /// Any of these; of all where there are none.
    Required(Vec<String>),
    /// Any of these, or an answer without a call.
    Allowed(Vec<String>),
}

impl Choice {
    fn is_forced(&self) -> bool {
        matches!(self, Self::Required(_))
    }

    fn is_of_one(&self) -> bool {
        matches!(self, Self::Required(names) if names.len() == 1)
    }

    fn into_config(self) -> Value {
        match self {
            Self::None => json!({ "mode": "NONE" }),
            Self::Auto => json!({ "mode": "AUTO" }),
            Self::Required(names) if names.is_empty() => json!({ "mode": "ANY" }),
            Self::Required(names) => json!({ "mode": "ANY", "allowedFunctionNames": names }),
            // AUTO does not take names.
            Self::Allowed(names) => json!({ "mode": "VALIDATED", "allowedFunctionNames": names }),
        }
    }
}

fn choice(choice: Value) -> Result<Choice, Untranslatable> {
    const MODES: &str = "it must be `none`, `auto`, `required` or an object";
    match choice {
        Value::String(mode) => match mode.as_str() {
            "none" => Ok(Choice::None),
            "auto" => Ok(Choice::Auto),
            "required" => Ok(Choice::Required(Vec::new())),
            _ => Err(refuse("", MODES)),
        },
        Value::Object(_) => named_choice(&mut Members::of(choice)?),
        _ => Err(refuse("", MODES)),
    }
}

fn named_choice(choice: &mut Members) -> Result<Choice, Untranslatable> {
    match choice.needed("type")?.as_str() {
        "function" => Ok(Choice::Required(vec![function_name(choice)?])),
        "allowed_tools" => {
            let mut allowed = choice.needed_object("allowed_tools")?;
            allowed_tools(&mut allowed).map_err(within("allowed_tools"))
        }
        kind => {
            let message = format!("a choice of type `{kind}` cannot be translated; use `function`");
            Err(refuse("type", message))
        }
    }
}

fn allowed_tools(allowed: &mut Members) -> Result<Choice, Untranslatable> {
    let tools = allowed.array("tools")?.unwrap_or_default().into_iter();
    let names = tools
        .enumerate()
        .map(|(i, tool)| {
            let name = Members::of(tool).and_then(|mut tool| function_name(&mut tool));
            name.map_err(within(format_args!("tools[{i}]")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Err(refuse("tools", "at least one tool must be allowed"));
    }
    match allowed.needed("mode")?.as_str() {
        "auto" => Ok(Choice::Allowed(names)),
        "required" => Ok(Choice::Required(names)),
        _ => Err(refuse("mode", "it must be `auto` or `required`")),
    }
}

fn function_name(tool: &mut Members) -> Result<String, Untranslatable> {
    let mut function = tool.needed_object("function")?;
    function.needed("name").map_err(within("function"))
}
