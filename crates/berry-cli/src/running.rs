//! A gateway that runs, as it is found through its configuration and asked over HTTP.
//!
//! The admin's token in a file is for the gateway that the file configures. To any other address goes a
//! token only that was given for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use berry_core::config::variable;
use berry_core::{Authenticator, Config, Secret, Source};
use berry_relay::Names;
use bytes::Bytes;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use rustls::ClientConfig;
use serde_json::Value;
use toml::Table as TomlTable;

use crate::args::{ConfigArg, text};
use crate::{env, exchange, input, opened, trust};

/// Which gateway to ask, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct GatewayArg {
    #[command(flatten)]
    file: ConfigArg,
    /// Where the gateway is, if not where the configuration says; it gets no token of the file
    #[arg(long, value_name = "URL", value_parser = text)]
    url: Option<String>,
    /// The token to send in place of the file's; `-` reads it from stdin, where nobody else sees it
    #[arg(long, value_name = "TOKEN", value_parser = text)]
    token: Option<String>,
    /// Certificates to trust besides the system's, for an `https://` URL: an authority's, or the
    /// gateway's own
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
}

/// See the module's documentation.
pub(crate) struct Running {
    /// Without a `/` at its end.
    base: String,
    tls: Option<Arc<ClientConfig>>,
    token: Option<Secret>,
    /// What to do where a token is missing.
    advice: String,
}

impl Running {
    /// Finds the gateway that is meant.
    pub(crate) fn find(arguments: &GatewayArg) -> anyhow::Result<Self> {
        let GatewayArg {
            file,
            url,
            token,
            ca_file,
        } = arguments;
        let mut found = match url {
            None => Self::configured(file)?,
            Some(url) => {
                let base = base(url)?;
                let is_configured = |found: &Self| found.base == base && ca_file.is_none();
                match Self::configured(file).ok().filter(is_configured) {
                    Some(configured) => configured,
                    None => Self {
                        tls: base
                            .starts_with("https:")
                            .then(|| trust::in_roots(ca_file.as_deref()))
                            .transpose()?,
                        base,
                        token: None,
                        advice: format!(
                            "give it with `--token`: the one in `{}` is sent only to the gateway \
                             that this configures",
                            file.config.display()
                        ),
                    },
                }
            }
        };
        match token.as_deref() {
            None => {}
            Some("-") => {
                let token = Secret::new(input::secret("token")?.expose().trim());
                ensure!(!token.is_empty(), "a token is expected on stdin");
                found.token = Some(token);
            }
            Some(token) => found.token = Some(Secret::new(token)),
        }
        Ok(found)
    }

    /// Finds the gateway that serves a configuration.
    fn configured(file: &ConfigArg) -> anyhow::Result<Self> {
        let source = opened::source(&file.config)?;
        let config = match essentials(&source) {
            Some(config) => config,
            None => opened::open(&file.config)?,
        };
        let address = address(&config)?;
        let (scheme, tls) = match &config.server.tls {
            None => ("http", None),
            Some(files) => {
                let tls = trust::in_served(&files.cert);
                let tls = tls.context("the gateway's certificate is not known")?;
                ("https", Some(tls))
            }
        };
        Ok(Self {
            base: format!("{scheme}://{address}"),
            tls,
            token: admin_token(&source, &config, address.ip()),
            advice: format!(
                "`{}` has no admin whose `token` is in it and is accepted here and now; give one \
                 with `--token`",
                file.config.display()
            ),
        })
    }

    /// Checks that there is a token for what is for admins.
    pub(crate) fn require_admin(&self) -> anyhow::Result<()> {
        ensure!(
            self.token.is_some(),
            "`{}` wants an admin's token: {}",
            self.base,
            self.advice
        );
        Ok(())
    }

    /// Asks for a path, with the admin's token where there is one.
    pub(crate) async fn ask(&self, path: &str) -> anyhow::Result<Bytes> {
        let url = format!("{}{path}", self.base);
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
        let answered = exchange::get(&uri, self.tls.clone(), self.token.as_ref()).await;
        let (status, body) = answered.with_context(|| format!("no gateway answers at `{url}`"))?;
        if status != StatusCode::OK {
            bail!("`{url}` answers with {status}{}", reason(&body));
        }
        Ok(body)
    }

    /// The same, of a path that answers with JSON in which these members are.
    pub(crate) async fn ask_json(&self, path: &str, members: &[&str]) -> anyhow::Result<Value> {
        let body = self.ask(path).await?;
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        let answer = answer.filter(|answer| members.iter().all(|name| answer.get(name).is_some()));
        answer.with_context(|| self.stranger(path))
    }

    /// Returns what is to be said of an answer that no gateway gives.
    pub(crate) fn stranger(&self, path: &str) -> String {
        let url = format!("{}{path}", self.base);
        format!("what answers at `{url}` is no Berry API")
    }
}

/// Returns a URL without what follows its path, if a gateway may be there.
fn base(url: &str) -> anyhow::Result<String> {
    let expected = "expected `http://HOST:PORT` or `https://HOST:PORT`";
    // Who writes a password there does not want to read it.
    ensure!(!url.contains('@'), "`--url` has a user in it: {expected}");
    let uri: Option<Uri> = url.parse().ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let uri = uri.filter(|uri| uri.query().is_none());
    ensure!(uri.is_some(), "`--url` is `{url}`: {expected}");
    Ok(url.trim_end_matches('/').to_owned())
}

/// Returns what the gateway says about its refusal, to be put behind the status.
fn reason(body: &[u8]) -> String {
    let error: Option<Value> = serde_json::from_slice(body).ok();
    let message = error
        .as_ref()
        .and_then(|body| body["error"]["message"].as_str());
    message.map_or_else(String::new, |message| format!(": {message}"))
}

/// Returns what is said of the gateway's address and of its users, if that is valid.
///
/// All else may be faulty, or want keys that only the gateway has: it runs all the same.
fn essentials(source: &Source) -> Option<Config> {
    let mut file: TomlTable = source.text().parse().ok()?;
    file.retain(|section, _| section == "server" || section == "users");
    let essentials = Source::new(source.path(), toml::to_string(&file).ok()?);
    // No token that is sent: each must be there, and differ from the others.
    let value = |name: &str| env::read(name).or_else(|| Some(format!("unset:{name}")));
    let loaded = Names::collect().parse(&essentials, &value).ok()?;
    Some(loaded.config)
}

/// Returns where a gateway with this configuration is reached from here.
fn address(config: &Config) -> anyhow::Result<SocketAddr> {
    let mut address = match env::read(env::BIND_ADDRESS) {
        Some(text) => {
            let wrong = || format!("`{}` is `{text}`, which is no address", env::BIND_ADDRESS);
            text.parse().with_context(wrong)?
        }
        None => config.server.address(),
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

/// Returns the token of the first admin whom the gateway lets in from `peer`, and whose token is in the
/// file or in the variable that it names. What the configuration keeps is only its digest.
fn admin_token(source: &Source, config: &Config, peer: IpAddr) -> Option<Secret> {
    let file: TomlTable = source.text().parse().ok()?;
    let authenticator = Authenticator::new(&config.users);
    let admins = config.users.iter().filter(|user| user.is_admin());
    let mut tokens = admins.filter_map(|user| {
        let written = file.get("users")?.get(user.id.as_str())?;
        let written = written.get("token")?.as_str()?;
        let token = match variable(written) {
            Some(name) => Secret::new(env::read(name)?.trim()),
            None => Secret::new(written),
        };
        let owner = authenticator.authenticate(token.expose(), peer, Timestamp::now);
        (owner.ok()?.id == user.id).then_some(token)
    });
    tokens.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_where_a_url_without_a_query_says() {
        for (url, expected) in [
            ("http://a:1", "http://a:1"),
            ("https://[::1]:2/", "https://[::1]:2"),
            ("https://a/berry/", "https://a/berry"),
        ] {
            assert_eq!(base(url).unwrap(), expected);
        }
        for url in ["", "a:1", "/x", "ftp://a", "http://a/?x=1", "unix:/run/x"] {
            assert!(base(url).is_err(), "{url}");
        }
        let told = base("http://me:secret@a").unwrap_err().to_string();
        assert!(!told.contains("secret"), "{told}");
    }
}
