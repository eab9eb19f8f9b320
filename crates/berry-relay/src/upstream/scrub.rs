//! What of an upstream's error is not for clients: our key there, and where the provider is.
//!
//! An error goes to the client in the upstream's own words, and some upstreams quote the request
//! they got, headers and address included. What Berry knows to be its own affair is replaced by
//! `***` wherever it stands in the text. Answers that are no errors are never looked at.

use berry_core::Provider;
use bytes::Bytes;
use memchr::memmem;

const REPLACEMENT: &[u8] = b"***";
/// Shorter ones are words like `none` or `ollama`, which a local server wants instead of a key and
/// which an error may well contain.
const SHORTEST_SECRET: usize = 8;

/// See the module's documentation.
#[derive(Clone)]
pub(crate) struct Scrub {
    /// As they may stand in a text, the longest first.
    needles: Box<[Box<[u8]>]>,
}

impl Scrub {
    /// Knows what a provider's errors must not tell.
    pub(crate) fn of(provider: &Provider) -> Self {
        let mut needles = Vec::new();
        let headers = provider.headers.values().filter_map(|value| {
            let text = value.to_str().ok()?;
            // Of `Bearer x`, the scheme is no secret.
            Some(text.rsplit(' ').next().unwrap_or(text))
        });
        for secret in headers.chain([provider.api_key.expose()]) {
            if secret.len() >= SHORTEST_SECRET {
                spell(secret, &mut needles);
            }
        }
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
        needles.dedup();
        Self {
            needles: needles.into(),
        }
    }

    /// Returns the text without what is not for clients; as it is where nothing is to be hidden.
    pub(crate) fn clean(&self, mut text: Bytes) -> Bytes {
        for needle in &self.needles {
            let finder = memmem::Finder::new(needle);
            if finder.find(&text).is_some() {
                text = without(&text, &finder, needle.len());
            }
        }
        text
    }
}

/// Adds a text as it is and as JSON may spell it: some writers escape slashes.
fn spell(text: &str, needles: &mut Vec<Box<[u8]>>) {
    let quoted = serde_json::Value::from(text).to_string();
    let escaped = quoted.trim_matches('"').to_owned();
    for spelling in [text.to_owned(), escaped.replace('/', "\\/"), escaped] {
        let spelling = spelling.into_bytes().into_boxed_slice();
        if !needles.contains(&spelling) {
            needles.push(spelling);
        }
    }
}

fn without(text: &[u8], finder: &memmem::Finder<'_>, length: usize) -> Bytes {
    let mut cleaned = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = finder.find(rest) {
        let (before, found) = rest.split_at(at);
        cleaned.extend_from_slice(before);
        cleaned.extend_from_slice(REPLACEMENT);
        rest = found.get(length..).unwrap_or_default();
    }
    cleaned.extend_from_slice(rest);
    cleaned.into()
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
            ("X-Account: Token account-secret-1", "X-Account: Token ***"),
            (
                "POST https://llm.example.com:8443/accounts/4711/v1/chat/completions",
                "POST ***/chat/completions",
            ),
            (r"https:\/\/llm.example.com:8443\/x", r"https:***\/x"),
            ("cannot resolve llm.example.com", "cannot resolve ***"),
        ] {
            assert_eq!(cleaned(PROVIDER, text), expected, "{text}");
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
