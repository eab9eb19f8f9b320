//! A provider, ready to be called.

mod body;
mod cleaner;
mod connection;
mod connections;
mod connector;
mod dialer;
mod gate;
mod headers;
pub(crate) mod http1;
mod opening;
mod outlet;
mod prepared;
mod reach;
mod request;
mod scrub;
mod tls;
mod transport_error;

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use berry_core::Provider;
use berry_core::config::Settings;
use berry_loadbalance::{Abilities, Mode};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Response};
use hyper_util::client::proxy::matcher::Matcher;

use crate::adapter::address::Places;
use crate::adapter::{self, Protocol, Tongue};
use crate::envelope::Pieces;
use crate::exchange::Operation;
use crate::json;
use crate::trace::TRACEPARENT;
use crate::waits;
pub(crate) use body::UpstreamBody;
pub(crate) use cleaner::Cleaner;
pub(crate) use connections::{PING_EVERY, PING_WITHIN, Waits};
pub(crate) use gate::{Gate, Place};
use headers::{Common, Headers};
pub use outlet::{Acknowledged, Outlet, Unreached};
pub(crate) use prepared::{Prepared, Purpose, Unsayable};
use reach::Reach;
use request::Outgoing;
pub use scrub::Scrub;
pub use tls::{Roots, TlsError};
pub(crate) use transport_error::TransportError;

/// What the gateway calls itself.
const OUR_NAME: HeaderValue =
    HeaderValue::from_static(concat!("berry-api/", env!("CARGO_PKG_VERSION")));

/// Why a provider cannot be called. Found when the configuration is compiled.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No certificates to check it with.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The key cannot be sent.
    #[error("`api_key` cannot be a header value")]
    Key(#[from] http::header::InvalidHeaderValue),
    /// The protocol is not built in; configurations that name it do not get here.
    #[error("the protocol `{0}` is not available")]
    Protocol(&'static str),
    /// The proxy in the way speaks something else than HTTP in clear text.
    #[error("its proxy is reached by `{0}://`; only `http://` proxies are spoken to")]
    Proxy(String),
    /// The base URL cannot be completed.
    #[error("`base_url` cannot be completed to the address of an operation")]
    Url(#[from] http::uri::InvalidUri),
}

/// What providers share: roots of trust, and the environment's proxies.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// Read where a way that needs them is new: that takes milliseconds.
    pub(crate) roots: LazyCell<Roots>,
    pub(crate) proxies: Matcher,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Upstream {
    provider: Arc<Provider>,
    protocol: &'static Protocol,
    places: Places,
    /// Sent with every request: the credential and the configured headers.
    headers: Common,
    /// The same for requests without a body.
    bodiless: Common,
    /// What its errors and headers must not tell.
    scrub: Arc<Scrub>,
    reach: Reach,
    gate: Arc<Gate>,
    connect_timeout: Duration,
}

impl Upstream {
    /// Prepares to call a provider, over the connections of `previous` where they are good for it.
    pub(crate) fn new(
        provider: Arc<Provider>,
        settings: &Settings,
        surroundings: &Surroundings,
        previous: Option<&Self>,
    ) -> Result<Self, UpstreamError> {
        let protocol =
            adapter::find(provider.protocol).ok_or(UpstreamError::Protocol(provider.protocol))?;
        let gate = previous.map(|upstream| Arc::clone(&upstream.gate));
        let previous = previous.map(|upstream| &upstream.reach);
        let headers = fixed_headers(&provider, protocol)?;
        let reach = Reach::find(&provider, settings, surroundings, previous)?;
        Ok(Self {
            places: Places::compile(&(protocol.address)(&provider))?,
            protocol,
            bodiless: without_body(headers.clone()).into(),
            headers: headers.into(),
            scrub: Arc::new(Scrub::of(&provider, reach.connections().proxy())),
            reach,
            gate: gate.unwrap_or_default(),
            connect_timeout: settings.connect_timeout,
            provider,
        })
    }

    /// Returns a digest of what the provider knows us by: the key and the configured headers.
    pub(crate) fn credential(&self) -> u64 {
        let mut context = digest::Context::new(&digest::SHA256);
        for (name, value) in self.headers.map() {
            context.update(name.as_ref());
            context.update(b":");
            context.update(value.as_bytes());
            context.update(b"\n");
        }
        let mut first = [0; 8];
        first.copy_from_slice(&context.finish().as_ref()[..8]);
        u64::from_le_bytes(first)
    }

    /// Returns what endpoints of this provider can be asked for.
    pub(crate) fn abilities(&self) -> Abilities {
        let operations = Operation::ALL.into_iter();
        operations
            .filter(|&operation| self.places.has(operation))
            .fold(
                adapter::others_than_all_but(self.protocol.name),
                |all, operation| all.and(operation.ability()),
            )
    }

    /// Returns what a request needs that cannot be said in this provider's protocol.
    pub(crate) fn another_protocol(&self) -> Abilities {
        adapter::other_than(self.protocol.name)
    }

    /// Returns what removes from this upstream's words what is not for clients.
    pub(crate) fn scrub(&self) -> &Arc<Scrub> {
        &self.scrub
    }

    /// Returns an upstream's error as OpenAI would have put it and a client may see it, where it is
    /// one.
    pub(crate) fn error_for_client(&self, body: Bytes) -> Option<Bytes> {
        let error = match &self.protocol.tongue {
            Tongue::OpenAi { .. } => Some(body).filter(|body| json::members(body, |_| ()).is_ok()),
            Tongue::Foreign(foreign) => (foreign.error)(&body).map(Bytes::from),
        };
        error.map(|error| self.scrub.clean(error))
    }

    /// Returns how long an answer that has begun may take to its content, where nothing else is set.
    pub(crate) fn patience(&self) -> Duration {
        waits::patience(&self.provider)
    }

    /// Takes a place among the requests that the provider is at work on, where one is free.
    pub(crate) fn try_enter(&self) -> Option<Place> {
        self.gate.try_enter(self.provider.max_concurrent_requests)
    }

    /// Waits for such a place, not for longer than `patience`.
    pub(crate) async fn queue(&self, patience: Duration) -> Option<Place> {
        let most = self.provider.max_concurrent_requests;
        self.gate.queue(most, patience).await
    }

    /// Tells the upstream which attempt of which trace this is. What is configured wins.
    pub(crate) fn name_attempt(&self, outgoing: &mut Outgoing, traceparent: HeaderValue) {
        if !self.provider.headers.contains_key(&TRACEPARENT) {
            outgoing.headers.insert(TRACEPARENT, traceparent);
        }
    }

    /// Sends a request and waits for the answer's headers. The answer's body keeps the place until
    /// it has been read or dropped.
    pub(crate) async fn send(
        &self,
        outgoing: &Outgoing,
        mode: Mode,
        place: Place,
    ) -> Result<Response<UpstreamBody>, TransportError> {
        let response_timeout = self.provider.response_timeout;
        let waits = Waits {
            connect: self.connect_timeout,
            headers: match mode {
                Mode::Streamed => response_timeout.streamed,
                Mode::Whole => response_timeout.whole,
            },
        };
        let response = self.reach.connections().send(outgoing, waits).await?;
        Ok(response.map(|body| body.keeping(place)))
    }

    /// Asks for the list of models and waits for the answer's headers, as long as `within`.
    pub(crate) async fn list_models(
        &self,
        within: Duration,
    ) -> Result<Response<UpstreamBody>, TransportError> {
        let outgoing = Outgoing {
            method: Method::GET,
            uri: self.places.models().clone(),
            headers: Headers::new(&self.bodiless, Arc::default()),
            body: Pieces::new(),
        };
        self.probe(&outgoing, within).await
    }

    /// Sends a request of the gateway's own and waits for the answer's headers, as long as `within`.
    pub(crate) async fn probe(
        &self,
        outgoing: &Outgoing,
        within: Duration,
    ) -> Result<Response<UpstreamBody>, TransportError> {
        let waits = Waits {
            connect: self.connect_timeout.min(within),
            headers: within,
        };
        self.reach.connections().send(outgoing, waits).await
    }
}

fn fixed_headers(provider: &Provider, protocol: &Protocol) -> Result<HeaderMap, UpstreamError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, OUR_NAME);
    // Compressed bytes cannot be watched.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (name, value) in protocol.headers {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if !provider.api_key.is_empty() {
        let (name, value) = (protocol.credential)(&provider.api_key)?;
        headers.insert(name, value);
    }
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    Ok(headers)
}

/// Returns the headers of a request that has no body.
fn without_body(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(CONTENT_TYPE);
    headers
}
