//! The parts of a message's content.
//!
//! Data come as `data:` URLs and go on as `inlineData`. An `https:` or `gs:` URL goes on as
//! `fileData`: Google fetches it. Other URLs are refused: neither Google nor Berry may reach them.

use serde_json::{Map, Value};

use super::member::{Members, object, put, refuse, within};
use crate::adapter::translate::{Untranslatable, after_scheme};

/// What the ends of addresses say of the type; without one Google finds it out.
const TYPES: &[(&str, &str)] = &[
    (".png", "image/png"),
    (".jpg", "image/jpeg"),
    (".jpeg", "image/jpeg"),
    (".webp", "image/webp"),
    (".gif", "image/gif"),
    (".heic", "image/heic"),
    (".heif", "image/heif"),
    (".pdf", "application/pdf"),
];

/// The audio formats that Gemini takes.
const AUDIO: &[&str] = &["wav", "mp3", "aac", "ogg", "flac", "aiff"];

/// Returns a part of text; empty ones are refused by Gemini, and say nothing.
pub(super) fn text(text: String) -> Option<Value> {
    (!text.is_empty()).then(|| object([("text", text.into())]))
}

/// Reads content that has no parts but text and refusals.
pub(super) fn texts(content: Value) -> Result<Vec<Value>, Untranslatable> {
    let texts = read(content, |part, kind| match kind {
        "text" | "refusal" => Ok(text(part.needed(kind)?)),
        _ => Err(refuse("type", "a part of this message must be a `text`")),
    });
    Ok(texts?.into_iter().flatten().collect())
}

/// Reads content that has no parts but text, and joins them.
pub(super) fn plain_text(content: Value) -> Result<String, Untranslatable> {
    if let Value::String(text) = content {
        return Ok(text);
    }
    let texts = read(content, |part, kind| match kind {
        "text" => part.needed("text"),
        _ => Err(refuse("type", "a part of a tool's result must be a `text`")),
    });
    Ok(texts?.concat())
}

/// Reads what a user says.
pub(super) fn of_user(content: Value) -> Result<Vec<Value>, Untranslatable> {
    let parts = read(content, |part, kind| match kind {
        "text" => Ok(text(part.needed("text")?)),
        "image_url" => member(part, kind, |image| location("url", &image.needed("url")?)),
        "input_audio" => member(part, kind, audio),
        "file" => member(part, kind, file),
        _ => {
            let message = format!(
                "a part of type `{kind}` cannot be translated; use `text`, `image_url`, `input_audio` or `file`"
            );
            Err(refuse("type", message))
        }
    });
    Ok(parts?.into_iter().flatten().collect())
}

/// Reads each part of the content; a string is one part of text.
fn read<T>(
    content: Value,
    mut translate: impl FnMut(&mut Members, &str) -> Result<T, Untranslatable>,
) -> Result<Vec<T>, Untranslatable> {
    let parts = match content {
        Value::Array(parts) => parts,
        text @ Value::String(_) => vec![object([("type", "text".into()), ("text", text)])],
        _ => return Err(refuse("", "it must be a string or an array of parts")),
    };
    let each = parts.into_iter().enumerate().map(|(i, part)| {
        let mut part = Members::of(part).map_err(within(format_args!("[{i}]")))?;
        let kind = part.needed("type");
        let part = kind.and_then(|kind| translate(&mut part, &kind));
        part.map_err(within(format_args!("[{i}]")))
    });
    each.collect()
}

/// Goes into the member that a part is named after.
fn member(
    part: &mut Members,
    kind: &str,
    translate: impl FnOnce(&mut Members) -> Result<Value, Untranslatable>,
) -> Result<Option<Value>, Untranslatable> {
    let mut inner = part.needed_object(kind)?;
    let translated = translate(&mut inner).map_err(within(kind))?;
    Ok(Some(translated))
}

fn audio(audio: &mut Members) -> Result<Value, Untranslatable> {
    let format = audio.needed("format")?;
    if !AUDIO.contains(&format.as_str()) {
        let message = format!("the format must be one of `{}`", AUDIO.join("`, `"));
        return Err(refuse("format", message));
    }
    let data = audio.needed("data")?;
    Ok(inline(format!("audio/{format}"), data))
}

fn file(file: &mut Members) -> Result<Value, Untranslatable> {
    if file.value("file_id").is_some() {
        let message = "a file stored at OpenAI cannot be read by this model's provider; send \
                       `file_data`";
        return Err(refuse("file_id", message));
    }
    location("file_data", &file.needed("file_data")?)
}

/// Translates a URL, of the data itself or of where they are.
fn location(key: &str, url: &str) -> Result<Value, Untranslatable> {
    if let Some(data) = after_scheme(url, "data:") {
        let parts = data.split_once(',').and_then(|(head, data)| {
            let (media, encoding) = head.rsplit_once(';')?;
            let is_base64 = encoding.eq_ignore_ascii_case("base64");
            is_base64.then_some((media, data))
        });
        let (media, data) = parts
            .filter(|(media, data)| media.contains('/') && !data.is_empty())
            .ok_or_else(|| {
                refuse(
                    key,
                    "a `data:` URL must be `data:<type>;base64,<data>` here",
                )
            })?;
        // Parameters of the type (`;charset=…`) are not part of what Gemini takes.
        let media = media.split(';').next().unwrap_or(media);
        return Ok(inline(media, data));
    }
    if !["https://", "gs://"]
        .iter()
        .any(|scheme| after_scheme(url, scheme).is_some())
    {
        let message = "it must be a `data:` URL in base64, or an `https:` or `gs:` URL that the \
                       provider can fetch";
        return Err(refuse(key, message));
    }
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let path = path.to_ascii_lowercase();
    let media = TYPES.iter().find(|(end, _)| path.ends_with(end));
    let mut data = Map::new();
    put(&mut data, "mimeType", media.map(|&(_, media)| media));
    put(&mut data, "fileUri", Some(url));
    Ok(object([("fileData", data.into())]))
}

fn inline(media: impl Into<Value>, data: impl Into<Value>) -> Value {
    let data = object([("mimeType", media.into()), ("data", data.into())]);
    object([("inlineData", data)])
}
