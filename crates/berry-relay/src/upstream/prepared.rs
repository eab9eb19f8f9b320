//! A request as one upstream is to get it, and how its answer is to be read.

use std::sync::Arc;

use berry_loadbalance::Mode;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::Value;

use super::Upstream;
use super::headers::Headers;
use super::request::Outgoing;
use crate::adapter::translate::{Heading, Translated, Untranslatable};
use crate::adapter::{Foreign, Tongue};
use crate::chance::Chance;
use crate::envelope::{Envelope, Pieces};
use crate::exchange::{Ask, Exchange, Operation};
use crate::source::Translation;
use crate::tap::{Grammar, Tap, Unwanted};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) outgoing: Outgoing,
    pub(crate) mode: Mode,
    /// How the answer becomes OpenAI's.
    pub(crate) translation: Translation,
    /// What watches it.
    pub(crate) tap: Tap,
}

/// What a request is prepared for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose<'a> {
    /// The model as the provider calls it.
    pub(crate) model: &'a str,
    /// Streams are to say what they cost, whether or not the client wants to know.
    pub(crate) metered: bool,
    /// Tells answers apart whose provider gives them no id.
    pub(crate) chance: &'a Chance,
}

/// Why a request cannot be sent to an upstream.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsayable {
    /// Its protocol has no words for it.
    #[error(transparent)]
    Untranslatable(#[from] Untranslatable),
    /// It has no such operation, or no address that long.
    #[error("the upstream has no place for it")]
    NoPlace,
}

/// The body and what is known of its answer.
type Said = (Pieces, Translation, Unwanted);

impl Upstream {
    /// Makes the upstream's request of a client's.
    pub(crate) fn prepare(
        &self,
        exchange: &Exchange,
        purpose: Purpose<'_>,
    ) -> Result<Prepared, Unsayable> {
        let own = self.admitted(&exchange.headers);
        match &exchange.ask {
            Ask::Stored(method, stored) => Ok(Prepared {
                outgoing: Outgoing {
                    method: method.clone(),
                    uri: self.places.stored(stored).ok_or(Unsayable::NoPlace)?,
                    headers: Headers::new(&self.bodiless, own),
                    body: Pieces::new(),
                },
                mode: Mode::Whole,
                translation: Translation::None,
                tap: Tap::new(Grammar::Stored, Unwanted::default()),
            }),
            Ask::Model(envelope) => {
                let (operation, mode) = (exchange.operation, exchange.mode());
                let place = self.places.of(operation, mode, purpose.model);
                let uri = place.ok_or(Unsayable::NoPlace)?;
                let (body, translation, unwanted) = self.say(exchange, envelope, purpose)?;
                let mut headers = Headers::new(&self.headers, own);
                if let Some(content_type) = envelope.content_type() {
                    headers.insert(CONTENT_TYPE, content_type.clone());
                }
                Ok(Prepared {
                    outgoing: Outgoing {
                        method: Method::POST,
                        uri,
                        headers,
                        body,
                    },
                    mode,
                    translation,
                    tap: Tap::new(Grammar::of(operation), unwanted),
                })
            }
        }
    }

    /// Returns what may go on of a client's headers. What is configured for the provider wins over what the
    /// client sent, and that over what the protocol has for those who say nothing.
    fn admitted(&self, client: &Arc<HeaderMap>) -> Arc<HeaderMap> {
        let configured = &self.provider.headers;
        if !client.keys().any(|name| configured.contains_key(name)) {
            return Arc::clone(client);
        }
        let mut own = HeaderMap::clone(client);
        for name in configured.keys() {
            own.remove(name);
        }
        Arc::new(own)
    }

    /// Says a request in the upstream's protocol.
    fn say(
        &self,
        exchange: &Exchange,
        envelope: &Envelope,
        purpose: Purpose<'_>,
    ) -> Result<Said, Unsayable> {
        match &self.protocol.tongue {
            &Tongue::OpenAi { reports } => {
                let streamed = exchange.mode() == Mode::Streamed
                    && Grammar::of(exchange.operation) == Grammar::Choices;
                let edit = (purpose.metered && streamed)
                    .then(|| envelope.ask_usage())
                    .flatten();
                let unwanted = Unwanted {
                    usage: edit.is_some(),
                    reports,
                };
                let body = envelope.rewrite(purpose.model, edit);
                Ok((body, Translation::None, unwanted))
            }
            Tongue::Foreign(foreign) => translated(foreign, exchange, envelope, purpose),
        }
    }
}

fn translated(
    foreign: &Foreign,
    exchange: &Exchange,
    envelope: &Envelope,
    purpose: Purpose<'_>,
) -> Result<Said, Unsayable> {
    let model = purpose.model;
    match (exchange.operation, foreign.embeddings) {
        (Operation::ChatCompletions, _) => {
            let Translated { body, reading } = foreign.chat.request(envelope.body(), model)?;
            let heading = Heading {
                id: format!("chatcmpl-{:016x}", purpose.chance.fork().u64(..)),
                created: u64::try_from(Timestamp::now().as_second()).unwrap_or_default(),
                model: model.to_owned(),
                include_usage: true,
            };
            let chat = foreign.chat;
            let translation = match exchange.mode() {
                Mode::Streamed => Translation::Events(chat.decoder(heading, reading)),
                Mode::Whole => {
                    Translation::Whole(Box::new(move |body| chat.answer(body, &heading, reading)))
                }
            };
            let unwanted = Unwanted {
                usage: !envelope.asks_usage(),
                reports: false,
            };
            Ok((written(&body), translation, unwanted))
        }
        (Operation::Embeddings, Some(embeddings)) => {
            let (body, translate) = embeddings(envelope.body(), model)?;
            let translation = Translation::Whole(translate);
            Ok((written(&body), translation, Unwanted::default()))
        }
        _ => Err(Unsayable::NoPlace),
    }
}

fn written(body: &Value) -> Pieces {
    Pieces::from_iter([Bytes::from(body.to_string())])
}
