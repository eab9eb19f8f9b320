//! Addresses that Berry calls: absolute, `http` or `https`, and nothing hidden in them.
//!
//! User info would end up in logs, and a query or fragment cannot be extended by a path, so all
//! three are refused rather than silently dropped. A proxy's address may have user info, since there
//! is no other place for a proxy's password, and is `http` only: Berry offers proxies no TLS.

use std::borrow::Cow;
use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::provider::ProxyChoice;
use super::reader::{Kind, Reader, Value, Written};

/// The base URL of a provider or another service.
pub(super) struct BaseUrl;

/// The URL of another service, where an empty text means "off".
pub(super) struct UrlOrOff;

/// The URL of a proxy, or `none`.
pub(super) struct ProxyUrl;

/// Why a text is not the address of something Berry can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum UrlError {
    #[error("it is empty")]
    Empty,
    #[error("it has white space in it")]
    Blank,
    #[error("it names an environment variable, which is not looked up here")]
    Variable,
    #[error("it must begin with `http://` or `https://`")]
    Scheme,
    #[error("it must begin with `http://`")]
    ProxyScheme,
    #[error("it has no host")]
    Host,
    #[error("its port is not a number from 1 to 65535")]
    Port,
    #[error("it has a user or password in it; use `api_key` or `headers`")]
    UserInfo,
    #[error("it has a query (`?…`) in it")]
    Query,
    #[error("it has a fragment (`#…`) in it")]
    Fragment,
    #[error("it has characters that a URL cannot have")]
    Syntax,
}

impl UrlError {
    /// Says what to do about it, where the reason does not.
    fn help(self) -> Option<&'static str> {
        match self {
            Self::ProxyScheme => Some(
                "a proxy is spoken to in clear text; what goes to an https provider is encrypted \
                 all the way through it",
            ),
            Self::Query => Some(
                "leave it out; Azure's `api-version` goes into the provider's headers: \
                 `headers = { api-version = \"2024-10-21\" }`",
            ),
            Self::Variable => {
                Some("only `api_key`, `token` and the values of `headers` may be variables")
            }
            _ => None,
        }
    }
}

/// Parses a base URL; a trailing `/` is left out.
fn parse_base(text: &str) -> Result<http::Uri, UrlError> {
    if text.contains('#') {
        return Err(UrlError::Fragment);
    }
    // A text that is all scheme keeps its slashes, so that it is the host that is missed.
    let trimmed = text.trim_end_matches('/');
    let url = parse(if trimmed.contains("://") {
        trimmed
    } else {
        text
    })?;
    if url.query().is_some() {
        return Err(UrlError::Query);
    }
    if has_user_info(text) {
        return Err(UrlError::UserInfo);
    }
    Ok(url)
}

/// Parses an absolute URL with a scheme and a host Berry can call.
fn parse(text: &str) -> Result<http::Uri, UrlError> {
    check_is_written_out(text)?;
    let rest = strip_scheme(text).ok_or(UrlError::Scheme)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err(UrlError::Host);
    }
    let url: http::Uri = text.parse().map_err(|_| UrlError::Syntax)?;
    let has_port = url.host().is_some_and(|name| host.len() > name.len());
    if has_port && url.port_u16().is_none_or(|port| port == 0) {
        return Err(UrlError::Port);
    }
    Ok(url)
}

/// Refuses what is not yet, or not only, an address.
fn check_is_written_out(text: &str) -> Result<(), UrlError> {
    if text.is_empty() {
        Err(UrlError::Empty)
    } else if text.contains("${") {
        Err(UrlError::Variable)
    } else if text.contains(char::is_whitespace) {
        Err(UrlError::Blank)
    } else {
        Ok(())
    }
}

/// Parses the URL of a proxy, which is spoken to in clear text.
fn parse_proxy(text: &str) -> Result<http::Uri, UrlError> {
    check_is_written_out(text)?;
    let is_http = text
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("http"));
    if is_http {
        parse(text)
    } else {
        Err(UrlError::ProxyScheme)
    }
}

/// Returns what follows the scheme, when it is one of ours.
fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let known = ["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    known.then_some(rest)
}

/// Whether there is a user or a password before the host.
fn has_user_info(text: &str) -> bool {
    strip_scheme(text)
        .and_then(|rest| rest.split(['/', '?', '#']).next())
        .is_some_and(|authority| authority.contains('@'))
}

/// Returns the parts of a URL that may be secret: user info, and the query.
fn passwords(text: &str) -> impl Iterator<Item = Range<usize>> {
    let after_scheme = text.find("://").map_or(0, |scheme| scheme + 3);
    let user_info = text.rfind('@').map(|at| after_scheme.min(at)..at);
    let query = text.find('?').map(|mark| mark + 1..text.len());
    user_info.into_iter().chain(query)
}

/// Reads a text as a URL, and hides the parts of it that may be a password.
fn read<T: Value, V>(
    written: &Written<'_>,
    reader: &mut Reader,
    parse: impl FnOnce(&str) -> Result<V, UrlError>,
) -> Option<V> {
    let text = reader.expect::<T, _>(written, written.get_ref().as_str())?;
    for part in passwords(text) {
        reader.conceal_part(written, text, part);
    }
    parse(text)
        .map_err(|why| {
            let message = format!("`{}` is not a usable URL: {why}", reader.path());
            let finding = Diagnostic::error(message).at(written.span());
            reader
                .findings
                .push(finding.help_if(why.help().map(str::to_owned)));
        })
        .ok()
}

impl Value for BaseUrl {
    type Output = http::Uri;

    const KIND: Kind = Kind::Pattern(
        "^[Hh][Tt][Tt][Pp][Ss]?://[^\\x00-\\x20/?#@:{][^\\x00-\\x20/?#@{]*(/[^\\x00-\\x20?#]*)?$",
    );

    fn expected() -> Cow<'static, str> {
        "a URL".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        read::<Self, _>(written, reader, parse_base)
    }
}

impl Value for UrlOrOff {
    type Output = Option<http::Uri>;

    const KIND: Kind = Kind::Pattern(
        "^([Hh][Tt][Tt][Pp][Ss]?://[^\\x00-\\x20/?#@:{][^\\x00-\\x20/?#@{]*(/[^\\x00-\\x20?#]*)?)?$",
    );

    fn expected() -> Cow<'static, str> {
        "a URL".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        read::<Self, _>(written, reader, |text| {
            if text.is_empty() {
                Ok(None)
            } else {
                parse_base(text).map(Some)
            }
        })
    }
}

impl Value for ProxyUrl {
    type Output = ProxyChoice;

    const KIND: Kind =
        Kind::Pattern("^([Nn][Oo][Nn][Ee]|[Hh][Tt][Tt][Pp]://[^\\x00-\\x20/?#:][^\\x00-\\x20]*)$");

    fn expected() -> Cow<'static, str> {
        "a URL or `none`".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        read::<Self, _>(written, reader, |text| {
            if text.eq_ignore_ascii_case("none") {
                Ok(ProxyChoice::Direct)
            } else {
                parse_proxy(text).map(ProxyChoice::Url)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_slash_is_left_out() {
        let url = parse_base("https://api.openai.com/v1/").unwrap();

        assert_eq!(url.to_string(), "https://api.openai.com/v1");
    }

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        for text in [
            "http://localhost:11434",
            "http://127.0.0.1",
            "http://[::1]:8080/v1",
            "HTTPS://API.example.com",
        ] {
            assert!(parse_base(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_called_is_refused_with_the_reason() {
        let cases = [
            ("", UrlError::Empty),
            (" https://example.com", UrlError::Blank),
            ("${BASE_URL}/v1", UrlError::Variable),
            ("localhost:8080", UrlError::Scheme),
            ("ftp://example.com", UrlError::Scheme),
            ("http://", UrlError::Host),
            ("http:///v1", UrlError::Host),
            ("http://:80/v1", UrlError::Host),
            ("http://example.com:0", UrlError::Port),
            ("http://example.com:65536", UrlError::Port),
            ("http://example.com:", UrlError::Port),
            ("https://user:pass@example.com/v1", UrlError::UserInfo),
            ("https://example.com/v1?key=1", UrlError::Query),
            ("https://example.com/v1#top", UrlError::Fragment),
            ("https://exa mple.com", UrlError::Blank),
            ("https://exa<mple.com", UrlError::Syntax),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_base(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_proxy_may_have_a_password_and_no_tls() {
        assert!(parse_proxy("HTTP://user:pass@proxy:3128").is_ok());
        for text in ["https://proxy:3128", "socks5://proxy:1080", "proxy:3128"] {
            assert_eq!(parse_proxy(text), Err(UrlError::ProxyScheme), "{text}");
        }
    }
}
