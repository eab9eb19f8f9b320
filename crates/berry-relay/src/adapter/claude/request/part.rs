//! Parts of a message's content.
//!
//! | part | becomes |
//! |---|---|
//! | `text` | a text block; white space alone is left out, Anthropic refuses it |
//! | `image_url`, a data URL | an image block with a base64 source: JPEG, PNG, GIF or WebP; else refused |
//! | `image_url`, `https:` | an image block with a URL source; `http:` and others are refused |
//! | `image_url.detail` | dropped: Anthropic scales by size |
//! | `file` with `file_data` | a document block with a base64 source, `filename` as its title: PDF; else refused |
//! | `file` with `file_id` | refused: the file is in another provider's storage |
//! | `refusal` (assistant) | a text block |
//! | `input_audio` and all others | refused |
//! | `cache_control` of any part | sent along |

use serde_json::{Map, Value, json};

use super::super::super::translate::{Untranslatable, after_scheme};
use super::super::place::Place;

/// What images can be in.
const IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Whose content a part belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    System,
    User,
    Assistant,
    Tool,
}

impl Speaker {
    fn accepts(self, kind: &str) -> bool {
        match kind {
            "text" => true,
            "image_url" => matches!(self, Self::User | Self::Tool),
            "file" => self == Self::User,
            "refusal" => self == Self::Assistant,
            _ => false,
        }
    }

    fn accepted(self) -> &'static str {
        match self {
            Self::System => "must be `text`",
            Self::User => "must be `text`, `image_url` or `file` for this model's provider",
            Self::Assistant => "must be `text` or `refusal`",
            Self::Tool => "must be `text` or `image_url`",
        }
    }
}

/// Turns a message's content into blocks; nothing where it says nothing.
pub(super) fn blocks(
    content: Value,
    speaker: Speaker,
    place: &Place<'_>,
) -> Result<Vec<Value>, Untranslatable> {
    let parts = match content {
        Value::Null => return Ok(Vec::new()),
        Value::String(text) => return Ok(text_block(text, None).into_iter().collect()),
        Value::Array(parts) => parts,
        _ => return Err(place.refuse("must be a string or an array of parts")),
    };
    let mut blocks = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        blocks.extend(block(part, speaker, &place.item(index))?);
    }
    Ok(blocks)
}

/// Makes a text block; none of white space alone.
pub(super) fn text_block(text: String, cache_control: Option<Value>) -> Option<Value> {
    if text.trim().is_empty() {
        return None;
    }
    let mut block = Map::new();
    block.insert("type".into(), "text".into());
    block.insert("text".into(), text.into());
    Some(cached(block, cache_control))
}

/// Takes the member that marks where Anthropic's cache ends; null counts as absent.
pub(super) fn take_cache_control(object: &mut Map<String, Value>) -> Option<Value> {
    object
        .remove("cache_control")
        .filter(|mark| !mark.is_null())
}

/// Takes a string out of an object.
pub(super) fn take_text(
    object: &mut Map<String, Value>,
    name: &str,
    place: &Place<'_>,
) -> Result<String, Untranslatable> {
    match object.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(place.member(name).refuse("must be a string")),
    }
}

/// Takes an object out of an object.
pub(super) fn take_object(
    object: &mut Map<String, Value>,
    name: &str,
    place: &Place<'_>,
) -> Result<Map<String, Value>, Untranslatable> {
    match object.remove(name) {
        Some(Value::Object(inner)) => Ok(inner),
        _ => Err(place.member(name).refuse("must be an object")),
    }
}

fn block(
    part: Value,
    speaker: Speaker,
    place: &Place<'_>,
) -> Result<Option<Value>, Untranslatable> {
    let Value::Object(mut part) = part else {
        return Err(place.refuse("must be an object"));
    };
    let kind = take_text(&mut part, "type", place)?;
    if !speaker.accepts(&kind) {
        return Err(place.member("type").refuse(speaker.accepted()));
    }
    let mark = take_cache_control(&mut part);
    let block = match kind.as_str() {
        "image_url" => image(&mut part, place)?,
        "file" => document(&mut part, place)?,
        kind => return Ok(text_block(take_text(&mut part, kind, place)?, mark)),
    };
    Ok(Some(cached(block, mark)))
}

fn image(
    part: &mut Map<String, Value>,
    place: &Place<'_>,
) -> Result<Map<String, Value>, Untranslatable> {
    let mut image = take_object(part, "image_url", place)?;
    let within = place.member("image_url");
    let url = take_text(&mut image, "url", &within)?;
    let place = within.member("url");
    let source = match DataUrl::read(url) {
        Ok(mut image) => {
            if image.media_type == "image/jpg" {
                image.media_type = "image/jpeg".into();
            }
            if !IMAGES.contains(&image.media_type.as_str()) {
                return Err(place.refuse("must be a JPEG, PNG, GIF or WebP image"));
            }
            image.into_source()
        }
        Err(url) if after_scheme(&url, "https://").is_some() => json!({"type": "url", "url": url}),
        Err(_) => {
            return Err(place.refuse("must be an `https:` URL or a `data:` URL in base64"));
        }
    };
    Ok(with_source("image", source))
}

fn document(
    part: &mut Map<String, Value>,
    place: &Place<'_>,
) -> Result<Map<String, Value>, Untranslatable> {
    let mut file = take_object(part, "file", place)?;
    let place = place.member("file");
    if file.get("file_id").is_some_and(|id| !id.is_null()) {
        let reason = "names a file in another provider's storage; send its `file_data`";
        return Err(place.member("file_id").refuse(reason));
    }
    let data = take_text(&mut file, "file_data", &place)?;
    let pdf = DataUrl::read(data)
        .ok()
        .filter(|file| file.media_type == "application/pdf");
    let Some(pdf) = pdf else {
        let reason = "must be a `data:` URL of a PDF in base64 for this model's provider";
        return Err(place.member("file_data").refuse(reason));
    };
    let mut block = with_source("document", pdf.into_source());
    if let Some(Value::String(name)) = file.remove("filename") {
        block.insert("title".into(), name.into());
    }
    Ok(block)
}

fn with_source(kind: &str, source: Value) -> Map<String, Value> {
    let mut block = Map::new();
    block.insert("type".into(), kind.into());
    block.insert("source".into(), source);
    block
}

fn cached(mut block: Map<String, Value>, cache_control: Option<Value>) -> Value {
    if let Some(mark) = cache_control {
        block.insert("cache_control".into(), mark);
    }
    block.into()
}

/// `data:image/png;base64,…`
struct DataUrl {
    media_type: String,
    base64: String,
}

impl DataUrl {
    /// Reads a URL; gives it back where it is no data URL in base64, or has no data.
    fn read(url: String) -> Result<Self, String> {
        let parts = after_scheme(&url, "data:").and_then(|rest| rest.split_once(','));
        let Some((head, data)) = parts.filter(|(_, data)| !data.is_empty()) else {
            return Err(url);
        };
        let Some((media_type, encoding)) = head.rsplit_once(';') else {
            return Err(url);
        };
        if !encoding.eq_ignore_ascii_case("base64") {
            return Err(url);
        }
        let media_type = media_type.split(';').next().unwrap_or(media_type);
        let media_type = media_type.trim().to_ascii_lowercase();
        // An image may be megabytes: the text is cut, not copied.
        let data_begins = url.len() - data.len();
        let mut base64 = url;
        base64.drain(..data_begins);
        Ok(Self { media_type, base64 })
    }

    fn into_source(self) -> Value {
        let mut source = Map::new();
        source.insert("type".into(), "base64".into());
        source.insert("media_type".into(), self.media_type.into());
        source.insert("data".into(), self.base64.into());
        source.into()
    }
}
