//! What is looked for: the texts that clients must not see.
//!
//! Whatever the operator has put in a header of their own may be a secret, and so all of it is one.
//! Of its parts only those are that look like one: an upstream's error is made of words, and must
//! stay readable.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, REFERER, USER_AGENT};

use super::readings;

/// Shorter ones are words like `none` or `ollama`, which a local server wants instead of a key and
/// which an error may well contain.
const SHORTEST_SECRET: usize = 8;
/// Of a text as long as this, with a digit in it, nobody would say that an answer has it by chance;
/// keys are longer, regions and versions are shorter.
const SHORTEST_KEY: usize = 20;
/// Configured headers that say what is sent and by whom; an answer's own headers use the same words.
static NO_SECRETS: [HeaderName; 9] = [
    ACCEPT,
    CONTENT_TYPE,
    USER_AGENT,
    REFERER,
    HeaderName::from_static("http-referer"),
    HeaderName::from_static("x-title"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-version"),
];
/// What comes before a credential in the header that carries it.
const SCHEMES: [&str; 6] = ["basic", "bearer", "token", "key", "apikey", "api-key"];

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Needles(Vec<Needle>);

/// One of them.
pub(super) struct Needle {
    pub(super) text: Box<[u8]>,
    /// Nobody writes it who does not mean it.
    pub(super) unmistakable: bool,
    /// It is the same in capitals, and is itself without them.
    pub(super) any_case: bool,
}

impl Needles {
    /// Returns all that is looked for.
    pub(super) fn all(&self) -> &[Needle] {
        &self.0
    }

    /// Adds what may be secret in a configured header.
    pub(super) fn configured(&mut self, name: &HeaderName, value: &HeaderValue) {
        if !NO_SECRETS.contains(name) {
            self.credential(value);
        }
    }

    /// Adds a header's value, and its words that look like secrets, of which some say `name=value`.
    pub(super) fn credential(&mut self, value: &HeaderValue) {
        let Ok(value) = value.to_str() else {
            return;
        };
        self.secret(value);
        let mut follows_scheme = false;
        for word in value.split([' ', '\t', ',', ';']) {
            let (_, assigned) = word.split_once('=').unwrap_or_default();
            for part in [word, assigned] {
                if follows_scheme || is_random(part) {
                    self.secret(part);
                }
            }
            self.password(word);
            let mut schemes = SCHEMES.iter();
            follows_scheme = schemes.any(|scheme| word.eq_ignore_ascii_case(scheme));
        }
    }

    /// Adds what a word of a header is for whoever reads it by the scheme `Basic`.
    fn password(&mut self, word: &str) {
        let decoded = BASE64_STANDARD.decode(word).unwrap_or_default();
        if let Ok(decoded) = std::str::from_utf8(&decoded)
            && let Some((name, password)) = decoded.split_once(':')
        {
            self.secret(decoded);
            // Where there is no password, the name is the secret.
            self.secret(if password.is_empty() { name } else { password });
        }
    }

    /// Adds a text that nobody must read, if it is long enough to be one. What it is for whoever takes
    /// it for a quotation is the same secret: behind another escape nothing else is left of it.
    pub(super) fn secret(&mut self, text: &str) {
        // A quotation mark at an end may be one of the text that quotes it; padding is often left out.
        let text = text.trim_matches('"').trim_end_matches('=');
        let unmistakable = text.len() >= SHORTEST_KEY && is_random(text);
        for reading in readings(text.as_bytes()) {
            if reading.text.len() >= SHORTEST_SECRET {
                self.insert(Needle {
                    text: (*reading.text).into(),
                    unmistakable,
                    any_case: false,
                });
            }
        }
    }

    /// Adds where something is, by its authority.
    pub(super) fn host(&mut self, url: &Uri) {
        let Some(authority) = url.authority() else {
            return;
        };
        // A bare name may be a common word; after `//` it is an address.
        self.address(&format!("//{authority}"));
        for name in [authority.as_str(), authority.host()] {
            if name.contains(['.', ':']) {
                self.address(name);
            }
        }
    }

    /// Adds the path of an address, which an upstream may quote without the rest; not one that many
    /// providers have.
    pub(super) fn path(&mut self, path: &str) {
        let mut steps = path.split('/').filter(|step| !step.is_empty());
        if path.len() >= SHORTEST_SECRET && !steps.all(is_common_step) {
            self.address(path);
        }
    }

    /// Adds where something is. Schemes and hosts are the same in capitals.
    pub(super) fn address(&mut self, address: &str) {
        self.insert(Needle {
            text: address.to_ascii_lowercase().into_bytes().into(),
            unmistakable: false,
            any_case: true,
        });
    }

    fn insert(&mut self, needle: Needle) {
        match self.0.iter_mut().find(|known| known.text == needle.text) {
            Some(known) => {
                known.unmistakable |= needle.unmistakable;
                known.any_case |= needle.any_case;
            }
            None => self.0.push(needle),
        }
    }
}

/// Returns whether a step of a path is a version, such as `v1beta`, or says that an API is there.
fn is_common_step(step: &str) -> bool {
    let version = step.strip_prefix('v').unwrap_or_default();
    version.starts_with(|first: char| first.is_ascii_digit())
        || matches!(step, "api" | "openai" | "anthropic")
}

/// Returns whether a word is more than letters: those that people write to each other are not.
fn is_random(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
}
