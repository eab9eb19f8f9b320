//! Addresses of providers that are probably not meant.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::Uri;

use super::Lint;
use crate::config::Provider;

/// Ends of names that no public server has.
const PRIVATE: [&str; 12] = [
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "test",
    "svc",
];

/// The protocol that others speak beside their own, so that it may be meant where it is written.
const COMPATIBLE: &str = "openai";

/// How every loopback address is called here.
const LOOPBACK: &str = "localhost";

/// Where the gateway listens when nobody says where.
const DEFAULT_BIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);

impl Lint<'_> {
    pub(super) fn twin_providers(&mut self) {
        for (place, provider) in self.providers().enumerate() {
            let same = |other: &&Arc<Provider>| {
                place_of(&other.base_url) == place_of(&provider.base_url)
                    && other.protocol == provider.protocol
                    && other.api_key == provider.api_key
                    && other.headers == provider.headers
            };
            let mut earlier = self.providers().take(place);
            if let Some(twin) = earlier.find(same) {
                let id = provider.id.as_str();
                let message = format!(
                    "providers `{}` and `{id}` are the same account at the same address",
                    twin.id
                );
                let help = "when one of them fails or is limited, so is the other";
                self.warn(&["providers", id], message, Some(help));
            }
        }
    }

    pub(super) fn addresses_of_another_protocol(&mut self) {
        for provider in self.providers() {
            let id = provider.id.as_str();
            if let Some((owner, protocol)) = owner_of(&provider.base_url)
                && protocol != provider.protocol
                && !(provider.protocol == COMPATIBLE
                    && self.is_written(&["providers", id, "backend_type"]))
            {
                let message = format!(
                    "provider `{id}` is at an address of {owner}, and is spoken to as `{}`",
                    provider.protocol
                );
                let help = format!("write `backend_type = \"{protocol}\"`");
                self.warn(&["providers", id, "base_url"], message, Some(&help));
                continue;
            }
            let path = provider.base_url.path();
            let (what, help) = match provider.protocol {
                "azure"
                    if path.contains("/deployments/")
                        && !provider.headers.contains_key("api-version") =>
                {
                    (
                        "is asked at a deployment without an `api-version`, which Azure demands",
                        "write `headers = { api-version = \"2024-10-21\" }`",
                    )
                }
                "gemini" if path.ends_with("/openai") => (
                    "has `backend_type = \"gemini\"` and an address where OpenAI's protocol is spoken",
                    "leave `/openai` out of `base_url`, or write `backend_type = \"openai\"`",
                ),
                _ if path.ends_with("/chat") || path.ends_with("/completion") => (
                    "has half of an operation's address: the rest is added behind it",
                    "write it up to the version, as in `https://api.openai.com/v1`",
                ),
                "openai" if path.ends_with("/messages") => (
                    "has an address where Anthropic's protocol is spoken, and another `backend_type`",
                    "write `backend_type = \"claude\"`",
                ),
                _ => continue,
            };
            let message = format!("provider `{id}` {what}");
            self.warn(&["providers", id, "base_url"], message, Some(help));
        }
    }

    /// Names providers that are the gateway: it would answer itself until nothing is left to answer with.
    pub(super) fn the_gateway_itself(&mut self) {
        let own = self.config.server.bind_address.unwrap_or(DEFAULT_BIND);
        for provider in self.providers() {
            let (_, host, port, _) = place_of(&provider.base_url);
            let is_own = match address(&host) {
                Some(host) => host.is_unspecified() || own.ip() == host,
                None => host == LOOPBACK && (own.ip().is_loopback() || own.ip().is_unspecified()),
            };
            if is_own && port == own.port() {
                let id = provider.id.as_str();
                let message =
                    format!("provider `{id}` is at {own}, where the gateway itself listens");
                let help = "it would send its requests to itself; only `BIND_ADDRESS` could move it elsewhere";
                self.warn(&["providers", id, "base_url"], message, Some(help));
            }
        }
    }

    pub(super) fn keys_in_clear_text(&mut self) {
        for provider in self.providers() {
            let url = &provider.base_url;
            let is_open = url.scheme_str() == Some("http") && !provider.api_key.is_empty();
            if !is_open || !url.host().is_some_and(is_public) {
                continue;
            }
            let id = provider.id.as_str();
            let message = format!("the key of provider `{id}` is sent in clear text");
            let help = "write `https://` in `base_url`";
            self.warn(&["providers", id, "base_url"], message, Some(help));
        }
    }
}

/// Returns whose address it is, and the protocol that is spoken there alone.
fn owner_of(url: &Uri) -> Option<(&'static str, &'static str)> {
    let host = url.host()?.to_ascii_lowercase();
    let path = url.path();
    match host.as_str() {
        "api.anthropic.com" => Some(("Anthropic", "claude")),
        "generativelanguage.googleapis.com" if !path.contains("/openai") => {
            Some(("Google's Gemini", "gemini"))
        }
        "api.openai.com" => Some(("OpenAI", "openai")),
        _ if host.ends_with(".azure.com") && path.contains("/deployments/") => {
            Some(("Azure", "azure"))
        }
        _ => None,
    }
}

/// Returns the address in a form that is the same for all ways of writing it.
fn place_of(url: &Uri) -> (bool, String, u16, &str) {
    let is_https = url.scheme_str() == Some("https");
    let host = url.host().unwrap_or_default().to_ascii_lowercase();
    let host = match address(&host) {
        Some(address) if address.is_loopback() => LOOPBACK.to_owned(),
        Some(address) => address.to_string(),
        None => host,
    };
    let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    (is_https, host, port, url.path().trim_end_matches('/'))
}

/// Returns the address that a host is, if it is no name.
fn address(host: &str) -> Option<IpAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().ok().map(|host| host.to_canonical())
}

/// Whether a host is reached through networks of strangers, as far as its name tells. A name without a
/// dot is one of a container, a cluster or an office.
fn is_public(host: &str) -> bool {
    match address(host) {
        Some(IpAddr::V4(host)) => {
            let [first, second, ..] = host.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(host.is_loopback() || host.is_private() || host.is_link_local() || is_shared)
        }
        Some(IpAddr::V6(host)) => {
            !(host.is_loopback() || host.is_unique_local() || host.is_unicast_link_local())
        }
        None => {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            let is_in = |domain: &str| {
                let rest = host.strip_suffix(domain);
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            host.contains('.') && !PRIVATE.into_iter().any(is_in)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        let place = |url: &str| {
            let url: Uri = url.parse().unwrap();
            let (is_https, host, port, path) = place_of(&url);
            (is_https, host, port, path.to_owned())
        };

        for (one, other) in [
            ("http://localhost:80/v1", "http://127.0.0.1/v1/"),
            ("http://localhost", "http://[::1]/"),
            ("https://API.example.com", "https://api.example.com:443"),
            ("http://[::ffff:10.0.0.1]/", "http://10.0.0.1"),
        ] {
            assert_eq!(place(one), place(other));
        }
        for (one, other) in [
            ("http://a", "https://a"),
            ("http://a:8080", "http://a"),
            ("http://a/v1", "http://a/v2"),
            ("http://a/V1", "http://a/v1"),
        ] {
            assert_ne!(place(one), place(other));
        }
    }

    #[test]
    fn what_is_not_reached_through_strangers_is_not_public() {
        for host in [
            "localhost",
            "ollama",
            "127.0.0.1",
            "10.1.2.3",
            "172.17.0.1",
            "192.168.0.9",
            "100.64.0.1",
            "169.254.1.1",
            "[::1]",
            "[fd00::1]",
            "host.docker.internal",
            "vllm.models.svc",
            "vllm.models.svc.cluster.local",
            "nas.lan",
            "gpu.corp.",
        ] {
            assert!(!is_public(host), "{host}");
        }
        for host in ["api.example.com", "8.8.8.8", "[2001:db8::1]", "my-corp.io"] {
            assert!(is_public(host), "{host}");
        }
    }
}
