//! What the tests are written with: a gateway from TOML, clients, a proxy, a wire, the
//! real binary.

mod answer;
mod client;
mod collector;
pub(crate) mod frames;
mod gateway;
mod process;
mod proxy;
mod raw;
mod script;
mod setup;
mod shape;
mod stage;
mod wire;

use std::time::Duration;

pub(crate) use answer::{Answer, Streaming, error_event};
pub(crate) use client::{Client, Request, chat, get, hello, hello_stream, request};
pub(crate) use collector::{Collector, Traced};
pub(crate) use gateway::Gateway;
pub(crate) use process::{Finished, Process, run, scratch, signal};
pub(crate) use proxy::Proxy;
pub(crate) use raw::Raw;
pub(crate) use script::{Script, Then};
pub(crate) use setup::{Setup, TOKEN};
pub(crate) use shape::{list, number_or_null, shape, text_or_null};
pub(crate) use stage::{CLOAKS, Cloak, END, EVENT, JSON, Stage, Step};
pub(crate) use wire::Wire;

/// Longer than any test may take: a hang is to fail where it happens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must happen, but not for ever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it happens in time")
}
