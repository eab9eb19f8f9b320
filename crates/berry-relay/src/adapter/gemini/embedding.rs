//! Embeddings: `/v1/embeddings` as `batchEmbedContents`.
//!
//! | OpenAI | Gemini |
//! |---|---|
//! | `input`, a text or several | one of `requests` for each, in order |
//! | `input` of tokens | refused: the models' tokens differ |
//! | `dimensions` | `outputDimensionality`; Gemini does not bring shortened vectors back to length one |
//! | `encoding_format` | `float` or `base64`, made here |
//! | `model` | in each request, and in the address |
//! | `user`, and what OpenAI does not know | dropped |
//!
//! The answer's `model` is the heading's. Older answers count no tokens: their usage is zero, since
//! clients expect the member.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::member::{self, Members, object, put, refuse};
use super::said::write;
use super::wire::{self, Reported};
use crate::adapter::translate::{Garbled, Untranslatable};

/// How the client wants its vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Arrays of numbers.
    Float,
    /// The bytes of 32-bit floats, little-endian, in base64.
    Base64,
}

/// Translates a request.
pub(crate) fn request(body: &[u8], model: &str) -> Result<(Value, Encoding), Untranslatable> {
    translate(body, model).map_err(member::named)
}

fn translate(body: &[u8], model: &str) -> Result<(Value, Encoding), Untranslatable> {
    let mut request = Members::parse(body)?;
    let encoding = match request.string("encoding_format")?.as_deref() {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(_) => {
            let message = "it must be `float` or `base64`";
            return Err(refuse("encoding_format", message));
        }
    };
    let dimensions = request.count("dimensions")?;
    let texts = match request.value("input") {
        Some(text @ Value::String(_)) => vec![text],
        Some(Value::Array(texts)) if !texts.is_empty() => texts,
        _ => return Err(refuse("input", "it must be a text or an array of texts")),
    };
    if !texts.iter().all(Value::is_string) {
        let message = "this model's provider does not take tokens; send texts";
        return Err(refuse("input", message));
    }
    let name = model.strip_prefix("models/").unwrap_or(model);
    let name = format!("models/{name}");
    let requests = texts.into_iter().map(|text| {
        let mut request = Map::new();
        put(&mut request, "model", Some(name.as_str()));
        put(
            &mut request,
            "content",
            Some(object([("parts", vec![object([("text", text)])].into())])),
        );
        put(&mut request, "outputDimensionality", dimensions);
        Value::from(request)
    });
    let requests: Vec<Value> = requests.collect();
    Ok((object([("requests", requests.into())]), encoding))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow)]
    embeddings: Vec<Embedding<'a>>,
    #[serde(default, deserialize_with = "wire::usage")]
    usage_metadata: Reported,
}

#[derive(Deserialize)]
struct Embedding<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
}

/// Translates an answer.
pub(crate) fn answer(body: &[u8], model: &str, encoding: Encoding) -> Result<Vec<u8>, Garbled> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| Garbled)?;
    let mut out = Vec::with_capacity(body.len() + 256);
    out.extend(br#"{"object":"list","data":["#);
    for (i, embedding) in answer.embeddings.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        write(
            &mut out,
            format_args!(r#"{comma}{{"object":"embedding","index":{i},"embedding":"#),
        );
        write_vector(embedding.values, encoding, &mut out)?;
        out.push(b'}');
    }
    let usage = answer.usage_metadata;
    let tokens = usage.and_then(|usage| usage.ok()?.prompt);
    let tokens = tokens.unwrap_or(0);
    let model = Value::from(model);
    write(
        &mut out,
        format_args!(
            r#"],"model":{model},"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#
        ),
    );
    Ok(out)
}

fn write_vector(values: &RawValue, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), Garbled> {
    let numbers: Vec<f32> = serde_json::from_str(values.get()).map_err(|_| Garbled)?;
    match encoding {
        // As they are: no digit is lost.
        Encoding::Float => out.extend(values.get().bytes()),
        Encoding::Base64 => {
            let bytes: Vec<u8> = numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect();
            write(out, format_args!("\"{}\"", STANDARD.encode(bytes)));
        }
    }
    Ok(())
}
