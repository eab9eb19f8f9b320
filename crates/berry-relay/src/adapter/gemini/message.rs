//! Messages: who said what, in Gemini's two roles.
//!
//! - `system` and `developer` messages, wherever they stand, become the system instruction; alone,
//!   they become the user's turn, because Gemini demands one.
//! - Neighbours of one kind (what the user says, what the model says, results of calls) become one
//!   turn. Results stand in the turn after their calls and in the order of these, whatever the order
//!   of the messages: Gemini wants all of them there, and goes by the order where calls have no ids.
//! - A result goes by the name of its function, which OpenAI's message does not carry: it is that of
//!   the last call before it with the same id.
//! - Ids that begin with `call_` are OpenAI's or ours, and stay away; Gemini's own go back.
//! - Signatures of thoughts come back in `extra_content.google.thought_signature` of a tool call or
//!   of a message, where Google's own OpenAI endpoint has them. Where a client lost that of a
//!   turn's first call, the placeholder takes its place that Google documents for such cases:
//!   models from Gemini 3 on refuse a call without one.
//! - Parts without text, and messages without parts, are left out.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::member::{Members, object, refuse, within};
use super::model::Generation;
use super::part;
use crate::adapter::translate::Untranslatable;

/// Stands for the signature of a call whose own is lost (Google's guide to thought signatures).
const LOST_SIGNATURE: &str = "skip_thought_signature_validator";

/// What all messages become.
#[derive(Debug)]
pub(super) struct Conversation {
    /// The parts of the system instruction.
    pub(super) system: Vec<Value>,
    /// The turns, each with its role and parts.
    pub(super) contents: Vec<Value>,
}

/// Translates all messages.
pub(super) fn translate(
    messages: Vec<Value>,
    generation: Generation,
) -> Result<Conversation, Untranslatable> {
    let mut reader = Reader::default();
    for (i, message) in messages.into_iter().enumerate() {
        reader
            .message(message)
            .map_err(within(format_args!("messages[{i}]")))?;
    }
    let mut system = reader.system;
    let turns = reader.turns.into_iter();
    let contents = turns.flat_map(|turn| turn.into_contents(generation));
    let mut contents: Vec<Value> = contents.collect();
    if contents.is_empty() {
        if system.is_empty() {
            return Err(refuse(
                "messages",
                "at least one message must say something",
            ));
        }
        contents.push(turn("user", std::mem::take(&mut system)));
    }
    Ok(Conversation { system, contents })
}

/// The two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    User,
    Model,
}

#[derive(Debug)]
struct Turn {
    speaker: Speaker,
    parts: Vec<Value>,
    /// What the calls among the parts resulted in, each after the position of its call: a turn of
    /// its own after this one.
    results: Vec<(usize, Value)>,
}

impl Turn {
    fn into_contents(mut self, generation: Generation) -> impl Iterator<Item = Value> {
        let must_sign = matches!(generation, Generation::Levels { .. });
        if self.speaker == Speaker::Model && must_sign {
            sign(&mut self.parts);
        }
        let role = match self.speaker {
            Speaker::User => "user",
            Speaker::Model => "model",
        };
        self.results.sort_by_key(|(position, _)| *position);
        let results: Vec<Value> = self.results.into_iter().map(|(_, part)| part).collect();
        let results = (!results.is_empty()).then(|| turn("user", results));
        [turn(role, self.parts)].into_iter().chain(results)
    }
}

fn turn(role: &str, parts: Vec<Value>) -> Value {
    object([("role", role.into()), ("parts", parts.into())])
}

/// Signs the first of a turn's calls, where its own signature was lost.
fn sign(parts: &mut [Value]) {
    let mut objects = parts.iter_mut().filter_map(Value::as_object_mut);
    if let Some(call) = objects.find(|part| part.contains_key("functionCall")) {
        call.entry("thoughtSignature")
            .or_insert_with(|| LOST_SIGNATURE.into());
    }
}

/// A call that a result may refer to.
#[derive(Debug)]
struct Call {
    name: String,
    /// The turn in which it is, and where it is among all calls.
    turn: usize,
    position: usize,
}

#[derive(Debug, Default)]
struct Reader {
    system: Vec<Value>,
    turns: Vec<Turn>,
    calls: HashMap<String, Call>,
    /// How many calls there were.
    called: usize,
}

impl Reader {
    fn message(&mut self, message: Value) -> Result<(), Untranslatable> {
        let mut message = Members::of(message)?;
        match message.needed("role")?.as_str() {
            "system" | "developer" => {
                let parts = part::texts(content(&mut message)?);
                self.system.extend(parts.map_err(within("content"))?);
                Ok(())
            }
            "user" => {
                let parts = part::of_user(content(&mut message)?);
                self.say(Speaker::User, parts.map_err(within("content"))?);
                Ok(())
            }
            "assistant" => self.assistant(&mut message),
            "tool" => self.result(&mut message),
            "function" => Err(refuse(
                "role",
                "`function` is not translated; use role `tool`",
            )),
            role => {
                let message = format!(
                    "the role `{role}` is unknown; use `system`, `developer`, `user`, `assistant` or `tool`"
                );
                Err(refuse("role", message))
            }
        }
    }

    /// Appends parts to what this side says; after results of its calls it is a new turn.
    fn say(&mut self, speaker: Speaker, parts: Vec<Value>) {
        if parts.is_empty() {
            return;
        }
        let last = self.turns.last_mut();
        match last.filter(|turn| turn.speaker == speaker && turn.results.is_empty()) {
            Some(turn) => turn.parts.extend(parts),
            None => self.turns.push(Turn {
                speaker,
                parts,
                results: Vec::new(),
            }),
        }
    }

    fn assistant(&mut self, message: &mut Members) -> Result<(), Untranslatable> {
        for (key, instead) in [("function_call", "`tool_calls`"), ("audio", "text")] {
            if message.value(key).is_some() {
                return Err(refuse(key, format!("it is not translated; use {instead}")));
            }
        }
        let mut parts = match message.value("content") {
            Some(content) => part::texts(content).map_err(within("content"))?,
            None => Vec::new(),
        };
        parts.extend(message.string("refusal")?.and_then(part::text));
        if let Some(signature) = signature(message)? {
            let part = parts.pop().unwrap_or_else(|| json!({ "text": "" }));
            parts.push(signed(part, Some(signature)));
        }
        self.say(Speaker::Model, parts);
        let calls = message.array("tool_calls")?.unwrap_or_default();
        for (i, call) in calls.into_iter().enumerate() {
            let called = Members::of(call).and_then(|mut call| self.call(&mut call));
            called.map_err(within(format_args!("tool_calls[{i}]")))?;
        }
        Ok(())
    }

    fn call(&mut self, call: &mut Members) -> Result<(), Untranslatable> {
        let kind = call.string("type")?;
        if let Some(kind) = kind.filter(|kind| kind != "function") {
            let message = format!("calls of type `{kind}` cannot be translated; use `function`");
            return Err(refuse("type", message));
        }
        let id = call.needed("id")?;
        let signature = signature(call)?;
        let mut function = call.needed_object("function")?;
        let name = function.needed("name").map_err(within("function"))?;
        let arguments = arguments(&mut function).map_err(within("function"))?;
        let mut part = identified(&id);
        part.insert("name".to_owned(), name.as_str().into());
        part.insert("args".to_owned(), arguments);
        let part = signed(object([("functionCall", part.into())]), signature);
        self.say(Speaker::Model, vec![part]);
        self.called += 1;
        let call = Call {
            name,
            turn: self.turns.len().saturating_sub(1),
            position: self.called,
        };
        self.calls.insert(id, call);
        Ok(())
    }

    fn result(&mut self, message: &mut Members) -> Result<(), Untranslatable> {
        let id = message.needed("tool_call_id")?;
        let Some(call) = self.calls.get(&id) else {
            let message = format!("no message before this one calls a tool with the id `{id}`");
            return Err(refuse("tool_call_id", message));
        };
        let output = part::plain_text(content(message)?).map_err(within("content"))?;
        let mut part = identified(&id);
        part.insert("name".to_owned(), call.name.as_str().into());
        part.insert("response".to_owned(), object([("output", output.into())]));
        let part = object([("functionResponse", part.into())]);
        if let Some(turn) = self.turns.get_mut(call.turn) {
            turn.results.push((call.position, part));
        }
        Ok(())
    }
}

/// Takes a message's content, which must be there.
fn content(message: &mut Members) -> Result<Value, Untranslatable> {
    let content = message.value("content");
    content.ok_or_else(|| refuse("content", "it is missing"))
}

/// Begins a call or a result: with its id, where that is Gemini's.
fn identified(id: &str) -> Map<String, Value> {
    let mut part = Map::new();
    if !id.starts_with("call_") {
        part.insert("id".to_owned(), id.into());
    }
    part
}

/// Reads a call's arguments. None at all are an empty object.
fn arguments(function: &mut Members) -> Result<Value, Untranslatable> {
    let text = function.string("arguments")?.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    let arguments: Option<Value> = serde_json::from_str(&text).ok();
    arguments.filter(Value::is_object).ok_or_else(|| {
        let message = "the arguments must be an object in JSON; correct or leave out this call";
        refuse("arguments", message)
    })
}

/// Takes the signature of a thought, in base64.
fn signature(of: &mut Members) -> Result<Option<String>, Untranslatable> {
    let Some(mut extra) = of.object("extra_content")? else {
        return Ok(None);
    };
    let signature = match extra.object("google") {
        Ok(Some(mut google)) => {
            let signature = google.string("thought_signature");
            signature.map_err(within("google"))
        }
        Ok(None) => Ok(None),
        Err(complaint) => Err(complaint),
    };
    signature.map_err(within("extra_content"))
}

fn signed(mut part: Value, signature: Option<String>) -> Value {
    if let (Some(signature), Some(part)) = (signature, part.as_object_mut()) {
        part.insert("thoughtSignature".to_owned(), signature.into());
    }
    part
}
