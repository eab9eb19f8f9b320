//! Messages.
//!
//! | message | becomes |
//! |---|---|
//! | `system`, `developer`, wherever they are | blocks of `system`, in order: Anthropic's own OpenAI layer does so |
//! | `user` | a user turn; one that says nothing is refused |
//! | `assistant` | an assistant turn; one that says nothing is left out |
//! | `assistant.tool_calls` | `tool_use` blocks after the text |
//! | `assistant.thinking_blocks` | thinking blocks, at their `index`, else first; left out without a signature, and where nothing follows them |
//! | `assistant.refusal` | a text block |
//! | `assistant.reasoning_content`, `annotations` | dropped: Anthropic takes no thinking without its signature |
//! | `assistant.function_call`, `audio`; custom tool calls | refused |
//! | `tool` | a `tool_result` block of the user turn |
//! | `function`, any other role | refused |
//! | `name` | dropped |
//! | `cache_control` of a message | on its last block |
//!
//! Turns of one side that follow each other become one, results of tools first, as Anthropic demands
//! of the turn after a `tool_use`. The last turn, if it is the assistant's, loses the white space
//! at its end, which Anthropic refuses; whether the model goes on from there is Anthropic's to say.
//!
//! Arguments of a tool call that are no JSON object become `{"INVALID_JSON": "…"}`, the form in
//! which Anthropic's documentation hands broken input back to the model. An id may have letters,
//! digits, `_` and `-`; any other byte is written as `_` and two hexadecimal digits, in calls and
//! results alike.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::super::super::translate::Untranslatable;
use super::super::place::Place;
use super::part::{self, Speaker, take_cache_control, take_object, take_text};

/// The messages of a request, as Anthropic wants them.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) system: Vec<Value>,
    pub(super) turns: Vec<Turn>,
}

/// What one side says until the other one does.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) role: Role,
    /// Results of tools, which come first.
    pub(super) results: Vec<Value>,
    pub(super) blocks: Vec<Value>,
}

/// The two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Assistant,
}

impl From<Turn> for Value {
    fn from(mut turn: Turn) -> Self {
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let mut message = Map::new();
        message.insert("role".into(), role.into());
        turn.results.append(&mut turn.blocks);
        message.insert("content".into(), turn.results.into());
        message.into()
    }
}

impl Conversation {
    /// Reads the member `messages`.
    pub(super) fn read(messages: Option<Value>) -> Result<Self, Untranslatable> {
        let place = Place::of("messages");
        let Some(Value::Array(messages)) = messages else {
            return Err(place.refuse("must be an array of messages"));
        };
        let mut conversation = Self::default();
        for (index, message) in messages.into_iter().enumerate() {
            conversation.add(message, &place.item(index))?;
        }
        if conversation.turns.is_empty() {
            return Err(place.refuse("must have a message of the user"));
        }
        conversation.trim_end();
        Ok(conversation)
    }

    /// Returns whether the model may go on thinking: the turn of the assistant that it continues
    /// begins with thinking, or it begins a turn of its own.
    pub(super) fn can_go_on_thinking(&self) -> bool {
        let mut backwards = self.turns.iter().rev().enumerate();
        let Some((behind, turn)) = backwards.find(|(_, turn)| turn.role == Role::Assistant) else {
            return true;
        };
        let is_call = |block: &Value| block["type"] == "tool_use";
        let is_continued = behind == 0 || turn.blocks.iter().any(is_call);
        let begins_with_thinking = turn.blocks.first().is_some_and(is_thinking);
        !is_continued || begins_with_thinking
    }

    fn add(&mut self, message: Value, place: &Place<'_>) -> Result<(), Untranslatable> {
        let Value::Object(mut message) = message else {
            return Err(place.refuse("must be an object"));
        };
        let role = take_text(&mut message, "role", place)?;
        match role.as_str() {
            "system" | "developer" => {
                self.system
                    .extend(said(&mut message, Speaker::System, place)?);
            }
            "user" => {
                let blocks = said(&mut message, Speaker::User, place)?;
                if blocks.is_empty() {
                    return Err(place.member("content").refuse("must not be empty"));
                }
                self.push(Role::User, blocks);
            }
            "assistant" => self.push(Role::Assistant, assistant(message, place)?),
            "tool" => {
                let result = result(message, place)?;
                self.turn(Role::User).results.push(result);
            }
            "function" => {
                let reason = "is `function`, which this model's provider does not know; use `tool`";
                return Err(place.member("role").refuse(reason));
            }
            _ => {
                let reason = "must be `system`, `developer`, `user`, `assistant` or `tool`";
                return Err(place.member("role").refuse(reason));
            }
        }
        Ok(())
    }

    fn push(&mut self, role: Role, blocks: Vec<Value>) {
        if !blocks.is_empty() {
            self.turn(role).blocks.extend(blocks);
        }
    }

    /// Returns the turn in which this side speaks now.
    fn turn(&mut self, role: Role) -> &mut Turn {
        let last = self.turns.len().saturating_sub(1);
        let goes_on = self.turns.get(last).is_some_and(|turn| turn.role == role);
        let index = if goes_on { last } else { self.turns.len() };
        if !goes_on {
            self.turns.push(Turn {
                role,
                results: Vec::new(),
                blocks: Vec::new(),
            });
        }
        &mut self.turns[index]
    }

    fn trim_end(&mut self) {
        let last = self
            .turns
            .last_mut()
            .filter(|turn| turn.role == Role::Assistant)
            .and_then(|turn| turn.blocks.last_mut());
        if let Some(Value::String(text)) = last.and_then(|block| block.get_mut("text")) {
            text.truncate(text.trim_end().len());
        }
    }
}

/// Takes a message's content, with the message's own cache mark on its last block.
fn said(
    message: &mut Map<String, Value>,
    speaker: Speaker,
    place: &Place<'_>,
) -> Result<Vec<Value>, Untranslatable> {
    let content = message.remove("content").unwrap_or_default();
    let mut blocks = part::blocks(content, speaker, &place.member("content"))?;
    if let (Some(mark), Some(Value::Object(last))) =
        (take_cache_control(message), blocks.last_mut())
    {
        last.insert("cache_control".into(), mark);
    }
    Ok(blocks)
}

fn assistant(
    mut message: Map<String, Value>,
    place: &Place<'_>,
) -> Result<Vec<Value>, Untranslatable> {
    for (name, instead) in [
        (
            "function_call",
            "is not supported by this model's provider; use `tool_calls`",
        ),
        ("audio", "is not supported by this model's provider"),
    ] {
        if message.get(name).is_some_and(|value| !value.is_null()) {
            return Err(place.member(name).refuse(instead));
        }
    }
    let mut blocks = said(&mut message, Speaker::Assistant, place)?;
    if let Some(Value::String(refusal)) = message.remove("refusal") {
        blocks.extend(part::text_block(refusal, None));
    }
    let within = place.member("tool_calls");
    for (index, call) in items(&mut message, "tool_calls", place)?
        .into_iter()
        .enumerate()
    {
        blocks.push(tool_use(call, &within.item(index))?);
    }
    if blocks.is_empty() {
        return Ok(blocks);
    }
    let within = place.member("thinking_blocks");
    let thoughts = items(&mut message, "thinking_blocks", place)?;
    let mut placed = Vec::with_capacity(thoughts.len());
    for (index, thought) in thoughts.into_iter().enumerate() {
        if let Some((at, block)) = thinking(thought, &within.item(index))? {
            placed.push((at.unwrap_or(placed.len()), block));
        }
    }
    let mut blocks = merged(blocks, placed);
    // An answer may have been cut off while it thought; Anthropic takes no turn that ends so.
    let said = blocks.iter().rposition(|block| !is_thinking(block));
    blocks.truncate(said.map_or(0, |last| last + 1));
    Ok(blocks)
}

/// Puts blocks between others, each at its place in the whole, or at the end where that is shorter.
fn merged(others: Vec<Value>, mut placed: Vec<(usize, Value)>) -> Vec<Value> {
    if placed.is_empty() {
        return others;
    }
    placed.sort_by_key(|(at, _)| *at);
    let mut whole = Vec::with_capacity(others.len() + placed.len());
    let mut placed = placed.into_iter().peekable();
    for other in others {
        while let Some((_, block)) = placed.next_if(|(at, _)| *at <= whole.len()) {
            whole.push(block);
        }
        whole.push(other);
    }
    whole.extend(placed.map(|(_, block)| block));
    whole
}

/// Takes an array out of a message; null counts as empty.
fn items(
    message: &mut Map<String, Value>,
    name: &str,
    place: &Place<'_>,
) -> Result<Vec<Value>, Untranslatable> {
    match message.remove(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(place.member(name).refuse("must be an array")),
    }
}

fn tool_use(call: Value, place: &Place<'_>) -> Result<Value, Untranslatable> {
    let Value::Object(mut call) = call else {
        return Err(place.refuse("must be an object"));
    };
    let id = tool_id(&take_text(&mut call, "id", place)?, &place.member("id"))?;
    // Some clients leave the type of the only kind of call there was for long out.
    if call.get("type").is_some_and(|kind| kind != "function") {
        let reason = "must be `function` for this model's provider";
        return Err(place.member("type").refuse(reason));
    }
    let mut function = take_object(&mut call, "function", place)?;
    let place = place.member("function");
    let name = take_text(&mut function, "name", &place)?;
    let arguments = take_text(&mut function, "arguments", &place)?;
    let mut block = Map::new();
    block.insert("type".into(), "tool_use".into());
    block.insert("id".into(), id.into());
    block.insert("name".into(), name.into());
    block.insert("input".into(), input(&arguments));
    if let Some(mark) = take_cache_control(&mut call) {
        block.insert("cache_control".into(), mark);
    }
    Ok(block.into())
}

fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    match serde_json::from_str(arguments) {
        Ok(input @ Value::Object(_)) => input,
        _ => json!({"INVALID_JSON": arguments}),
    }
}

fn tool_id(id: &str, place: &Place<'_>) -> Result<String, Untranslatable> {
    if id.is_empty() {
        return Err(place.refuse("must not be empty"));
    }
    let mut legal = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            legal.push(char::from(byte));
        } else {
            let _ = write!(legal, "_{byte:02x}");
        }
    }
    Ok(legal)
}

fn is_thinking(block: &Value) -> bool {
    block["type"] == "thinking" || block["type"] == "redacted_thinking"
}

/// Reads a thinking block as our answers give it: where it was, and itself, unchanged but for its
/// `index`. None where it has no signature: it is no block that Anthropic made.
fn thinking(
    block: Value,
    place: &Place<'_>,
) -> Result<Option<(Option<usize>, Value)>, Untranslatable> {
    let Value::Object(mut block) = block else {
        return Err(place.refuse("must be an object"));
    };
    let index = block.shift_remove("index").and_then(|index| index.as_u64());
    let proof = match block.get("type").and_then(Value::as_str) {
        Some("thinking") => "signature",
        Some("redacted_thinking") => "data",
        _ => {
            let reason = "must be `thinking` or `redacted_thinking`";
            return Err(place.member("type").refuse(reason));
        }
    };
    let is_signed = block
        .get(proof)
        .and_then(Value::as_str)
        .is_some_and(|text| !text.is_empty());
    let at = index.and_then(|index| usize::try_from(index).ok());
    Ok(is_signed.then(|| (at, block.into())))
}

fn result(mut message: Map<String, Value>, place: &Place<'_>) -> Result<Value, Untranslatable> {
    let id = take_text(&mut message, "tool_call_id", place)?;
    let id = tool_id(&id, &place.member("tool_call_id"))?;
    let mark = take_cache_control(&mut message);
    let content = said(&mut message, Speaker::Tool, place)?;
    let mut block = Map::new();
    block.insert("type".into(), "tool_result".into());
    block.insert("tool_use_id".into(), id.into());
    if !content.is_empty() {
        block.insert("content".into(), content.into());
    }
    if let Some(mark) = mark {
        block.insert("cache_control".into(), mark);
    }
    Ok(block.into())
}
