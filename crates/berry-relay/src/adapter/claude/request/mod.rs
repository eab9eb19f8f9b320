//! Requests: OpenAI's chat completions as Anthropic's messages.

mod field;
mod format;
mod message;
mod part;
mod schema;
mod thinking;
mod tool;

use serde_json::{Map, Value, json};

use super::super::translate::{Reading, Translated, Untranslatable};
use super::JSON_TOOL;
use super::model::Model;
use super::place::Place;
use field::Fields;
use format::Format;
use message::Conversation;
use thinking::{Circumstances, Thought};
use tool::Tools;

/// The longest `metadata.user_id` that Anthropic takes.
const LONGEST_USER: usize = 256;

/// Translates a request.
pub(super) fn translate(body: &[u8], name: &str) -> Result<Translated, Untranslatable> {
    let mut fields = Fields::read(body)?;
    let model = Model::of(name);
    let mut conversation = Conversation::read(fields.take("messages"))?;
    let mut tools = Tools::read(&mut fields)?;
    if tools.is_forced() && !model.can_be_forced() {
        let reason = "cannot demand a tool of this model, which always thinks; use `auto`";
        return Err(Place::of("tool_choice").refuse(reason));
    }
    let most_tokens = most_tokens(&mut fields, model)?;
    let mut reading = Reading::default();
    let mut output = Map::new();
    match Format::read(fields.take("response_format"), model)? {
        Format::Text => {}
        Format::Schema(schema) => {
            output.insert(
                "format".into(),
                json!({"type": "json_schema", "schema": schema}),
            );
        }
        Format::Tool(tool) => reading.text_from_tool = tools.answer_with(JSON_TOOL, tool)?,
        Format::Told(sentence) => conversation.system.extend(part::text_block(sentence, None)),
    }
    let thought = Thought::read(
        &mut fields,
        Circumstances {
            model,
            most_tokens,
            tool_is_forced: tools.is_forced(),
            can_go_on_thinking: conversation.can_go_on_thinking(),
        },
    )?;

    let mut body = Map::new();
    body.insert("model".into(), name.into());
    body.insert("max_tokens".into(), most_tokens.into());
    if !conversation.system.is_empty() {
        body.insert("system".into(), conversation.system.into());
    }
    let turns = conversation.turns.into_iter().map(Value::from);
    body.insert("messages".into(), turns.collect());
    tools.write(&mut body);
    thought.write_sampling(&mut fields, model, &mut body)?;
    if let Some(effort) = thought.effort {
        output.insert("effort".into(), effort.into());
    }
    let rest = [
        ("thinking", thought.thinking),
        ("output_config", (!output.is_empty()).then(|| output.into())),
        ("stop_sequences", stop_sequences(&mut fields)?),
        ("metadata", user(&mut fields)?),
        ("service_tier", service_tier(&mut fields)?),
        ("cache_control", fields.take("cache_control")),
        (
            "stream",
            fields
                .flag("stream")?
                .filter(|stream| *stream)
                .map(Value::from),
        ),
    ];
    for (member, value) in rest {
        if let Some(value) = value {
            body.insert(member.into(), value);
        }
    }
    Ok(Translated {
        body: body.into(),
        reading,
    })
}

fn most_tokens(fields: &mut Fields, model: Model) -> Result<u64, Untranslatable> {
    let old = fields.count("max_tokens")?;
    let current = fields.count("max_completion_tokens")?;
    Ok(current.or(old).unwrap_or(model.most_tokens))
}

fn stop_sequences(fields: &mut Fields) -> Result<Option<Value>, Untranslatable> {
    let place = Place::of("stop");
    let sequences = match fields.take("stop") {
        None => return Ok(None),
        Some(sequence @ Value::String(_)) => {
            check_stop(&sequence, &place)?;
            vec![sequence]
        }
        Some(Value::Array(sequences)) => {
            for (index, sequence) in sequences.iter().enumerate() {
                check_stop(sequence, &place.item(index))?;
            }
            sequences
        }
        Some(_) => return Err(place.refuse("must be a string or an array of strings")),
    };
    Ok((!sequences.is_empty()).then(|| sequences.into()))
}

fn check_stop(sequence: &Value, place: &Place<'_>) -> Result<(), Untranslatable> {
    match sequence.as_str() {
        None => Err(place.refuse("must be a string")),
        Some(sequence) if sequence.trim().is_empty() => {
            let reason = "must have a character that is no white space for this model's provider";
            Err(place.refuse(reason))
        }
        Some(_) => Ok(()),
    }
}

fn user(fields: &mut Fields) -> Result<Option<Value>, Untranslatable> {
    let old = fields.text("user")?;
    let current = fields.text("safety_identifier")?;
    let user = current.or(old);
    let user = user.filter(|user| !user.is_empty() && user.chars().count() <= LONGEST_USER);
    Ok(user.map(|user| json!({"user_id": user})))
}

fn service_tier(fields: &mut Fields) -> Result<Option<Value>, Untranslatable> {
    let tier = fields.text("service_tier")?;
    let is_standard = matches!(tier.as_deref(), Some("default" | "flex"));
    Ok(is_standard.then(|| "standard_only".into()))
}
