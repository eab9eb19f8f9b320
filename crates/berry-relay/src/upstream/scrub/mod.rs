//! What of an upstream's words is not for clients: our key there, and where the provider is.
//!
//! An error goes to the client in the upstream's own words, and some upstreams quote the request
//! they got, headers and address included; headers of any answer, and the comments of a stream, may
//! do so too. What Berry knows to be its own affair is replaced by `***` wherever it stands in such a
//! text, as it is or behind escapes that a reader would undo; all else of the text stays as it is.
//! What was asked for is never looked at.

mod needles;
mod unescape;

use std::borrow::Cow;
use std::cell::LazyCell;
use std::iter::successors;
use std::ops::Range;

use berry_core::Provider;
use bytes::Bytes;
use http::header::HeaderValue;
use memchr::memmem::Finder;

use super::connector::Proxy;
use needles::Needles;
use unescape::Reading;

const REPLACEMENT: &[u8] = b"***";
/// How often a quotation is quoted in another: beyond it nobody reads a secret.
const MOST_LAYERS: usize = 4;

/// See the module's documentation.
#[derive(Clone, Default)]
pub struct Scrub {
    needles: Box<[Sought]>,
    /// The length of the shortest of them.
    shortest: usize,
}

/// One text that clients must not see.
#[derive(Clone)]
struct Sought {
    finder: Finder<'static>,
    /// Nobody writes it who does not mean it.
    unmistakable: bool,
    /// It is looked for among the text's letters without their case.
    any_case: bool,
}

/// What a text is, as far as is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suspicion {
    /// It may be what was asked for: only what is unmistakable is looked for.
    Slight,
    /// It is an error, or nobody has asked for it.
    Grave,
}

impl Scrub {
    /// Knows what a provider's words must not tell.
    pub(crate) fn of(provider: &Provider, proxy: Option<&Proxy>) -> Self {
        let mut needles = Needles::default();
        for (name, value) in &provider.headers {
            needles.configured(name, value);
        }
        needles.secret(provider.api_key.expose());
        let url = &provider.base_url;
        if url.path().len() > 1 {
            needles.address(&url.to_string());
            needles.path(url.path());
        }
        needles.host(url);
        if let Some(proxy) = proxy {
            needles.host(&proxy.address);
            if let Some(authorization) = &proxy.authorization {
                needles.credential(authorization);
            }
        }
        let needles = needles.all();
        let shortest = needles.iter().map(|needle| needle.text.len()).min();
        let sought = needles.iter().map(|needle| Sought {
            finder: Finder::new(&needle.text).into_owned(),
            unmistakable: needle.unmistakable,
            any_case: needle.any_case,
        });
        Self {
            needles: sought.collect(),
            shortest: shortest.unwrap_or(usize::MAX),
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
            found.extend(self.find_in(&text, part.clone(), Suspicion::Grave));
        }
        if found.is_empty() {
            return text;
        }
        without(&text, found).into()
    }

    /// Returns a header's value without what is not for clients.
    pub fn clean_header(&self, value: &HeaderValue) -> HeaderValue {
        let found = self.find(value.as_bytes(), Suspicion::Grave);
        if found.is_empty() {
            return value.clone();
        }
        let cleaned = HeaderValue::try_from(without(value.as_bytes(), found));
        // Less of a value is a value.
        cleaned.unwrap_or(HeaderValue::from_static("***"))
    }

    /// Returns where the secrets in a part of a text stand.
    pub(crate) fn find_in(
        &self,
        text: &[u8],
        part: Range<usize>,
        suspicion: Suspicion,
    ) -> impl Iterator<Item = Range<usize>> {
        let begin = part.start;
        let found = self.find(text.get(part).unwrap_or_default(), suspicion);
        let found = found.into_iter();
        found.map(move |place| place.start + begin..place.end + begin)
    }

    /// Returns where the secrets of a text stand, whatever spells them.
    fn find(&self, text: &[u8], suspicion: Suspicion) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        // No escape is shorter than what it stands for.
        if text.len() < self.shortest {
            return found;
        }
        for reading in readings(text) {
            let lower = LazyCell::new(|| lower(&reading.text));
            for sought in &self.needles {
                if suspicion == Suspicion::Slight && !sought.unmistakable {
                    continue;
                }
                let finder = &sought.finder;
                let length = finder.needle().len();
                if text.len() < length {
                    continue;
                }
                let text = if sought.any_case {
                    &*lower
                } else {
                    &reading.text
                };
                // An iterator would be a copy of the finder, which is larger than most texts.
                let mut begin = 0;
                while let Some(at) = finder.find(text.get(begin..).unwrap_or_default()) {
                    let end = begin + at + length;
                    found.push(reading.place(end - length..end));
                    begin = end;
                }
            }
        }
        found
    }
}

/// Returns a text with small letters for capitals.
fn lower(text: &[u8]) -> Cow<'_, [u8]> {
    if text.iter().any(u8::is_ascii_uppercase) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

/// Returns a text as it is, and with each layer of escapes undone.
fn readings(text: &[u8]) -> impl Iterator<Item = Reading<'_>> {
    successors(Some(Reading::of(text)), Reading::undone).take(1 + MOST_LAYERS)
}

/// Returns the text with these places replaced, those that overlap by one replacement.
pub(crate) fn without(text: &[u8], mut places: Vec<Range<usize>>) -> Vec<u8> {
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
mod tests;
