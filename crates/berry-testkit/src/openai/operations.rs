//! The operations besides chat, as plainly as a program on the other end needs them.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::CREATED;
use super::error::ApiError;
use crate::protocol::Answered;
use crate::reply::Arrival;

/// Answers an operation by the end of its path; none where it is no operation of these.
pub(super) fn answer(arrival: Arrival<'_>, path: &str) -> Option<Result<Answered, ApiError>> {
    let body = || serde_json::from_slice(&arrival.request.body).unwrap_or(Value::Null);
    if let Some((_, stored)) = path.split_once("/responses/") {
        return Some(self::stored(arrival, stored));
    }
    if arrival.request.method != Method::POST {
        return None;
    }
    let ends = |end: &str| path.ends_with(end);
    Some(Ok(match () {
        () if ends("/completions") => completion(arrival, &body()),
        () if ends("/embeddings") => embeddings(&body()),
        () if ends("/responses") => response(arrival, &body()),
        () if ends("/moderations") => json_answer(&json!({
            "id": "modr-1", "model": body()["model"],
            "results": [{"flagged": false, "categories": {}, "category_scores": {}}],
        })),
        () if ends("/images/generations") || ends("/images/edits") => {
            json_answer(&json!({"created": CREATED, "data": [{"b64_json": "aW1hZ2U="}]}))
        }
        () if ends("/audio/speech") => {
            Answered::Other("audio/mpeg", Bytes::from_static(b"\xff\xfbsound"))
        }
        () if ends("/audio/transcriptions") || ends("/audio/translations") => {
            heard(&arrival.request.body)
        }
        () if ends("/rerank") => json_answer(&json!({
            "model": body()["model"],
            "results": [{"index": 0, "relevance_score": 0.5}],
            "usage": {"total_tokens": 3},
        })),
        () => return None,
    }))
}

fn json_answer(value: &Value) -> Answered {
    Answered::Json(value.to_string().into())
}

fn completion(arrival: Arrival<'_>, body: &Value) -> Answered {
    let id = format!("cmpl-{}", arrival.number);
    let chunk = |text: &str, reason: Option<&str>| {
        json!({
            "id": id, "object": "text_completion", "created": CREATED, "model": body["model"],
            "choices": [{"text": text, "index": 0, "logprobs": null, "finish_reason": reason}],
        })
    };
    let words = ["Once ", "upon ", "a time"];
    if body["stream"] == true {
        let mut events: Vec<Bytes> = words
            .iter()
            .map(|word| format!("data: {}\n\n", chunk(word, None)).into())
            .collect();
        events.push(format!("data: {}\n\n", chunk("", Some("stop"))).into());
        events.push(Bytes::from_static(super::DONE));
        return Answered::Events(events);
    }
    let mut whole = chunk(&words.concat(), Some("stop"));
    whole["usage"] = json!({"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5});
    json_answer(&whole)
}

fn embeddings(body: &Value) -> Answered {
    let count = body["input"].as_array().map_or(1, Vec::len);
    // Three 32-bit floats, as bytes and as numbers.
    let vector = match body["encoding_format"].as_str() {
        Some("base64") => json!("AACAPwAAAD8AAIC+"),
        _ => json!([1.0, 0.5, -0.25]),
    };
    let data: Vec<_> = (0..count)
        .map(|index| json!({"object": "embedding", "index": index, "embedding": vector}))
        .collect();
    json_answer(&json!({
        "object": "list", "model": body["model"], "data": data,
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }))
}

fn response(arrival: Arrival<'_>, body: &Value) -> Answered {
    let id = format!("resp_{}_{}", arrival.persona.name, arrival.number);
    let said = match &body["input"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = format!("Hello from {}! You said: {said}", arrival.persona.name);
    let item = json!({
        "type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    });
    let object = |status: &str, output: Value, usage: Value| {
        json!({
            "id": id, "object": "response", "created_at": CREATED, "status": status, "error": null,
            "model": body["model"], "output": output, "usage": usage,
            "previous_response_id": body["previous_response_id"], "parallel_tool_calls": true,
            "tool_choice": "auto", "tools": [],
        })
    };
    let usage = json!({
        "input_tokens": 4, "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 10,
    });
    let whole = object("completed", json!([item]), usage);
    if body["stream"] != true {
        return json_answer(&whole);
    }
    let begun = object("in_progress", json!([]), Value::Null);
    let place = json!({"item_id": "msg_1", "output_index": 0, "content_index": 0});
    let with = |more: Value| {
        let mut data = place.clone();
        if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
            data.extend(more);
        }
        data
    };
    let mut events = vec![
        ("response.created", json!({"response": begun})),
        ("response.in_progress", json!({"response": begun})),
        (
            "response.output_item.added",
            json!({"output_index": 0, "item": item}),
        ),
        (
            "response.content_part.added",
            with(json!({"part": {"type": "output_text", "text": "", "annotations": []}})),
        ),
    ];
    let words = text.split_inclusive(' ');
    events.extend(words.map(|word| {
        (
            "response.output_text.delta",
            with(json!({"delta": word, "logprobs": []})),
        )
    }));
    events.push((
        "response.output_text.done",
        with(json!({"text": text, "logprobs": []})),
    ));
    events.push((
        "response.output_item.done",
        json!({"output_index": 0, "item": item}),
    ));
    events.push(("response.completed", json!({"response": whole})));
    let events = events
        .into_iter()
        .enumerate()
        .map(|(number, (name, mut data))| {
            data["type"] = name.into();
            data["sequence_number"] = number.into();
            format!("event: {name}\ndata: {data}\n\n").into()
        });
    Answered::Events(events.collect())
}

/// Answers a question about a stored response, if this provider made it.
fn stored(arrival: Arrival<'_>, stored: &str) -> Result<Answered, ApiError> {
    let (id, part) = stored.split_once('/').unwrap_or((stored, ""));
    if !id.starts_with(&format!("resp_{}_", arrival.persona.name)) {
        return Err(ApiError::of(
            StatusCode::NOT_FOUND,
            Some("response_not_found"),
        ));
    }
    let object = |status: &str| {
        json!({
            "id": id, "object": "response", "created_at": CREATED, "status": status, "error": null,
            "model": "m", "output": [], "usage": null, "parallel_tool_calls": true,
            "tool_choice": "auto", "tools": [],
        })
    };
    match (arrival.request.method.as_str(), part) {
        ("GET", "") => Ok(json_answer(&object("completed"))),
        ("DELETE", "") => Ok(json_answer(
            &json!({"id": id, "object": "response", "deleted": true}),
        )),
        ("POST", "cancel") => Ok(json_answer(&object("cancelled"))),
        ("GET", "input_items") => Ok(json_answer(&json!({
            "object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false,
        }))),
        _ => Err(ApiError::of(StatusCode::NOT_FOUND, None)),
    }
}

/// Answers with what was asked for in a form: its model and how many bytes it has.
fn heard(body: &Bytes) -> Answered {
    let text = String::from_utf8_lossy(body);
    let value = |name: &str| {
        let (_, after) = text.split_once(&format!("name=\"{name}\"\r\n\r\n"))?;
        after.split_once("\r\n").map(|(value, _)| value.to_owned())
    };
    let said = format!("heard by {}", value("model").unwrap_or_default());
    if value("response_format").as_deref() == Some("text") {
        return Answered::Other("text/plain; charset=utf-8", said.into());
    }
    json_answer(&json!({"text": said}))
}
