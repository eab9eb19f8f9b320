//! What of an upstream's words is not for clients: our key there, and where the provider is.
//!
//! An error goes to the client in the upstream's own words, and some upstreams quote the request
//! they got, headers and address included; headers of any answer may do so too. What Berry knows to
//! be its own affair is replaced by `***` wherever it stands in the text, also where JSON spells it
//! with escapes, which the client would undo. Bodies that are no errors are never looked at.

use std::borrow::Cow;

use berry_core::Provider;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use memchr::memchr;
use memchr::memmem::Finder;

const REPLACEMENT: &[u8] = b"***";
/// Shorter ones are words like `none` or `ollama`, which a local server wants instead of a key and
/// which an error may well contain.
const SHORTEST_SECRET: usize = 8;
/// Configured headers that say what is sent and by whom; an answer's own headers use the same words.
static NO_SECRETS: [HeaderName; 3] = [ACCEPT, CONTENT_TYPE, USER_AGENT];

/// See the module's documentation.
#[derive(Clone, Default)]
pub struct Scrub {
    /// As they may stand in a text, the longest first.
    needles: Box<[Finder<'static>]>,
}

impl Scrub {
    /// Knows what a provider's words must not tell.
    pub(crate) fn of(provider: &Provider) -> Self {
        let mut needles = Vec::new();
        for (name, value) in &provider.headers {
            if let Ok(value) = value.to_str()
                && !NO_SECRETS.contains(name)
            {
                secrets_of(value, &mut needles);
            }
        }
        secret(provider.api_key.expose(), &mut needles);
        let url = &provider.base_url;
        if url.path().len() > 1 {
            spell(&url.to_string(), &mut needles);
        }
        if let Some(authority) = url.authority() {
            // A bare name may be a common word; after `//` it is an address.
            spell(&format!("//{authority}"), &mut needles);
            for name in [authority.as_str(), authority.host()] {
                if name.contains(['.', ':']) {
                    spell(name, &mut needles);
                }
            }
        }
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        let finders = needles
            .iter()
            .map(|needle| Finder::new(needle).into_owned());
        Self {
            needles: finders.collect(),
        }
    }

    /// Returns the text without what is not for clients; as it is where nothing is to be hidden.
    pub(crate) fn clean(&self, text: Bytes) -> Bytes {
        let plain = unescaped(&text);
        if !self.hides(&plain) {
            return text;
        }
        let mut cleaned = plain.into_owned();
        for needle in &self.needles {
            if needle.find(&cleaned).is_some() {
                cleaned = without(&cleaned, needle);
            }
        }
        cleaned.into()
    }

    /// Returns a header's value without what is not for clients.
    pub fn clean_header(&self, value: &HeaderValue) -> HeaderValue {
        if !self.hides(&unescaped(value.as_bytes())) {
            return value.clone();
        }
        let cleaned = self.clean(Bytes::copy_from_slice(value.as_bytes()));
        let cleaned = HeaderValue::from_maybe_shared(cleaned);
        // Less of a value is a value.
        cleaned.unwrap_or(HeaderValue::from_static("***"))
    }

    fn hides(&self, text: &[u8]) -> bool {
        let mut needles = self.needles.iter();
        needles.any(|needle| needle.find(text).is_some())
    }
}

/// Adds what may be secret in a configured header: all of it, and its words, of which some name a
/// scheme or say `name=value`.
fn secrets_of(value: &str, needles: &mut Vec<Box<[u8]>>) {
    secret(value, needles);
    for word in value.split([' ', '\t', ',', ';']) {
        secret(word, needles);
        if let Some((name, value)) = word.split_once('=') {
            secret(name, needles);
            secret(value.trim_matches('"'), needles);
        }
    }
}

fn secret(text: &str, needles: &mut Vec<Box<[u8]>>) {
    if text.len() >= SHORTEST_SECRET {
        spell(text, needles);
    }
}

/// Adds a text as it is and as JSON must spell it.
fn spell(text: &str, needles: &mut Vec<Box<[u8]>>) {
    let quoted = serde_json::Value::from(text).to_string();
    let escaped = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    for spelling in [text, escaped] {
        let spelling = Box::from(spelling.as_bytes());
        if !needles.contains(&spelling) {
            needles.push(spelling);
        }
    }
}

/// Returns a text of JSON without the escapes that it could do without: in every string of it the
/// same characters, and in none another end.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        plain.extend_from_slice(before);
        let (length, character) = match escape {
            [_, b'/', ..] => (2, Some(b'/')),
            [_, b'u', digits @ ..] => (6, digits.first_chunk().copied().and_then(printable)),
            _ => (2, None),
        };
        match character {
            Some(character @ (b'"' | b'\\')) => plain.extend([b'\\', character]),
            Some(character) => plain.push(character),
            None => plain.extend_from_slice(escape.get(..length).unwrap_or(escape)),
        }
        rest = escape.get(length..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    plain.into()
}

/// Reads the digits of an escape; none where they are not those of a character that secrets have.
fn printable(digits: [u8; 4]) -> Option<u8> {
    // A sign is no digit, though numbers may have one.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let code = u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
    (b' '..=b'~').contains(&code).then_some(code)
}

fn without(text: &[u8], needle: &Finder<'_>) -> Vec<u8> {
    let mut cleaned = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = needle.find(rest) {
        let (before, found) = rest.split_at(at);
        cleaned.extend_from_slice(before);
        cleaned.extend_from_slice(REPLACEMENT);
        rest = found.get(needle.needle().len()..).unwrap_or_default();
    }
    cleaned.extend_from_slice(rest);
    cleaned
}

/// Shows nothing: secrets are what it is made of.
impl std::fmt::Debug for Scrub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrub").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use berry_core::Source;

    use super::*;
    use crate::snapshot::Names;

    fn provider(lines: &str) -> Arc<Provider> {
        let source = Source::new("test.toml", format!("[providers.p]\n{lines}"));
        let loaded = Names::collect().parse(&source, &|_| None).unwrap();
        Arc::clone(&loaded.config.providers[0])
    }

    fn cleaned(lines: &str, text: &'static str) -> String {
        let scrub = Scrub::of(&provider(lines));
        String::from_utf8(scrub.clean(Bytes::from_static(text.as_bytes())).to_vec()).unwrap()
    }

    const PROVIDER: &str = r#"
        base_url = "https://llm.example.com:8443/accounts/4711/v1"
        api_key = "sk-live/0123456789"
        headers = { X-Account = "Token account-secret-1" }
    "#;

    #[test]
    fn keys_addresses_and_configured_headers_are_replaced() {
        for (text, expected) in [
            ("key sk-live/0123456789.", "key ***."),
            (r#"{"key":"sk-live\/0123456789"}"#, r#"{"key":"***"}"#),
            ("sk-live/0123456789sk-live/0123456789", "******"),
            ("X-Account: Token account-secret-1", "X-Account: ***"),
            ("X-Account: account-secret-1", "X-Account: ***"),
            (
                "POST https://llm.example.com:8443/accounts/4711/v1/chat/completions",
                "POST ***/chat/completions",
            ),
            (r"https:\/\/llm.example.com:8443\/x", "https:***/x"),
            ("cannot resolve llm.example.com", "cannot resolve ***"),
        ] {
            assert_eq!(cleaned(PROVIDER, text), expected, "{text}");
        }
    }

    #[test]
    fn every_word_of_a_configured_header_is_a_secret() {
        let headers = r#"
            base_url = "https://h.example.com/v1"
            headers = { X-A = "Basic first-secret second-secret ok", X-B = "id=none; key=\"third-secret\"", X-C = "fourth-secret==", Content-Type = "application/json" }
        "#;

        for (text, expected) in [
            ("got Basic first-secret second-secret ok", "got ***"),
            ("got first-secret", "got ***"),
            ("got second-secret and ok", "got *** and ok"),
            ("got third-secret", "got ***"),
            (
                "got fourth-secret without padding",
                "got *** without padding",
            ),
            (
                "Basic id=none application/json",
                "Basic id=none application/json",
            ),
        ] {
            assert_eq!(cleaned(headers, text), expected);
        }
    }

    #[test]
    fn an_escape_hides_nothing() {
        let quoted = r#"
            base_url = "https://h.example.com/v1"
            api_key = 'key-"a\b"-012'
        "#;
        for (lines, text, expected) in [
            (
                PROVIDER,
                r"\u0073\u006b-live\/0123456789 \u00e9",
                r"*** \u00e9",
            ),
            (PROVIDER, r"sk-live\u002F0123456789\n", r"***\n"),
            // An escaped backslash escapes nothing.
            (
                PROVIDER,
                r"\\u0073k-live/0123456789",
                r"\\u0073k-live/0123456789",
            ),
            (PROVIDER, r"\\\u0073k-live/0123456789", r"\\***"),
            (quoted, r#"key-\u0022a\u005cb\"-012 \u0022"#, r#"*** \""#),
            (PROVIDER, r"a\/\u0062\u+073\u00", r"a\/\u0062\u+073\u00"),
            (PROVIDER, r"sk-live/0123456789\u00", r"***\u00"),
            (PROVIDER, r"sk-live/0123456789\", r"***\"),
        ] {
            assert_eq!(cleaned(lines, text), expected, "{text}");
        }
    }

    #[test]
    fn a_header_is_cleaned_where_it_must_be() {
        let scrub = Scrub::of(&provider(PROVIDER));
        for (value, expected) in [
            ("application/json", "application/json"),
            ("req-sk-live/0123456789-1", "req-***-1"),
        ] {
            let value = HeaderValue::from_static(value);
            assert_eq!(scrub.clean_header(&value), expected);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let local = "base_url = \"http://ollama/v1\"\napi_key = \"ollama\"";

        for text in ["ollama has no such model", "see https://example.com", ""] {
            assert_eq!(cleaned(local, text), text);
        }
        assert_eq!(cleaned(local, "at http://ollama/api"), "at http:***/api");
    }

    #[test]
    fn it_does_not_print_what_it_hides() {
        assert!(!format!("{:?}", Scrub::of(&provider(PROVIDER))).contains("secret"));
    }
}
