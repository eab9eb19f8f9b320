//! What a simulated provider is, before it runs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::behaviour::Behaviour;
use crate::journal::{Journal, Recording};
use crate::openai::Persona;
use crate::protocol::Protocol;
use crate::script::Script;
use crate::server::{self, Server, Versions};
use crate::service::Shared;
use crate::tls::{Identity, Tls};
use crate::upstream::Upstream;

/// A simulated provider to be started.
#[derive(Debug)]
pub struct Builder {
    persona: Persona,
    behaviour: Behaviour,
    seed: u64,
    identity: Option<Identity>,
    versions: Versions,
    recording: Recording,
    streams: Option<u32>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            persona: Persona::default(),
            behaviour: Behaviour::echo(),
            seed: 0,
            identity: None,
            versions: Versions::Both,
            recording: Recording::Whole,
            streams: None,
        }
    }
}

impl Builder {
    /// Sets the name that answers carry.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.persona.name = name.into();
        self
    }

    /// Sets the protocol that it speaks.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.persona.protocol = protocol;
        self
    }

    /// Makes it know its models for operations only whose path ends so.
    #[must_use]
    pub fn only(mut self, path_end: impl Into<String>) -> Self {
        self.persona.only = Some(path_end.into());
        self
    }

    /// Sets the models that are listed; any other is answered all the same.
    #[must_use]
    pub fn models<M: Into<String>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.persona.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how requests are answered that no script covers.
    #[must_use]
    pub fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// Sets the seed of what is left to chance.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Serves over TLS, with an authority of its own: see [`Upstream::ca_pem`].
    #[must_use]
    pub fn tls(self) -> Self {
        self.tls_as(Identity::generate())
    }

    /// Serves over TLS as this.
    #[must_use]
    pub fn tls_as(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Speaks HTTP/2 only; without TLS, with prior knowledge.
    #[must_use]
    pub fn h2c_only(mut self) -> Self {
        self.versions = Versions::Http2;
        self
    }

    /// Allows so many streams on a connection of HTTP/2.
    #[must_use]
    pub fn streams(mut self, most: u32) -> Self {
        self.streams = Some(most);
        self
    }

    /// Speaks HTTP/1.1 only.
    #[must_use]
    pub fn http1_only(mut self) -> Self {
        self.versions = Versions::Http1;
        self
    }

    /// Counts requests without keeping them, as a provider must that runs for long.
    #[must_use]
    pub fn count_only(mut self) -> Self {
        self.recording = Recording::Count;
        self
    }

    /// Starts on a free port of the loopback interface; panics if there is none.
    #[expect(
        clippy::unused_async,
        reason = "starting needs a runtime, which a caller then has"
    )]
    pub async fn start(self) -> Upstream {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.listen(address)
            .expect("a free port on the loopback interface")
    }

    /// Starts on `address`, inside a tokio runtime.
    ///
    /// # Errors
    /// When the address is taken or is not this machine's.
    pub fn listen(self, address: SocketAddr) -> io::Result<Upstream> {
        let listener = server::listen(address)?;
        let address = listener.local_addr()?;
        let alpn: &[&str] = match self.versions {
            Versions::Both => &["h2", "http/1.1"],
            Versions::Http1 => &["http/1.1"],
            Versions::Http2 => &["h2"],
        };
        let tls = self.identity.map(|identity| Tls::new(identity, alpn));
        let (acceptor, ca_pem) = tls.map(|tls| (tls.acceptor, tls.ca_pem)).unzip();

        let shared = Arc::new(Shared {
            persona: self.persona,
            script: Mutex::new(Script::new(self.behaviour, self.seed)),
            journal: Arc::new(Journal::new(self.recording)),
        });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let server = Server {
            shared: Arc::clone(&shared),
            tls: acceptor,
            versions: self.versions,
            streams: self.streams,
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(server.run(listener));
        Ok(Upstream::new(address, ca_pem, shared, stop, tasks))
    }
}
