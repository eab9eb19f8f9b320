//! Where a request carries its token.
//!
//! `Authorization: Bearer …` is what most clients send, `x-api-key` what Anthropic's do. A request that says two different things about who sent it is refused, or a proxy in front and
//! Berry might take it for two different users'. Tokens in a URL are never looked at: URLs are
//! logged everywhere.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

/// The header of Anthropic's clients.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Why a request has no token to look up. For the log: the client is told which header to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Neither header is there, or both are empty.
    #[error("no credential")]
    Missing,
    /// The only credential is an `Authorization` of another scheme.
    #[error("`Authorization` is not of the scheme `Bearer`")]
    NotBearer,
    /// Two credentials differ.
    #[error("two credentials that differ")]
    Conflicting,
    /// A credential has bytes that no token has.
    #[error("credential is not visible ASCII text")]
    Malformed,
}

/// Returns the token that a request carries.
///
/// # Errors
/// Says why there is none, or none that can be relied on.
pub fn credential(headers: &HeaderMap) -> Result<&str, CredentialError> {
    let key = only(headers, &API_KEY)?.filter(|key| !key.is_empty());
    let authorization = only(headers, &AUTHORIZATION)?.filter(|value| !value.is_empty());
    let bearer = match authorization.map(bearer) {
        Some(Err(CredentialError::NotBearer)) if key.is_some() => None,
        Some(token) => Some(token?),
        None => None,
    };
    match (bearer.filter(|token| !token.is_empty()), key) {
        (Some(bearer), Some(key)) if bearer != key => Err(CredentialError::Conflicting),
        (Some(token), _) | (None, Some(token)) => Ok(token),
        (None, None) => Err(CredentialError::Missing),
    }
}

/// Returns the value of a header that may be repeated but must not contradict itself.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, CredentialError> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != first) {
        return Err(CredentialError::Conflicting);
    }
    text(first).map(Some)
}

/// Returns a header's text without the white space around it.
fn text(value: &HeaderValue) -> Result<&str, CredentialError> {
    value
        .to_str()
        .map(str::trim)
        .map_err(|_| CredentialError::Malformed)
}

/// Returns the token of an `Authorization` header.
fn bearer(value: &str) -> Result<&str, CredentialError> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(CredentialError::NotBearer);
    }
    Ok(token.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes headers of lines such as `x-api-key: abc`.
    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            let value = HeaderValue::from_str(value.trim()).unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value);
        }
        headers
    }

    #[test]
    fn a_token_comes_in_either_header() {
        let accepted: [&[&str]; 9] = [
            &["authorization: Bearer abc"],
            &["authorization: bearer   abc"],
            &["authorization: BEARER abc"],
            &["x-api-key: abc"],
            &["authorization: Bearer abc", "x-api-key: abc"],
            &["authorization: Basic dTpw", "x-api-key: abc"],
            &["authorization: Bearer abc", "x-api-key:"],
            &["authorization: Bearer", "x-api-key: abc"],
            &["authorization: Bearer abc", "authorization: Bearer abc"],
        ];
        for lines in accepted {
            assert_eq!(credential(&headers(lines)), Ok("abc"), "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_relied_on_is_refused() {
        let refused: [(&[&str], CredentialError); 9] = [
            (&[], CredentialError::Missing),
            (&["authorization:"], CredentialError::Missing),
            (&["authorization: Bearer"], CredentialError::Missing),
            (&["x-api-key:"], CredentialError::Missing),
            (&["authorization: Basic dTpw"], CredentialError::NotBearer),
            (&["authorization: abc"], CredentialError::NotBearer),
            (
                &["authorization: Bearer abc", "x-api-key: abd"],
                CredentialError::Conflicting,
            ),
            (
                &["authorization: Bearer a", "authorization: Basic b"],
                CredentialError::Conflicting,
            ),
            (
                &["x-api-key: a", "x-api-key: b"],
                CredentialError::Conflicting,
            ),
        ];
        for (lines, expected) in refused {
            assert_eq!(credential(&headers(lines)), Err(expected), "{lines:?}");
        }
    }

    #[test]
    fn bytes_that_no_token_has_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(API_KEY, HeaderValue::from_bytes(b"caf\xe9").unwrap());

        assert_eq!(credential(&headers), Err(CredentialError::Malformed));
    }
}
