//! Whom a request is for (RFC 9112 3.2). Which host that is does not matter here, but a proxy before
//! us may have read another one out of the same bytes.

use http::header::HOST;
use http::{Request, Version};

/// Returns whether a request says once, and in proper form, which host it is for. Of the versions
/// only HTTP/1.1 must: 1.0 did not know the header, and 2 has a field of its own for it.
pub(crate) fn names_its_host<B>(request: &Request<B>) -> bool {
    if request.version() != Version::HTTP_11 {
        return true;
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.as_bytes().iter().copied().all(may_be_in_a_host),
        _ => false,
    }
}

/// Returns whether a host and its port may have this byte: RFC 3986 3.2.2 and 3.2.3. That leaves out
/// what sets them off from a user, a path and a query.
fn may_be_in_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
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
            &["\u{e9}"],
        ] {
            assert!(!is_valid(Version::HTTP_11, hosts), "{hosts:?}");
        }
    }

    #[test]
    fn other_versions_need_no_header_for_it() {
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert!(is_valid(version, &[]), "{version:?}");
        }
    }
}
