//! Simulated providers over real sockets, in the protocols of OpenAI, Azure, Anthropic and Gemini.
//!
//! A gateway is judged by what it does when a provider is slow, broken or gone, so a test needs a
//! provider that can be all of that on demand and still speaks the real protocol: HTTP/1.1 and
//! HTTP/2, with or without TLS, JSON and server-sent events, paced like tokens, cut off at an exact
//! byte. An [`Upstream`] is such a provider; a [`Behaviour`] says how it answers.
//!
//! The same server runs in the integration tests of the other crates, behind
//! `berry-cli mock-upstream`, and in load tests. It knows nothing of Berry's own types, so that it
//! cannot share Berry's mistakes.

mod azure;
mod behaviour;
mod builder;
mod claude;
mod exchange;
mod fault_io;
mod gemini;
mod journal;
mod openai;
mod paced_body;
mod protocol;
mod reply;
mod script;
mod server;
mod service;
mod tls;
mod upstream;
mod wire;

pub use behaviour::Behaviour;
pub use builder::Builder;
pub use journal::{Recorded, Tally};
pub use protocol::Protocol;
pub use tls::Identity;
pub use upstream::Upstream;
