//! HTTP/1.1 towards upstreams.
//!
//! Ours rather than hyper's, whose connection has two halves that talk through channels and wake each
//! other, so that several requests could share it. Here a connection has one user at a time: the
//! request's own task writes to the socket and reads from it, and nothing is in between. What is read is
//! decoded at once and handed on as one piece, however many chunks it came in; a body of known length that
//! is wanted as a whole is read to where it stays. Nothing is read that nobody has asked for, and a
//! connection holds no buffer while it waits.
//!
//! `request.rs` is what is written, `response.rs` reads heads, `framing.rs` and `chunks.rs` say where a
//! body ends, and `session.rs` works the connection. Of HTTP it knows what an upstream may say to these
//! requests: no upgrades, no trailers, no bodies that are compressed on the way.

mod chunks;
mod framing;
mod request;
mod response;
#[cfg(any(test, fuzzing))]
pub(crate) mod script;
mod session;
#[cfg(test)]
mod tests;

use std::io;

pub(crate) use request::Form;
pub(crate) use session::Session;

/// Why an exchange came to no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Http1Error {
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("the connection ended too early")]
    Ended,
    #[error(transparent)]
    NotHttp(#[from] NotHttp),
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotHttp {
    #[error("no head of HTTP/1: {0}")]
    Head(httparse::Error),
    #[error("the head is too long")]
    LongHead,
    #[error("the status is none")]
    Status,
    #[error("another protocol is switched to, unasked")]
    Switch,
    #[error("`content-length` is no number, or not one")]
    Length,
    #[error("`transfer-encoding` is not `chunked` alone, or not in HTTP/1.1")]
    Coding,
    #[error("the body has a length and chunks as well")]
    TwoFramings,
    #[error("a chunk has no size")]
    ChunkSize,
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    #[error("chunks have too much beside them, or control characters")]
    ChunkExtra,
}
