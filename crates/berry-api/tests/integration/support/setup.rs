//! Configurations as TOML text: one public model, backed by the providers that a test needs.

use std::fmt::Write;
use std::net::SocketAddr;

use berry_testkit::Upstream;

use super::Gateway;

/// The token of the only user, unless a test adds others.
pub(crate) const TOKEN: &str = "token-of-ada-0123456789";

/// A configuration to be written and served.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    settings: String,
    strategy: Option<&'static str>,
    model: String,
    providers: Vec<Provider>,
    user: String,
    more: String,
}

#[derive(Debug)]
struct Provider {
    id: String,
    url: String,
    options: String,
    backend: String,
}

impl Setup {
    /// Begins without any provider.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Begins with one provider, `only`.
    pub(crate) fn over(upstream: &Upstream) -> Self {
        Self::new().provider("only", upstream)
    }

    /// Begins with two providers, `first` and `second`; unless another strategy is set, the second
    /// is asked only after the first has failed.
    pub(crate) fn over_two(first: &Upstream, second: &Upstream) -> Self {
        Self::new()
            .provider("first", first)
            .provider("second", second)
    }

    /// Adds a provider with a backend of the model.
    pub(crate) fn provider(self, id: &str, upstream: &Upstream) -> Self {
        self.provider_at(id, &upstream.url())
    }

    /// Adds a provider at a URL.
    pub(crate) fn provider_at(mut self, id: &str, url: &str) -> Self {
        self.providers.push(Provider {
            id: id.to_owned(),
            url: url.to_owned(),
            options: String::new(),
            backend: String::new(),
        });
        self
    }

    /// Adds a provider at an address where nobody listens.
    pub(crate) fn dead_provider(self, id: &str) -> Self {
        self.provider_at(id, &format!("http://{}/v1", unused_address()))
    }

    /// Adds lines to the provider that was added last.
    pub(crate) fn option(mut self, line: &str) -> Self {
        push_line(&mut self.last().options, line);
        self
    }

    /// Adds lines to the backend of the provider that was added last.
    pub(crate) fn backend(mut self, line: &str) -> Self {
        push_line(&mut self.last().backend, line);
        self
    }

    /// Adds lines to `[settings]`.
    pub(crate) fn settings(mut self, lines: &str) -> Self {
        push_line(&mut self.settings, lines);
        self
    }

    /// Sets the model's strategy, which is `failover` otherwise: the order of the file.
    pub(crate) fn strategy(mut self, name: &'static str) -> Self {
        self.strategy = Some(name);
        self
    }

    /// Adds lines to the model.
    pub(crate) fn model(mut self, lines: &str) -> Self {
        push_line(&mut self.model, lines);
        self
    }

    /// Adds lines to the user.
    pub(crate) fn user(mut self, lines: &str) -> Self {
        push_line(&mut self.user, lines);
        self
    }

    /// Adds tables at the end.
    pub(crate) fn more(mut self, toml: &str) -> Self {
        push_line(&mut self.more, toml);
        self
    }

    fn last(&mut self) -> &mut Provider {
        self.providers.last_mut().expect("a provider added before")
    }

    /// Returns the text.
    pub(crate) fn toml(&self) -> String {
        // Probes are requests too, and most tests count those.
        let probes = if self.settings.contains("health_check_interval_seconds") {
            ""
        } else {
            "health_check_interval_seconds = 0\n"
        };
        let mut toml = format!("[settings]\n{probes}{}", self.settings);
        for provider in &self.providers {
            let Provider {
                id, url, options, ..
            } = provider;
            // A proxy of the machine that the tests run on is nothing to them.
            let proxy = if options.contains("proxy_url") {
                ""
            } else {
                "proxy_url = \"none\"\n"
            };
            write!(
                toml,
                "[providers.{id}]\nbase_url = \"{url}\"\napi_key = \"key-of-{id}\"\n{proxy}{options}",
            )
            .unwrap();
        }
        if !self.providers.is_empty() {
            let strategy = self.strategy.unwrap_or("failover");
            write!(
                toml,
                "[models.chat]\nname = \"test-model\"\nstrategy = \"{strategy}\"\n{}",
                self.model
            )
            .unwrap();
        }
        for Provider { id, backend, .. } in &self.providers {
            write!(
                toml,
                "[[models.chat.backends]]\nprovider = \"{id}\"\nmodel = \"upstream-model\"\n{backend}"
            )
            .unwrap();
        }
        write!(
            toml,
            "[users.ada]\ntoken = \"{TOKEN}\"\n{}{}",
            self.user, self.more
        )
        .unwrap();
        toml
    }

    /// Serves it on a free port.
    pub(crate) fn start(self) -> Gateway {
        Gateway::start(&self.toml())
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Returns an address that was free a moment ago and refuses connections.
fn unused_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}
