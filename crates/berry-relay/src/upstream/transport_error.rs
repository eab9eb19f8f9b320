//! Why an exchange with an upstream brought no answer's head, and what may be done about it.

use std::error::Error;
use std::time::Duration;

use crate::upstream::connector::ConnectFailure;
use crate::upstream::http1::Http1Error;

/// What an exchange broke on, whatever was spoken.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// Why an exchange ended without response headers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    #[error(transparent)]
    Connect(#[from] ConnectFailure),
    #[error("no HTTP session")]
    Handshake(#[source] hyper::Error),
    #[error("no response headers within {0:?}")]
    HeaderTimeout(Duration),
    #[error("the connection broke before the response headers")]
    Broken(#[source] Cause),
    #[error("the connection broke before any answer")]
    Stale(#[source] Cause),
    #[error("the upstream refused to begin on this connection")]
    Refused(#[source] Cause),
    #[error("the response is not HTTP")]
    NotHttp(#[source] Cause),
}

impl TransportError {
    /// Says what an error before the response's headers means; `answered` tells whether the upstream
    /// had begun to work on the request.
    pub(crate) fn of_connection(error: Http1Error, answered: bool) -> Self {
        if matches!(error, Http1Error::NotHttp(_)) {
            return Self::NotHttp(error.into());
        }
        Self::broken(error.into(), answered)
    }

    /// The same for a stream of HTTP/2, whose upstream says whether it had begun: not on streams that it
    /// refuses, nor on those beyond the last that it names when it goes away.
    pub(crate) fn of_stream(error: hyper::Error) -> Self {
        if error.is_parse() {
            return Self::NotHttp(error.into());
        }
        let source = error.source();
        let Some(said) = source.and_then(|source| source.downcast_ref::<h2::Error>()) else {
            return Self::broken(error.into(), false);
        };
        let refused = said.reason() == Some(h2::Reason::REFUSED_STREAM);
        if said.is_remote() && (refused || said.is_go_away()) {
            return Self::Refused(error.into());
        }
        let answered = said.is_reset();
        Self::broken(error.into(), answered)
    }

    fn broken(cause: Cause, answered: bool) -> Self {
        if answered {
            Self::Broken(cause)
        } else {
            Self::Stale(cause)
        }
    }
}
