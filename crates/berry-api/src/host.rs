//! Whom a request is for (RFC 9112 3.2). Which host that is does not matter here, but a proxy before
//! us may have read another one out of the same bytes.

use std::net::Ipv6Addr;

use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{Request, Version};

/// Returns whether a request says once, and in proper form, which host it is for. HTTP/1.0 did not
/// know how; HTTP/2 has a field of its own, which a header may repeat but not contradict (RFC 9113
/// 8.3.1).
pub(crate) fn names_its_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let host = host.map(HeaderValue::as_bytes);
    let authority = request.uri().authority().map(Authority::as_str);
    let named = match request.version() {
        Version::HTTP_2 => match (authority.map(str::as_bytes), host) {
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => None,
            (authority, host) => authority.or(host),
        },
        Version::HTTP_11 => host,
        _ => return true,
    };
    more.is_none() && named.is_some_and(is_host)
}

/// Returns whether these bytes are a host and perhaps a port (RFC 3986 3.2.2, 3.2.3).
fn is_host(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let (is_name, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(None) => return false,
        Some(Some((address, rest))) => (address.parse::<Ipv6Addr>().is_ok(), rest),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (name.bytes().all(may_be_in_a_name), port)
        }
    };
    let digits = port.strip_prefix(':').unwrap_or_default();
    let is_port = digits.is_empty()
        || digits
            .parse::<u16>()
            .is_ok_and(|_| !digits.starts_with('+'));
    is_name && is_port && (port.is_empty() || port.starts_with(':'))
}

/// Returns whether a host's name may have this byte. That leaves out what sets it off from a user, a
/// path and a query.
fn may_be_in_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_valid(version: Version, hosts: &[&str]) -> bool {
        let mut request = Request::builder().version(version);
        for &host in hosts {
            request = request.header(HOST, host);
        }
        names_its_host(&request.body(()).unwrap())
    }

    #[test]
    fn one_host_in_proper_form_is_needed() {
        for host in [
            "a",
            "A.example:8080",
            "a_b",
            "127.0.0.1:3000",
            "[::1]:3000",
            "a:",
            "a,b",
            "",
        ] {
            assert!(is_valid(Version::HTTP_11, &[host]), "{host}");
        }
        for hosts in [
            &[][..],
            &["a", "a"],
            &["a", "b"],
            &["a b"],
            &["b@c"],
            &["c/"],
            &["a b@c/"],
            &["a?b"],
            &["a#b"],
            &["a\\b"],
            &["a, b"],
            &["a:b"],
            &["a:1:2"],
            &["a:+1"],
            &["a:65536"],
            &["[::1"],
            &["[::1]a"],
            &["[a]"],
            &["::1"],
            &["]"],
            &["\u{e9}"],
        ] {
            assert!(!is_valid(Version::HTTP_11, hosts), "{hosts:?}");
        }
    }

    #[test]
    fn http_1_0_needs_no_header_for_it() {
        assert!(is_valid(Version::HTTP_10, &[]));
    }

    #[test]
    fn over_http_2_the_authority_or_the_header_names_it_and_both_the_same() {
        for (target, hosts, expected) in [
            ("http://a:1/x", &[][..], true),
            ("http://a:1/x", &["A:1"], true),
            ("/x", &["a"], true),
            ("/x", &[], false),
            ("/x", &["a b"], false),
            ("http://a/x", &["b"], false),
            ("http://a/x", &["a", "a"], false),
            ("http://b@a/x", &[], false),
        ] {
            let mut request = Request::builder().version(Version::HTTP_2).uri(target);
            for &host in hosts {
                request = request.header(HOST, host);
            }
            let valid = names_its_host(&request.body(()).unwrap());

            assert_eq!(valid, expected, "{target} {hosts:?}");
        }
    }
}
