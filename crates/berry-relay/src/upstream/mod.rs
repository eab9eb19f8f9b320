//! A provider, ready to be called.

mod body;
mod connections;
mod connector;
mod listening;
mod reach;
mod request;
mod tls;

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use berry_core::Provider;
use berry_core::config::Settings;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Response, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use crate::adapter::{self, Protocol};
use crate::envelope::Pieces;
use crate::exchange::{Exchange, Operation};
pub(crate) use body::UpstreamBody;
pub(crate) use connections::{TransportError, Waits};
use reach::Reach;
use request::Outgoing;
pub(crate) use tls::Roots;
pub use tls::TlsError;

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
    /// Where each operation is asked for, in the order of [`Operation::ALL`].
    urls: Vec<Uri>,
    /// Where the list of models is.
    models: Uri,
    /// Sent with every request: the credential and the configured headers.
    headers: HeaderMap,
    reach: Reach,
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
        let previous = previous.map(|upstream| &upstream.reach);
        let reach = Reach::find(&provider, settings, surroundings, previous)?;
        let urls = Operation::ALL
            .iter()
            .map(|&operation| (protocol.url)(&provider.base_url, operation));
        Ok(Self {
            urls: urls.collect::<Result<_, _>>()?,
            models: (protocol.models)(&provider.base_url)?,
            headers: fixed_headers(&provider, protocol)?,
            reach,
            connect_timeout: settings.connect_timeout,
            provider,
        })
    }

    /// Returns a digest of what the provider knows us by: the key and the configured headers.
    pub(crate) fn credential(&self) -> u64 {
        let mut context = digest::Context::new(&digest::SHA256);
        for (name, value) in &self.headers {
            context.update(name.as_ref());
            context.update(b":");
            context.update(value.as_bytes());
            context.update(b"\n");
        }
        let mut first = [0; 8];
        first.copy_from_slice(&context.finish().as_ref()[..8]);
        u64::from_le_bytes(first)
    }

    /// Sends the exchange's request for `model` and waits for the answer's headers.
    pub(crate) async fn send(
        &self,
        exchange: &Exchange,
        model: &str,
    ) -> Result<Response<UpstreamBody>, TransportError> {
        let mut headers = self.headers.clone();
        for (name, value) in &exchange.headers {
            // What is configured for the provider wins over what the client sent.
            headers.entry(name).or_insert_with(|| value.clone());
        }
        let outgoing = Outgoing {
            method: Method::POST,
            uri: self.urls[exchange.operation as usize].clone(),
            headers,
            body: exchange.envelope.rewrite(model),
        };
        let response_timeout = self.provider.response_timeout;
        let headers = if exchange.envelope.stream() {
            response_timeout.streamed
        } else {
            response_timeout.whole
        };
        let waits = Waits {
            connect: self.connect_timeout,
            headers,
        };
        self.reach.connections().send(&outgoing, waits).await
    }

    /// Asks for the list of models and waits for the answer's headers, as long as `within`.
    pub(crate) async fn list_models(
        &self,
        within: Duration,
    ) -> Result<Response<UpstreamBody>, TransportError> {
        let mut headers = self.headers.clone();
        headers.remove(CONTENT_TYPE);
        let outgoing = Outgoing {
            method: Method::GET,
            uri: self.models.clone(),
            headers,
            body: Pieces::new(),
        };
        self.probe(&outgoing, within).await
    }

    /// Sends a chat of the gateway's own and waits for the answer's headers, as long as `within`.
    pub(crate) async fn chat(
        &self,
        body: Bytes,
        within: Duration,
    ) -> Result<Response<UpstreamBody>, TransportError> {
        let outgoing = Outgoing {
            method: Method::POST,
            uri: self.urls[Operation::ChatCompletions as usize].clone(),
            headers: self.headers.clone(),
            body: Pieces::from_iter([body]),
        };
        self.probe(&outgoing, within).await
    }

    async fn probe(
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
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("berry-api/", env!("CARGO_PKG_VERSION"))),
    );
    // Compressed bytes cannot be watched.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if !provider.api_key.is_empty() {
        let (name, value) = (protocol.credential)(&provider.api_key)?;
        headers.insert(name, value);
    }
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    Ok(headers)
}
