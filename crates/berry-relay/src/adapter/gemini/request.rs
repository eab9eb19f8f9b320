//! A request: each field of OpenAI's schema, as the table in the module's documentation has it.

use serde_json::{Map, Value, json};

use super::member::{Members, object, put, refuse, within};
use super::model::Generation;
use super::{message, tool};
use crate::adapter::translate::Untranslatable;

/// Translates a request.
pub(super) fn translate(body: &[u8], model: &str) -> Result<Value, Untranslatable> {
    let generation = Generation::of(model);
    let mut request = Members::parse(body)?;
    refuse_what_cannot_be_said(&mut request)?;
    let messages = request.array("messages")?;
    let messages = messages.ok_or_else(|| refuse("messages", "it is missing"))?;
    let conversation = message::translate(messages, generation)?;

    let mut body = Map::new();
    if !conversation.system.is_empty() {
        let instruction = object([("parts", conversation.system.into())]);
        body.insert("systemInstruction".to_owned(), instruction);
    }
    body.insert("contents".to_owned(), conversation.contents.into());
    tool::translate(&mut request, &mut body)?;
    let config = config(&mut request, generation)?;
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), config.into());
    }
    put(&mut body, "serviceTier", service_tier(&mut request)?);
    Ok(body.into())
}

/// Refuses the fields whose meaning would be lost.
fn refuse_what_cannot_be_said(request: &mut Members) -> Result<(), Untranslatable> {
    for (key, instead) in [("functions", "tools"), ("function_call", "tool_choice")] {
        if request.value(key).is_some() {
            return Err(refuse(
                key,
                format!("it is not translated; use `{instead}`"),
            ));
        }
    }
    for (key, message) in [
        (
            "moderation",
            "this model's provider has none; ask `/v1/moderations`",
        ),
        (
            "web_search_options",
            "this model's provider searches in a way of its own; leave it out",
        ),
    ] {
        if request.value(key).is_some() {
            return Err(refuse(key, message));
        }
    }
    let biases = request.object("logit_bias")?;
    if biases.is_some_and(|biases| biases.rest().next().is_some()) {
        let message = "this model's provider cannot favour tokens; leave it out";
        return Err(refuse("logit_bias", message));
    }
    let modalities = request.array("modalities")?.unwrap_or_default();
    if modalities.iter().any(|modality| modality != "text") {
        return Err(refuse("modalities", "only `text` is translated"));
    }
    Ok(())
}

/// Returns `generationConfig`.
fn config(
    request: &mut Members,
    generation: Generation,
) -> Result<Map<String, Value>, Untranslatable> {
    let mut config = Map::new();
    for (key, name) in [
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("top_k", "topK"),
        ("presence_penalty", "presencePenalty"),
        ("frequency_penalty", "frequencyPenalty"),
    ] {
        put(&mut config, name, request.number(key)?);
    }
    put(&mut config, "seed", seed(request)?);
    let limit = request.count("max_tokens")?;
    let limit = request.count("max_completion_tokens")?.or(limit);
    put(&mut config, "maxOutputTokens", limit);
    put(&mut config, "stopSequences", stops(request)?);
    let choices = request.count("n")?;
    if choices == Some(0) {
        return Err(refuse("n", "at least one choice must be asked for"));
    }
    put(&mut config, "candidateCount", choices.filter(|&n| n > 1));
    logprobs(request, &mut config)?;
    format(request, &mut config)?;
    let effort = request.string("reasoning_effort")?;
    let thinking = effort.map(|effort| thinking(&effort, generation));
    put(&mut config, "thinkingConfig", thinking.transpose()?);
    Ok(config)
}

/// Takes the seed, of which Gemini keeps 32 bits.
fn seed(request: &mut Members) -> Result<Option<i32>, Untranslatable> {
    let Some(seed) = request.value("seed") else {
        return Ok(None);
    };
    let seed = seed.as_i64().and_then(|seed| i32::try_from(seed).ok());
    let complaint = || {
        refuse(
            "seed",
            "it must be a whole number of 32 bits for this model",
        )
    };
    seed.map(Some).ok_or_else(complaint)
}

fn stops(request: &mut Members) -> Result<Option<Vec<Value>>, Untranslatable> {
    let stops = match request.value("stop") {
        Some(Value::Array(stops)) => stops,
        Some(stop) => vec![stop],
        None => Vec::new(),
    };
    if !stops.iter().all(Value::is_string) {
        return Err(refuse("stop", "it must be a string or an array of strings"));
    }
    Ok((!stops.is_empty()).then_some(stops))
}

fn logprobs(request: &mut Members, config: &mut Map<String, Value>) -> Result<(), Untranslatable> {
    let wanted = request.boolean("logprobs")?.unwrap_or(false);
    let top = request.count("top_logprobs")?;
    if !wanted && top.is_some_and(|top| top > 0) {
        return Err(refuse("top_logprobs", "it needs `logprobs` to be true"));
    }
    put(config, "responseLogprobs", wanted.then_some(true));
    put(config, "logprobs", top.filter(|&top| top > 0));
    Ok(())
}

/// Translates `response_format`.
fn format(request: &mut Members, config: &mut Map<String, Value>) -> Result<(), Untranslatable> {
    let Some(mut format) = request.object("response_format")? else {
        return Ok(());
    };
    let kind = format.needed("type").map_err(within("response_format"))?;
    match kind.as_str() {
        "text" => return Ok(()),
        "json_object" => {}
        "json_schema" => {
            let schema = format.needed_object("json_schema").and_then(|mut inner| {
                let schema = inner.value("schema").map(tool::schema).transpose();
                schema.map_err(within("json_schema.schema"))
            });
            let schema = schema.map_err(within("response_format"))?;
            put(config, "responseJsonSchema", schema);
        }
        _ => {
            let message = "it must be `text`, `json_object` or `json_schema`";
            return Err(refuse("response_format.type", message));
        }
    }
    config.insert("responseMimeType".to_owned(), "application/json".into());
    Ok(())
}

/// Translates an effort into a level or, for models that know no levels, a budget in tokens: those
/// that Google's own OpenAI endpoint has for it.
fn thinking(effort: &str, generation: Generation) -> Result<Value, Untranslatable> {
    let (least_level, least_budget) = match generation {
        Generation::Levels { least } => (least, 0),
        Generation::Budgets { least } => ("LOW", least),
    };
    let (level, budget) = match effort {
        "none" => (least_level, least_budget),
        "minimal" => (least_level, 1024),
        "low" => ("LOW", 1024),
        "medium" => ("MEDIUM", 8192),
        "high" | "xhigh" | "max" => ("HIGH", 24576),
        _ => {
            let message = "it must be `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`";
            return Err(refuse("reasoning_effort", message));
        }
    };
    let mut config = match generation {
        Generation::Levels { .. } => json!({ "thinkingLevel": level }),
        Generation::Budgets { .. } => json!({ "thinkingBudget": budget }),
    };
    if effort != "none" {
        config["includeThoughts"] = true.into();
    }
    Ok(config)
}

/// Translates the tier; the default one needs no word.
fn service_tier(request: &mut Members) -> Result<Option<String>, Untranslatable> {
    let tier = request.string("service_tier")?;
    match tier.as_deref() {
        None | Some("auto" | "default") => Ok(None),
        Some("flex" | "priority") => Ok(tier),
        Some(_) => {
            let message = "it must be `auto`, `default`, `flex` or `priority` for this model";
            Err(refuse("service_tier", message))
        }
    }
}
