//! Anthropic's protocol: messages, whole and as typed events.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::openai::{ApiError, Content, Prompt};
use crate::protocol::Answered;
use crate::reply::Arrival;

/// What a model thinks.
const THOUGHT: &str = "The user wants something. I know what.";
/// What proves that it was thought.
const SIGNATURE: &str = "EqQBCgIYAhIM/sim+ulated==";

#[derive(Deserialize)]
struct Request {
    model: String,
    /// Required, unlike everywhere else.
    #[expect(dead_code, reason = "only its presence matters")]
    max_tokens: u64,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    output_config: Value,
    #[serde(default)]
    thinking: Value,
}

impl Request {
    fn thinks(&self) -> bool {
        matches!(self.thinking["type"].as_str(), Some("enabled" | "adaptive"))
    }
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Value,
}

/// Answers a request as its path asks.
pub(crate) fn answer(arrival: Arrival<'_>, pieces: Option<usize>) -> Result<Answered, ApiError> {
    let path = arrival.request.path_and_query.as_str();
    let path = path.split('?').next().unwrap_or_default();
    if !arrival.request.headers.contains_key("anthropic-version") {
        let message = "anthropic-version: header is required";
        return Err(ApiError::bad_request(message));
    }
    match arrival.request.method {
        Method::POST if path.ends_with("/messages") => {
            let request: Request = serde_json::from_slice(&arrival.request.body)
                .map_err(|error| ApiError::bad_request(error.to_string()))?;
            check_thinking(&request)?;
            let content = content(arrival, &request, pieces)?;
            let written = Written {
                arrival,
                model: &request.model,
                content: &content,
                thinks: request.thinks(),
            };
            Ok(if request.stream {
                Answered::Events(written.events())
            } else {
                Answered::Json(written.message().to_string().into())
            })
        }
        Method::GET if path.ends_with("/models") => {
            let models = arrival.persona.models.iter();
            let data: Vec<_> = models
                .map(|id| json!({"type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z"}))
                .collect();
            let list = json!({"data": data, "has_more": false, "first_id": null, "last_id": null});
            Ok(Answered::Json(list.to_string().into()))
        }
        _ => Err(ApiError::of(StatusCode::NOT_FOUND, None)),
    }
}

/// Checks what earlier turns thought, as strictly as Anthropic: a signature proves its text, and a
/// turn with calls, on which the model is to go on thinking, begins with thinking.
fn check_thinking(request: &Request) -> Result<(), ApiError> {
    let turns = request.messages.iter();
    for turn in turns.filter(|turn| turn.role == "assistant") {
        let blocks = turn.content.as_array().map_or(&[][..], Vec::as_slice);
        let thinking = |block: &&Value| block["type"] == "thinking";
        if !blocks
            .iter()
            .filter(thinking)
            .all(|block| *block == thought())
        {
            let message = "Invalid `signature` in `thinking` block";
            return Err(ApiError::bad_request(message));
        }
        let calls = blocks.iter().any(|block| block["type"] == "tool_use");
        if request.thinks() && calls && !blocks.first().as_ref().is_some_and(thinking) {
            let message = "Expected `thinking` or `redacted_thinking`, but found `tool_use`";
            return Err(ApiError::bad_request(message));
        }
    }
    Ok(())
}

/// The block of what a model thinks first, if it thinks.
fn thought() -> Value {
    json!({"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE})
}

/// Decides what to say.
fn content(
    arrival: Arrival<'_>,
    request: &Request,
    pieces: Option<usize>,
) -> Result<Content, ApiError> {
    let known = |message: &Message| matches!(message.role.as_str(), "user" | "assistant");
    let Some(last) = request.messages.last() else {
        return Err(ApiError::bad_request(
            "messages: at least one message is required",
        ));
    };
    if !request.messages.iter().all(known) {
        return Err(ApiError::bad_request("messages: unexpected role"));
    }
    let blocks = last.content.as_array().into_iter().flatten();
    let result = blocks
        .clone()
        .find(|block| block["type"] == "tool_result")
        .map(|block| Prompt::ToolResult(text(&block["content"])));
    let said = request
        .messages
        .iter()
        .rfind(|message| message.role == "user");
    let said = said.map(|message| text(&message.content));
    let prompt = result.unwrap_or(Prompt::User(said.unwrap_or_default()));
    let wanted = request.tool_choice["name"].as_str();
    let tool = request
        .tools
        .iter()
        .find(|tool| wanted.is_none_or(|name| tool["name"] == name))
        .filter(|_| request.tool_choice["type"] != "none")
        .map(
            |tool| json!({"function": {"name": tool["name"], "parameters": tool["input_schema"]}}),
        );
    let schema = &request.output_config["format"]["schema"];
    let name = &arrival.persona.name;
    Ok(Content::decide(name, prompt, tool.as_ref(), schema, pieces))
}

/// Returns the text of a content: itself, or that of its blocks.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks
            .iter()
            .filter_map(|block| block["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}

struct Written<'a> {
    arrival: Arrival<'a>,
    model: &'a str,
    content: &'a Content,
    thinks: bool,
}

impl Written<'_> {
    fn head(&self, content: &[Value], stop_reason: Option<&str>, output: usize) -> Value {
        json!({
            "id": format!("msg_{}", self.arrival.number),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": {
                "input_tokens": self.arrival.request.body.len().div_ceil(4),
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": output,
            },
        })
    }

    fn stop_reason(&self) -> &'static str {
        match self.content {
            Content::Text(_) => "end_turn",
            Content::Call(_) => "tool_use",
        }
    }

    fn message(&self) -> Value {
        let block = match self.content {
            Content::Text(pieces) => json!({"type": "text", "text": pieces.concat()}),
            Content::Call(call) => {
                let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
                let id = format!("toolu_{}", self.arrival.number);
                json!({"type": "tool_use", "id": id, "name": call.name, "input": input})
            }
        };
        let thought = self.thinks.then(thought);
        let blocks: Vec<_> = thought.into_iter().chain([block]).collect();
        self.head(&blocks, Some(self.stop_reason()), self.content.tokens())
    }

    fn events(&self) -> Vec<Bytes> {
        let mut events = vec![event(
            "message_start",
            json!({"message": self.head(&[], None, 1)}),
        )];
        if self.thinks {
            events.extend(thought_events());
        }
        let index = usize::from(self.thinks);
        let (block, deltas): (_, Vec<_>) = match self.content {
            Content::Text(pieces) => {
                let delta = |piece| json!({"type": "text_delta", "text": piece});
                (
                    json!({"type": "text", "text": ""}),
                    pieces.iter().map(delta).collect(),
                )
            }
            Content::Call(call) => {
                let delta = |part| json!({"type": "input_json_delta", "partial_json": part});
                let id = format!("toolu_{}", self.arrival.number);
                (
                    json!({"type": "tool_use", "id": id, "name": call.name, "input": {}}),
                    call.fragments().map(delta).collect(),
                )
            }
        };
        events.push(event(
            "content_block_start",
            json!({"index": index, "content_block": block}),
        ));
        events.push(event("ping", json!({})));
        let delta = |delta| {
            event(
                "content_block_delta",
                json!({"index": index, "delta": delta}),
            )
        };
        events.extend(deltas.into_iter().map(delta));
        events.push(event("content_block_stop", json!({"index": index})));
        events.push(event(
            "message_delta",
            json!({
                "delta": {"stop_reason": self.stop_reason(), "stop_sequence": null},
                "usage": {"output_tokens": self.content.tokens()},
            }),
        ));
        events.push(event("message_stop", json!({})));
        events
    }
}

/// Writes the block of what the model thinks, in pieces.
fn thought_events() -> [Bytes; 5] {
    let (first, rest) = THOUGHT.split_at(THOUGHT.len() / 2);
    let delta = |delta| event("content_block_delta", json!({"index": 0, "delta": delta}));
    let empty = json!({"type": "thinking", "thinking": "", "signature": ""});
    [
        event(
            "content_block_start",
            json!({"index": 0, "content_block": empty}),
        ),
        delta(json!({"type": "thinking_delta", "thinking": first})),
        delta(json!({"type": "thinking_delta", "thinking": rest})),
        delta(json!({"type": "signature_delta", "signature": SIGNATURE})),
        event("content_block_stop", json!({"index": 0})),
    ]
}

/// Writes an event, which is named twice.
fn event(name: &str, mut data: Value) -> Bytes {
    data["type"] = name.into();
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// Writes an error in Anthropic's shape.
pub(crate) fn error(error: &ApiError) -> Value {
    let kind = match error.status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    json!({
        "type": "error",
        "error": {"type": kind, "message": error.message()},
        "request_id": "req_simulated",
    })
}
