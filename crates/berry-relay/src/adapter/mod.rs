//! Provider protocols: how each is addressed, authorised and spoken.
//!
//! A protocol, not a provider, is the unit: whatever speaks OpenAI is one row. [`PROTOCOLS`] is the
//! vocabulary of `backend_type`.

pub(crate) mod address;
mod claude;
mod count;
mod gemini;
pub(crate) mod translate;

use berry_core::{Provider, Secret, Term};
use berry_loadbalance::Abilities;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, InvalidHeaderValue};

use serde_json::Value;

use crate::source::TranslateWhole;
use address::Address;
use translate::{Chat, Untranslatable};

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// The name in configuration, logs and metrics.
    pub name: &'static str,
    /// Other spellings that configurations use.
    pub aliases: &'static [&'static str],
    /// Completes a provider's base URL.
    pub(crate) address: fn(&Provider) -> Address,
    /// Returns the header that carries the key.
    pub(crate) credential: fn(&Secret) -> Result<(HeaderName, HeaderValue), InvalidHeaderValue>,
    /// Headers that every request needs, as far as the configuration does not set them.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// How it is spoken.
    pub(crate) tongue: Tongue,
}

/// How a protocol's requests and answers are made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tongue {
    /// As OpenAI's: bodies pass as they are.
    OpenAi {
        /// Streams have chunks that only report, and are not for clients.
        reports: bool,
    },
    /// Otherwise: bodies are translated.
    Foreign(Foreign),
}

/// The translators of a protocol that is not OpenAI's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Foreign {
    /// Of chats.
    pub(crate) chat: &'static dyn Chat,
    /// Of embeddings, where it has them.
    pub(crate) embeddings: Option<TranslateEmbeddings>,
    /// Of the body of an error; none where that is not one of the protocol's.
    pub(crate) error: fn(&[u8]) -> Option<Vec<u8>>,
}

/// Translates a request for embeddings to a model; returns what translates the answer.
pub(crate) type TranslateEmbeddings =
    fn(&[u8], &str) -> Result<(Value, TranslateWhole), Untranslatable>;

/// All protocols there are.
pub const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "openai",
        aliases: &["open_a_i", "open_ai"],
        address: address::openai,
        credential: bearer,
        headers: &[],
        tongue: Tongue::OpenAi { reports: false },
    },
    Protocol {
        name: "azure",
        aliases: &[],
        address: address::azure,
        credential: |key| in_header("api-key", key),
        headers: &[],
        tongue: Tongue::OpenAi { reports: true },
    },
    Protocol {
        name: "claude",
        aliases: &["anthropic"],
        address: address::claude,
        credential: |key| in_header("x-api-key", key),
        headers: &[("anthropic-version", "2023-06-01")],
        tongue: Tongue::Foreign(Foreign {
            chat: claude::CLAUDE,
            embeddings: None,
            error: claude::error::openai,
        }),
    },
    Protocol {
        name: "gemini",
        aliases: &["google"],
        address: address::gemini,
        credential: |key| in_header("x-goog-api-key", key),
        headers: &[],
        tongue: Tongue::Foreign(Foreign {
            chat: &gemini::Gemini,
            embeddings: Some(gemini_embeddings),
            error: gemini::error::openai,
        }),
    },
];

fn gemini_embeddings(body: &[u8], model: &str) -> Result<(Value, TranslateWhole), Untranslatable> {
    let (body, encoding) = gemini::embedding::request(body, model)?;
    let model = model.to_owned();
    let translate = move |answer: &[u8]| gemini::embedding::answer(answer, &model, encoding);
    Ok((body, Box::new(translate)))
}

/// Returns the names as the configuration checks them.
pub(crate) fn vocabulary() -> Vec<Term> {
    PROTOCOLS
        .iter()
        .map(|row| Term {
            name: row.name,
            aliases: row.aliases,
            ignores: &[],
            available: true,
        })
        .collect()
}

/// Returns the protocol of this name.
pub(crate) fn find(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS.iter().find(|row| row.name == name)
}

/// The abilities that say which protocols an endpoint does *not* speak begin here; below are those
/// that stand for operations.
const OTHER_PROTOCOLS: u32 = 16;

/// Returns the ability to do without this protocol: every endpoint has it that speaks another one. A
/// request needs it that cannot be said in the protocol.
pub(crate) fn other_than(protocol: &str) -> Abilities {
    let place = PROTOCOLS.iter().position(|row| row.name == protocol);
    let number = place.and_then(|place| u32::try_from(place).ok());
    number.map_or(Abilities::NONE, |number| {
        Abilities::one(OTHER_PROTOCOLS + number)
    })
}

/// Returns the abilities to do without any protocol but this.
pub(crate) fn others_than_all_but(protocol: &str) -> Abilities {
    PROTOCOLS
        .iter()
        .filter(|row| row.name != protocol)
        .fold(Abilities::NONE, |all, row| all.and(other_than(row.name)))
}

/// Returns the key as a bearer token.
fn bearer(key: &Secret) -> Result<(HeaderName, HeaderValue), InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))?;
    value.set_sensitive(true);
    Ok((AUTHORIZATION, value))
}

/// Returns the key as the value of a header of its own.
fn in_header(
    name: &'static str,
    key: &Secret,
) -> Result<(HeaderName, HeaderValue), InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(key.expose())?;
    value.set_sensitive(true);
    Ok((HeaderName::from_static(name), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_sensitive_in_the_header_of_its_protocol() {
        for (protocol, header, expected) in [
            ("openai", "authorization", "Bearer sk-1"),
            ("azure", "api-key", "sk-1"),
            ("claude", "x-api-key", "sk-1"),
            ("gemini", "x-goog-api-key", "sk-1"),
        ] {
            let (name, value) = (find(protocol).unwrap().credential)(&Secret::new("sk-1")).unwrap();

            assert_eq!((name.as_str(), value.to_str().unwrap()), (header, expected));
            assert!(value.is_sensitive());
        }
    }

    #[test]
    fn an_endpoint_can_do_without_every_protocol_but_its_own() {
        for one in PROTOCOLS {
            for other in PROTOCOLS {
                let able = others_than_all_but(one.name).include(other_than(other.name));
                assert_eq!(able, one.name != other.name);
            }
        }
    }
}
