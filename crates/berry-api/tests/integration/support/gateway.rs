//! A gateway under test, in this process.

use std::net::SocketAddr;
use std::path::Path;

use berry_api::telemetry::Logs;
use berry_api::{App, Options};
use berry_core::{Config, Source};
use berry_relay::Names;
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Answer, Client, Request, Streaming, TOKEN, chat, get, request, within};

/// A running gateway; dropping it aborts it.
#[derive(Debug)]
pub(crate) struct Gateway {
    address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    running: JoinSet<()>,
}

impl Gateway {
    /// Serves the configuration `toml` on a free port.
    pub(crate) fn start(toml: &str) -> Self {
        Self::start_with(toml, usize::MAX)
    }

    /// The same, for at most so many connections at once.
    pub(crate) fn start_with(toml: &str, max_connections: usize) -> Self {
        Self::serve(
            Source::new("no-such-folder/test.toml", toml),
            max_connections,
        )
    }

    /// Serves a file, which can be changed and reloaded.
    pub(crate) fn start_from(file: &Path) -> Self {
        Self::serve(Source::read(file).expect("a file"), usize::MAX)
    }

    fn serve(source: Source, max_connections: usize) -> Self {
        let app = App::build(Options {
            config: parse(&source),
            source,
            logs: Logs::default(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            max_connections,
            seed: 7,
        })
        .expect("a gateway");
        let address = app.local_addr();
        let (shutdown, told) = oneshot::channel::<()>();
        let mut running = JoinSet::new();
        running.spawn(app.run(async {
            // A sender that is dropped comes with an abort.
            let _ = told.await;
        }));
        Self {
            address,
            shutdown: Some(shutdown),
            running,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends a request on a connection of its own and reads the whole answer.
    pub(crate) async fn send(&self, request: Request) -> Answer {
        self.connect().await.send(request).await
    }

    /// Sends a request on a connection of its own and reads the answer's head.
    pub(crate) async fn open(&self, request: Request) -> Streaming {
        self.connect().await.open(request).await
    }

    /// Sends a chat request and reads the whole answer.
    pub(crate) async fn chat(&self, body: &Value) -> Answer {
        self.send(chat(body.to_string())).await
    }

    /// Sends the same chat request `count` times on one connection, one after the other.
    pub(crate) async fn chat_often(&self, count: usize, body: &Value) -> Vec<Answer> {
        let body = Bytes::from(body.to_string());
        let mut client = self.connect().await;
        let mut answers = Vec::with_capacity(count);
        for _ in 0..count {
            answers.push(client.send(chat(body.clone())).await);
        }
        answers
    }

    /// Sends a chat request and reads the answer's head.
    pub(crate) async fn stream(&self, body: &Value) -> Streaming {
        self.open(chat(body.to_string())).await
    }

    /// Gets a page as the user.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(get(path)).await
    }

    /// Reloads as an admin.
    pub(crate) async fn reload(&self) -> Answer {
        let headers = [("x-api-key", TOKEN)];
        let reload = request(Method::POST, "/admin/reload-config", &headers, "");
        self.send(reload).await
    }

    /// Waits until the configuration that is served, or the count of refused ones, is this.
    pub(crate) async fn reckons(&self, member: &str, count: u64) {
        within(async {
            let mut client = self.connect().await;
            while client.send(get("/metrics")).await.json()["config"][member] != count {}
        })
        .await;
    }

    /// Returns the enabled backends and how many of them are healthy, as `/v1/health` has it.
    pub(crate) async fn backends(&self) -> (u64, u64) {
        let health = self.get("/v1/health").await.json();
        let backends = &health["summary"]["backends"];
        (
            backends["healthy"].as_u64().unwrap(),
            backends["total"].as_u64().unwrap(),
        )
    }

    /// Tells it to stop.
    pub(crate) fn shut_down(&mut self) {
        let shutdown = self.shutdown.take().expect("it was not told before");
        // It may have stopped already.
        let _ = shutdown.send(());
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(&mut self) {
        within(self.running.join_next())
            .await
            .expect("a gateway")
            .expect("an end without a panic");
    }
}

/// Reads a configuration as the binary does.
fn parse(source: &Source) -> Config {
    let loaded = Names::collect().parse(source, &|_| None);
    loaded
        .unwrap_or_else(|findings| panic!("{}", findings.render(source, false)))
        .config
}
