//! One request, one upstream conversation.
//!
//! A request is an [`Exchange`]: bytes with a few known places ([`Envelope`]), not a tree. The
//! [`Relay`] picks an endpoint, sends the request with the upstream's model name spliced in, and
//! reads until content has come. Before that, any failure moves the request to another endpoint
//! and the client sees nothing; after it, the [`Answer`] passes on untouched, watched for errors
//! and its end. A [`Snapshot`] is what one configuration compiles to. Between requests the
//! [`UpstreamProber`] asks whether upstreams work, in the same words.
//!
//! No routes, users' tokens or metrics here, and no statuses of our own making.

mod abridge;
mod adapter;
mod answer;
mod beginning;
#[doc(hidden)]
pub mod bench;
mod broken;
mod chance;
mod classify;
mod envelope;
mod error;
mod exchange;
mod expected;
pub mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod json;
mod multipart;
mod patience;
mod pins;
mod prober;
mod quiet;
mod receipt;
pub mod reference;
mod relay;
mod retry_after;
mod shape;
mod snapshot;
mod source;
mod sse;
mod tap;
pub mod trace;
mod until;
mod upstream;
pub mod waits;

pub use adapter::{PROTOCOLS, Protocol};
pub use answer::Answer;
pub use broken::Break;
pub use chance::Chance;
pub use envelope::{Envelope, EnvelopeError};
pub use error::{Failed, RelayError};
pub use exchange::{Ask, Dialect, Exchange, Operation, Stored, StoredPart};
pub use pins::Pin;
pub use prober::UpstreamProber;
pub use quiet::Quiet;
pub use receipt::{Receipt, Spent};
pub use relay::{Relay, Reply, ReplyBody};
pub use snapshot::{CompileError, Names, Route, Snapshot};
pub use tap::Usage;
pub use upstream::{
    Acknowledged, Outlet, Roots, Scrub, TlsError, Unreached, Upstream, UpstreamError,
};
