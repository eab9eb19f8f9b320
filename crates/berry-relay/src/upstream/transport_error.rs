//! Why an exchange with an upstream brought no answer's head, and what may be done about it.

use std::error::Error as _;
use std::time::Duration;

use crate::upstream::connector::ConnectFailure;

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
    Broken(#[source] hyper::Error),
    #[error("the connection broke before any answer")]
    Stale(#[source] hyper::Error),
    #[error("the upstream refused to begin on this connection")]
    Refused(#[source] hyper::Error),
    #[error("the response is not HTTP")]
    NotHttp(#[source] hyper::Error),
}

impl TransportError {
    /// Says what an error before the response's headers means; `answered` tells whether the upstream
    /// had begun to work on the request.
    pub(crate) fn of_connection(error: hyper::Error, answered: bool) -> Self {
        if error.is_parse() {
            return Self::NotHttp(error);
        }
        if answered {
            Self::Broken(error)
        } else {
            Self::Stale(error)
        }
    }

    /// The same for a stream of HTTP/2, whose upstream says whether it had begun: not on streams that it
    /// refuses, nor on those beyond the last that it names when it goes away.
    pub(crate) fn of_stream(error: hyper::Error) -> Self {
        let source = error.source();
        let Some(said) = source.and_then(|source| source.downcast_ref::<h2::Error>()) else {
            return Self::of_connection(error, false);
        };
        let refused = said.reason() == Some(h2::Reason::REFUSED_STREAM);
        if said.is_remote() && (refused || said.is_go_away()) {
            return Self::Refused(error);
        }
        let answered = said.is_reset();
        Self::of_connection(error, answered)
    }
}
