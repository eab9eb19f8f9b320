//! Gemini's protocol: contents, whole and as a stream without an end mark.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::openai::{ApiError, Content, Prompt};
use crate::protocol::Answered;
use crate::reply::Arrival;

/// What a model thinks.
const THOUGHT: &str = "The user wants something. I know what.";
/// What proves that it thought.
const SIGNATURE: &str = "c2lnbmF0dXJl";
/// What Gemini takes in place of a signature that was lost.
const LOST_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    contents: Vec<Turn>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    tool_config: Value,
    #[serde(default)]
    generation_config: Value,
    #[serde(default, rename = "systemInstruction")]
    _system: Value,
    #[serde(default, rename = "safetySettings")]
    _safety: Value,
    #[serde(default, rename = "cachedContent")]
    _cached: Value,
    #[serde(default, rename = "model")]
    _model: Value,
}

#[derive(Deserialize)]
struct Turn {
    #[serde(default)]
    role: String,
    #[serde(default)]
    parts: Vec<Value>,
}

/// Answers a request as its path asks.
pub(crate) fn answer(arrival: Arrival<'_>, pieces: Option<usize>) -> Result<Answered, ApiError> {
    let (path, query) = arrival
        .request
        .path_and_query
        .split_once('?')
        .unwrap_or((&arrival.request.path_and_query, ""));
    let (model, method) = path
        .rsplit_once("/models/")
        .and_then(|(_, named)| named.split_once(':'))
        .unwrap_or_default();
    match (&arrival.request.method, method) {
        (&Method::POST, "generateContent") => {
            let request = parse(arrival)?;
            let content = content(arrival, &request, pieces)?;
            let thought = request.thinks().then(thought);
            let parts: Vec<_> = thought.into_iter().chain([part(&content)]).collect();
            let whole = response(model, arrival, &parts, Some(&content));
            Ok(Answered::Json(whole.to_string().into()))
        }
        // Anything else than events would be an array of objects.
        (&Method::POST, "streamGenerateContent") if query == "alt=sse" => {
            let request = parse(arrival)?;
            let content = content(arrival, &request, pieces)?;
            let thinks = request.thinks();
            Ok(Answered::Events(events(model, arrival, &content, thinks)))
        }
        (&Method::POST, "batchEmbedContents") => embed(arrival),
        (&Method::GET, _) if path.ends_with("/models") => {
            let models = arrival.persona.models.iter();
            let models: Vec<_> = models
                .map(|id| json!({"name": format!("models/{id}"), "displayName": id}))
                .collect();
            Ok(Answered::Json(json!({"models": models}).to_string().into()))
        }
        _ => Err(ApiError::of(StatusCode::NOT_FOUND, None)),
    }
}

fn parse(arrival: Arrival<'_>) -> Result<Request, ApiError> {
    serde_json::from_slice(&arrival.request.body)
        .map_err(|error| ApiError::bad_request(format!("Invalid JSON payload: {error}")))
}

impl Request {
    fn thinks(&self) -> bool {
        self.generation_config["thinkingConfig"]["includeThoughts"] == true
    }
}

/// The part of what a model thinks first, if it thinks.
fn thought() -> Value {
    json!({"text": THOUGHT, "thought": true})
}

/// Decides what to say.
fn content(
    arrival: Arrival<'_>,
    request: &Request,
    pieces: Option<usize>,
) -> Result<Content, ApiError> {
    let known = |turn: &Turn| matches!(turn.role.as_str(), "user" | "model" | "");
    let Some(last) = request
        .contents
        .last()
        .filter(|turn| !turn.parts.is_empty())
    else {
        return Err(ApiError::bad_request("contents is not specified"));
    };
    if !request.contents.iter().all(known) {
        let message = "Please use a valid role: user, model.";
        return Err(ApiError::bad_request(message));
    }
    let parts = request.contents.iter().flat_map(|turn| &turn.parts);
    let mut signatures = parts.filter_map(|part| part["thoughtSignature"].as_str());
    if !signatures.all(|signature| [SIGNATURE, LOST_SIGNATURE].contains(&signature)) {
        return Err(ApiError::bad_request("Thought signature is not valid."));
    }
    let mut results = last.parts.iter();
    let result = results.find_map(|part| part.get("functionResponse"));
    let said = request.contents.iter().rfind(|turn| turn.role != "model");
    let texts = said.into_iter().flat_map(|turn| &turn.parts);
    let texts = texts.filter_map(|part| part["text"].as_str()).collect();
    let prompt = match result {
        Some(result) => Prompt::ToolResult(inside(&result["response"])),
        None => Prompt::User(texts),
    };
    let mode = &request.tool_config["functionCallingConfig"]["mode"];
    let tool = request
        .tools
        .iter()
        .find_map(|tool| tool["functionDeclarations"].get(0))
        .filter(|_| mode != "NONE")
        .map(|tool| {
            let schema = tool
                .get("parametersJsonSchema")
                .unwrap_or(&tool["parameters"]);
            json!({"function": {"name": tool["name"], "parameters": schema}})
        });
    let schema = &request.generation_config["responseJsonSchema"];
    let name = &arrival.persona.name;
    Ok(Content::decide(name, prompt, tool.as_ref(), schema, pieces))
}

/// Returns the texts of a tool's result, wherever they are in it.
fn inside(result: &Value) -> String {
    match result {
        Value::String(text) => text.clone(),
        Value::Object(members) => members.values().map(inside).collect(),
        other => other.to_string(),
    }
}

fn part(content: &Content) -> Value {
    match content {
        Content::Text(pieces) => json!({"text": pieces.concat()}),
        Content::Call(call) => {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            json!({"functionCall": {"name": call.name, "args": arguments}, "thoughtSignature": SIGNATURE})
        }
    }
}

/// Makes one response object; with `ended`, the last one.
fn response(model: &str, arrival: Arrival<'_>, parts: &[Value], ended: Option<&Content>) -> Value {
    let prompt = arrival.request.body.len().div_ceil(4);
    let mut response = json!({
        "candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}],
        "usageMetadata": {"promptTokenCount": prompt, "totalTokenCount": prompt},
        "modelVersion": model,
        "responseId": format!("response-{}", arrival.number),
    });
    if let Some(content) = ended {
        let output = content.tokens();
        response["candidates"][0]["finishReason"] = "STOP".into();
        response["usageMetadata"]["candidatesTokenCount"] = output.into();
        response["usageMetadata"]["totalTokenCount"] = (prompt + output).into();
    }
    response
}

fn events(model: &str, arrival: Arrival<'_>, content: &Content, thinks: bool) -> Vec<Bytes> {
    let mut pieces: Vec<Value> = thinks.then(thought).into_iter().collect();
    match content {
        Content::Text(said) => pieces.extend(said.iter().map(|piece| json!({"text": piece}))),
        // A call comes whole.
        Content::Call(_) => pieces.push(part(content)),
    }
    let last = pieces.len().saturating_sub(1);
    let pieces = pieces.into_iter().enumerate();
    pieces
        .map(|(place, piece)| {
            let ended = (place == last).then_some(content);
            let data = response(model, arrival, &[piece], ended);
            format!("data: {data}\r\n\r\n").into()
        })
        .collect()
}

fn embed(arrival: Arrival<'_>) -> Result<Answered, ApiError> {
    let request: Value = serde_json::from_slice(&arrival.request.body)
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    let requests = request["requests"].as_array();
    let vectors = requests.into_iter().flatten().map(|request| {
        let text = request["content"]["parts"][0]["text"].as_str();
        json!({"values": [text.unwrap_or_default().len(), 0.5, -0.25]})
    });
    let embeddings: Vec<_> = vectors.collect();
    let answer = json!({"embeddings": embeddings});
    Ok(Answered::Json(answer.to_string().into()))
}

/// Writes an error in Google's shape.
pub(crate) fn error(error: &ApiError) -> Value {
    let status = match error.status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    json!({"error": {
        "code": error.status.as_u16(),
        "message": error.message(),
        "status": status,
    }})
}
