//! A gateway that runs, as it is found through its configuration and asked over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use berry_core::config::SourceError;
use berry_core::{Config, Source, TokenDigest};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use toml::Table as TomlTable;

use crate::env;
use crate::opened::{self, Opened};

/// Where the gateway listens unless told otherwise.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);
/// A gateway answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module's documentation.
pub(crate) struct Running {
    base: String,
    token: Option<String>,
}

impl Running {
    /// Finds the gateway that serves this configuration, or takes it to be at `url`.
    pub(crate) fn find(file: &Path, url: Option<&str>) -> anyhow::Result<Self> {
        let Some(url) = url else {
            let Opened { source, config } = opened::open(file)?;
            return Ok(Self {
                base: format!("http://{}", address(&config)?),
                token: admin_token(&source, &config),
            });
        };
        // Whoever knows the address needs no file, but for the token of an admin.
        let opened = match Source::read(file) {
            Err(SourceError::Missing(_)) => None,
            _ => Some(opened::open(file)?),
        };
        Ok(Self {
            base: url.trim_end_matches('/').to_owned(),
            token: opened.and_then(|Opened { source, config }| admin_token(&source, &config)),
        })
    }

    /// Checks that the configuration has a token for what is for admins.
    pub(crate) fn require_admin(&self, file: &Path) -> anyhow::Result<()> {
        self.token.as_ref().map(|_| ()).with_context(|| {
            let path = file.display();
            format!("there is no `{path}` with an enabled admin whose `token` is in it")
        })
    }

    /// Asks for a path, with the admin's token where there is one.
    pub(crate) async fn ask(&self, path: &str) -> anyhow::Result<Bytes> {
        let url = format!("{}{path}", self.base);
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
        if uri.scheme_str() != Some("http") {
            bail!("`{url}` is not reached by `http://`, which is what a gateway speaks");
        }
        let mut request = Request::get(uri);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answered = timeout(PATIENCE, async {
            let response = client.request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok((status, body))
        });
        let answered = answered
            .await
            .map_err(|_| anyhow!("no answer within {PATIENCE:?}"))?;
        let (status, body) = answered.with_context(|| format!("no gateway answers at `{url}`"))?;
        if status != StatusCode::OK {
            bail!("`{url}` answers with {status}{}", reason(&body));
        }
        Ok(body)
    }

    /// The same, of a path that answers with JSON.
    pub(crate) async fn ask_json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
    ) -> anyhow::Result<T> {
        let body = self.ask(path).await?;
        let wrong = || format!("`{}{path}` does not answer with JSON", self.base);
        serde_json::from_slice(&body).with_context(wrong)
    }
}

/// Returns what the gateway says about its refusal, to be put behind the status.
fn reason(body: &[u8]) -> String {
    let error: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = error
        .as_ref()
        .and_then(|body| body["error"]["message"].as_str());
    message.map_or_else(String::new, |message| format!(": {message}"))
}

/// Returns where a gateway with this configuration is reached from here.
fn address(config: &Config) -> anyhow::Result<SocketAddr> {
    let mut address = match env::read(env::BIND_ADDRESS) {
        Some(text) => {
            let wrong = || format!("`{}` is `{text}`, which is no address", env::BIND_ADDRESS);
            text.parse().with_context(wrong)?
        }
        None => config.server.bind_address.unwrap_or(DEFAULT_ADDRESS),
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

/// Returns the token of the first enabled admin whose token is in the file. What the configuration
/// keeps is only its digest.
fn admin_token(source: &Source, config: &Config) -> Option<String> {
    let file: TomlTable = source.text().parse().ok()?;
    let admins = config
        .users
        .iter()
        .filter(|user| user.enabled && user.is_admin());
    let mut tokens = admins.filter_map(|user| {
        let written = file.get("users")?.get(user.id.as_str())?;
        let token = written.get("token")?.as_str()?;
        (TokenDigest::of(token) == user.token).then(|| token.to_owned())
    });
    tokens.next()
}
