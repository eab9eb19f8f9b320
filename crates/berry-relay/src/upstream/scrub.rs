//! What of an upstream's words is not for clients: our key there, and where the provider is.
//!
//! An error goes to the client in the upstream's own words, and some upstreams quote the request
//! they got, headers and address included; headers of any answer, and the comments of a stream, may
//! do so too. What Berry knows to be its own affair is replaced by `***` wherever it stands in such a
//! text, as it is or behind escapes that a reader would undo; all else of the text stays as it is.
//! What was asked for is never looked at.

use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use berry_core::Provider;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use memchr::memmem::Finder;

use super::unescape::Reading;

const REPLACEMENT: &[u8] = b"***";
/// Shorter ones are words like `none` or `ollama`, which a local server wants instead of a key and
/// which an error may well contain.
const SHORTEST_SECRET: usize = 8;
/// How often a quotation is quoted in another: beyond it nobody reads a secret.
const MOST_LAYERS: usize = 4;
/// Configured headers that say what is sent and by whom; an answer's own headers use the same words.
static NO_SECRETS: [HeaderName; 3] = [ACCEPT, CONTENT_TYPE, USER_AGENT];

/// See the module's documentation.
#[derive(Clone, Default)]
pub struct Scrub {
    needles: Box<[Finder<'static>]>,
}

impl Scrub {
    /// Knows what a provider's words must not tell.
    pub(crate) fn of(provider: &Provider) -> Self {
        let mut needles = Needles::default();
        for (name, value) in &provider.headers {
            if let Ok(value) = value.to_str()
                && !NO_SECRETS.contains(name)
            {
                needles.header(value);
            }
        }
        needles.secret(provider.api_key.expose());
        let url = &provider.base_url;
        if url.path().len() > 1 {
            needles.add(&url.to_string());
        }
        if let Some(authority) = url.authority() {
            // A bare name may be a common word; after `//` it is an address.
            needles.add(&format!("//{authority}"));
            for name in [authority.as_str(), authority.host()] {
                if name.contains(['.', ':']) {
                    needles.add(name);
                }
            }
        }
        let needles = needles.0.iter();
        Self {
            needles: needles
                .map(|needle| Finder::new(needle.as_bytes()).into_owned())
                .collect(),
        }
    }

    /// Returns the text without what is not for clients; as it is where nothing is to be hidden.
    pub(crate) fn clean(&self, text: Bytes) -> Bytes {
        let whole = 0..text.len();
        self.clean_parts(text, &[whole])
    }

    /// Returns the text without what is not for clients in these parts of it.
    pub(crate) fn clean_parts(&self, text: Bytes, parts: &[Range<usize>]) -> Bytes {
        let mut found = Vec::new();
        for part in parts {
            let secrets = self.find(text.get(part.clone()).unwrap_or_default());
            let secrets = secrets.into_iter();
            found.extend(secrets.map(|place| place.start + part.start..place.end + part.start));
        }
        if found.is_empty() {
            return text;
        }
        without(&text, found).into()
    }

    /// Returns a header's value without what is not for clients.
    pub fn clean_header(&self, value: &HeaderValue) -> HeaderValue {
        let found = self.find(value.as_bytes());
        if found.is_empty() {
            return value.clone();
        }
        let cleaned = HeaderValue::try_from(without(value.as_bytes(), found));
        // Less of a value is a value.
        cleaned.unwrap_or(HeaderValue::from_static("***"))
    }

    /// Returns where the secrets of a text stand, whatever spells them.
    fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut reading = Reading::of(text);
        for _ in 0..MOST_LAYERS {
            for needle in &self.needles {
                let places = needle.find_iter(&reading.text);
                let places = places.map(|at| reading.place(at..at + needle.needle().len()));
                found.extend(places);
            }
            match reading.undone() {
                Some(next) => reading = next,
                None => break,
            }
        }
        found
    }
}

/// What is looked for.
#[derive(Default)]
struct Needles(Vec<Box<str>>);

impl Needles {
    /// Adds what may be secret in a configured header: all of it, and its words, of which some name a
    /// scheme or say `name=value`.
    fn header(&mut self, value: &str) {
        self.secret(value);
        for word in value.split([' ', '\t', ',', ';']) {
            self.secret(word);
            if let Some((name, value)) = word.split_once('=') {
                self.secret(name);
                self.secret(value);
            }
            self.password(word);
        }
    }

    /// Adds what a word of a header is for whoever reads it by the scheme `Basic`.
    fn password(&mut self, word: &str) {
        let decoded = BASE64_STANDARD.decode(word).unwrap_or_default();
        if let Ok(decoded) = std::str::from_utf8(&decoded)
            && let Some((_, password)) = decoded.split_once(':')
        {
            self.secret(decoded);
            self.secret(password);
        }
    }

    fn secret(&mut self, text: &str) {
        // A quotation mark at an end may be one of the text that quotes it.
        let text = text.trim_matches('"');
        if text.len() >= SHORTEST_SECRET {
            self.add(text);
        }
    }

    fn add(&mut self, text: &str) {
        if !self.0.iter().any(|known| **known == *text) {
            self.0.push(text.into());
        }
    }
}

/// Returns the text with these places replaced, those that overlap by one replacement.
fn without(text: &[u8], mut places: Vec<Range<usize>>) -> Vec<u8> {
    places.sort_by_key(|place| place.start);
    let mut cleaned = Vec::with_capacity(text.len());
    let mut at = 0;
    for place in places {
        if place.start >= at {
            cleaned.extend_from_slice(text.get(at..place.start).unwrap_or_default());
            cleaned.extend_from_slice(REPLACEMENT);
        }
        at = at.max(place.end);
    }
    cleaned.extend_from_slice(text.get(at..).unwrap_or_default());
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
    use proptest::prelude::*;

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
            (r"https:\/\/llm.example.com:8443\/x", r"https:***\/x"),
            ("cannot resolve llm.example.com", "cannot resolve ***"),
        ] {
            assert_eq!(cleaned(PROVIDER, text), expected, "{text}");
        }
    }

    #[test]
    fn every_word_of_a_configured_header_is_a_secret() {
        let headers = r#"
            base_url = "https://h.example.com/v1"
            headers = { X-A = "Basic first-secret second-secret ok", X-B = "id=none; key=\"third-secret\"", X-C = "fourth-secret==", X-D = "Basic YWRhOndvcmQtb2YtYWRh", Content-Type = "application/json" }
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
            ("ada:word-of-ada, word-of-ada", "***, ***"),
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
            // An error that quotes JSON.
            (
                PROVIDER,
                r#"{"message":"got {\"key\":\"\\u0073k-live\\/0123456789\"}"}"#,
                r#"{"message":"got {\"key\":\"***\"}"}"#,
            ),
            (PROVIDER, r"\\\u0073k-live/0123456789", r"\\***"),
            (quoted, r#"key-\u0022a\u005cb\"-012 \u0022"#, r"*** \u0022"),
            (PROVIDER, r"a\/\u0062\u+073\u00", r"a\/\u0062\u+073\u00"),
            (PROVIDER, "?key=sk-live%2f0123456789%20", "?key=***%20"),
            (
                PROVIDER,
                "&quot;sk-live&#x2F;0123456789&quot;",
                "&quot;***&quot;",
            ),
            (
                PROVIDER,
                "%26%2373;k-live%252F0123456789",
                "%26%2373;k-live%252F0123456789",
            ),
            (PROVIDER, "%26%23115;k-live%252F0123456789", "***"),
            (PROVIDER, r"sk-live/0123456789\u00", r"***\u00"),
            (PROVIDER, r"sk-live/0123456789\", r"***\"),
        ] {
            assert_eq!(cleaned(lines, text), expected, "{text}");
        }
    }

    #[test]
    fn only_the_parts_that_are_named_are_cleaned() {
        let scrub = Scrub::of(&provider(PROVIDER));
        let text = Bytes::from_static(b"sk-live/0123456789 sk-live/0123456789 llm.example.com");
        for (parts, expected) in [
            (
                vec![],
                "sk-live/0123456789 sk-live/0123456789 llm.example.com",
            ),
            (vec![(19, 37)], "sk-live/0123456789 *** llm.example.com"),
            (vec![(0, 18), (38, 53)], "*** sk-live/0123456789 ***"),
            (
                vec![(0, 17)],
                "sk-live/0123456789 sk-live/0123456789 llm.example.com",
            ),
        ] {
            let parts: Vec<_> = parts.into_iter().map(|(start, end)| start..end).collect();
            assert_eq!(scrub.clean_parts(text.clone(), &parts), expected);
        }
    }

    proptest! {
        #[test]
        fn however_its_characters_are_spelled_a_key_is_found(
            before in any::<Vec<u8>>(),
            spellings in proptest::collection::vec(0..6_usize, 18),
            after in any::<Vec<u8>>(),
        ) {
            let scrub = Scrub::of(&provider(PROVIDER));
            let spelled = "sk-live/0123456789".chars().zip(spellings);
            let spelled: String = spelled.map(|(character, spelling)| {
                let code = u32::from(character);
                match spelling {
                    0 => character.to_string(),
                    1 => format!("\\u{code:04x}"),
                    2 => format!("%{code:02X}"),
                    3 => format!("&#{code};"),
                    4 => format!("&amp;#x{code:x};"),
                    _ => format!("\\\\u{code:04X}"),
                }
            }).collect();
            // An escape that what comes before begins may end in the key.
            let text = [&before, &b" "[..], spelled.as_bytes(), &after].concat();

            let cleaned = scrub.clean(text.into());

            prop_assert!(memchr::memmem::find(&cleaned, spelled.as_bytes()).is_none());
            prop_assert!(scrub.find(&cleaned).is_empty());
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
