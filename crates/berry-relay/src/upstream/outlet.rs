//! An address outside that the process itself sends to, reached as upstreams are: the same
//! connections, the environment's proxies, the same roots of trust.

use std::error::Error;
use std::iter::successors;
use std::sync::Arc;
use std::time::Duration;

use berry_core::config::HttpVersion;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Collected, Limited};
use hyper_util::client::proxy::matcher::Matcher;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::connections::{Connections, Settled, Waits};
use super::connector::Connector;
use super::headers::{Common, Headers};
use super::request::Outgoing;
use super::tls::Roots;
use super::transport_error::TransportError;
use super::{OUR_NAME, UpstreamError};
use crate::retry_after;

/// How long an unused connection is kept. Whoever sends less often opens another.
const IDLE: Duration = Duration::from_secs(30);
/// The most that is read of an answer.
const ANSWER: usize = 64 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub struct Outlet {
    uri: Uri,
    headers: Common,
    connections: Arc<Connections>,
}

/// What was answered.
#[derive(Debug)]
pub struct Acknowledged {
    /// The status.
    pub status: StatusCode,
    /// How long to wait, where that is said.
    pub retry_after: Option<Duration>,
    /// The body; empty where it did not come whole.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Nobody answered.
    #[error("{0}")]
    Transport(String),
    /// Not in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
}

impl From<TransportError> for Unreached {
    fn from(error: TransportError) -> Self {
        let causes = successors(error.source(), |&cause| cause.source());
        Self::Transport(causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
    }
}

impl Outlet {
    /// Prepares to send to an address; no connection is opened yet.
    ///
    /// # Errors
    /// It cannot be reached from here: its proxy is not spoken to.
    pub fn new(uri: Uri, content_type: HeaderValue) -> Result<Self, UpstreamError> {
        let tls = if uri.scheme() == Some(&Scheme::HTTPS) {
            Some(Roots::load().client_config(HttpVersion::Auto, None)?)
        } else {
            None
        };
        let connector = Connector::new(uri.clone(), tls, Some(&Matcher::from_env()))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(USER_AGENT, OUR_NAME);
        Ok(Self {
            uri,
            headers: headers.into(),
            connections: Arc::new(Connections::new(connector, Settled::ByAlpn, IDLE)),
        })
    }

    /// Returns where it sends to.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Sends the pieces as one body and waits for the whole answer, as long as `within`.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(
        &self,
        pieces: impl IntoIterator<Item = Bytes>,
        within: Duration,
    ) -> Result<Acknowledged, Unreached> {
        let outgoing = Outgoing {
            method: Method::POST,
            uri: self.uri.clone(),
            headers: Headers::new(&self.headers, Arc::default()),
            body: pieces.into_iter().collect(),
        };
        let waits = Waits {
            connect: within,
            headers: within,
        };
        let deadline = Instant::now() + within;
        let sent = timeout_at(deadline, self.connections.send(&outgoing, waits)).await;
        let (head, body) = sent.map_err(|_| Unreached::Late(within))??.into_parts();
        // The status says what matters.
        let body = timeout_at(deadline, Limited::new(body, ANSWER).collect()).await;
        let body = body.ok().and_then(Result::ok);
        Ok(Acknowledged {
            status: head.status,
            retry_after: retry_after::stated(&head.headers, &[], Timestamp::now()),
            body: body.map(Collected::to_bytes).unwrap_or_default(),
        })
    }
}
