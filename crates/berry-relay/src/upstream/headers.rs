//! The headers of a request to an upstream: those that every request has are written once.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Headers that many requests have in common, such as the credential.
#[derive(Clone, Default)]
pub(crate) struct Common(Arc<Written>);

#[derive(Default)]
struct Written {
    map: HeaderMap,
    /// The same as HTTP/1.1 writes them.
    lines: Vec<u8>,
}

impl Common {
    /// Returns the headers.
    pub(crate) fn map(&self) -> &HeaderMap {
        &self.0.map
    }
}

impl From<HeaderMap> for Common {
    fn from(map: HeaderMap) -> Self {
        let mut lines = Vec::new();
        for (name, value) in &map {
            line(&mut lines, name, value);
        }
        Self(Arc::new(Written { map, lines }))
    }
}

/// Shows nothing of the lines: a credential is among them.
impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Common").field(&self.0.map).finish()
    }
}

/// The headers of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers {
    common: Common,
    own: Arc<HeaderMap>,
}

impl Headers {
    /// Makes headers of which the request's own take the place of common ones with their name.
    pub(crate) fn new(common: &Common, own: Arc<HeaderMap>) -> Self {
        Self {
            common: common.clone(),
            own,
        }
    }

    /// Takes this header in the place of all with its name.
    pub(crate) fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        Arc::make_mut(&mut self.own).insert(name, value);
    }

    /// Returns whether there is a header of this name.
    pub(crate) fn contains(&self, name: &HeaderName) -> bool {
        self.common.map().contains_key(name) || self.own.contains_key(name)
    }

    /// Returns all of them.
    pub(crate) fn to_map(&self) -> HeaderMap {
        let mut map = self.common.map().clone();
        for name in self.own.keys() {
            map.remove(name);
            for value in self.own.get_all(name) {
                map.append(name, value.clone());
            }
        }
        map
    }

    /// Writes them as HTTP/1.1 does, but for those of the name `left_out`.
    pub(crate) fn write(&self, head: &mut Vec<u8>, left_out: Option<&HeaderName>) {
        let common = self.common.map();
        let as_they_are = left_out.is_none_or(|name| !common.contains_key(name))
            && !self.own.keys().any(|name| common.contains_key(name));
        if as_they_are {
            head.extend_from_slice(&self.common.0.lines);
        } else {
            for (name, value) in common {
                if left_out != Some(name) && !self.own.contains_key(name) {
                    line(head, name, value);
                }
            }
        }
        for (name, value) in &*self.own {
            if left_out != Some(name) {
                line(head, name, value);
            }
        }
    }
}

impl From<HeaderMap> for Headers {
    fn from(own: HeaderMap) -> Self {
        Self::new(&Common::default(), Arc::new(own))
    }
}

/// Writes a header's line.
pub(crate) fn line(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value.as_bytes());
    head.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};

    use super::*;

    fn map(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(name, HeaderValue::from_static(value));
        }
        map
    }

    /// Returns the lines as they are written, and as the map has them.
    fn lines(headers: &Headers, left_out: Option<&HeaderName>) -> [BTreeSet<String>; 2] {
        let mut head = Vec::new();
        headers.write(&mut head, left_out);
        let mut all = Vec::new();
        for (name, value) in &headers.to_map() {
            if left_out != Some(name) {
                line(&mut all, name, value);
            }
        }
        [head, all].map(|text| {
            let text = String::from_utf8(text).unwrap();
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            let set: BTreeSet<_> = lines.iter().cloned().collect();
            assert_eq!(set.len(), lines.len());
            set
        })
    }

    #[test]
    fn what_a_request_says_itself_takes_the_place_of_what_all_say() {
        let x = HeaderName::from_static("x");
        let common = map(&[
            (AUTHORIZATION, "ours"),
            (CONTENT_TYPE, "application/json"),
            (x.clone(), "1"),
            (x.clone(), "2"),
        ]);
        let common = Common::from(common);
        let of = |own: &[_]| Headers::new(&common, Arc::new(map(own)));
        let mut inserted = of(&[]);
        inserted.insert(CONTENT_TYPE, HeaderValue::from_static("form"));

        for (headers, left_out, expected) in [
            (
                of(&[]),
                None,
                "authorization: ours|content-type: application/json|x: 1|x: 2",
            ),
            (
                of(&[(HOST, "h")]),
                None,
                "authorization: ours|content-type: application/json|host: h|x: 1|x: 2",
            ),
            (
                of(&[(x.clone(), "3"), (x, "4")]),
                None,
                "authorization: ours|content-type: application/json|x: 3|x: 4",
            ),
            (
                inserted,
                None,
                "authorization: ours|content-type: form|x: 1|x: 2",
            ),
            (
                of(&[]),
                Some(&AUTHORIZATION),
                "content-type: application/json|x: 1|x: 2",
            ),
            (
                of(&[(HOST, "h")]),
                Some(&HOST),
                "authorization: ours|content-type: application/json|x: 1|x: 2",
            ),
        ] {
            let expected: BTreeSet<_> = expected.split('|').map(str::to_owned).collect();
            assert_eq!(lines(&headers, left_out), [expected.clone(), expected]);
        }
    }

    #[test]
    fn nothing_shows_the_credential() {
        let mut secret = HeaderValue::from_static("sk-secret");
        secret.set_sensitive(true);
        let common = Common::from(HeaderMap::from_iter([(AUTHORIZATION, secret)]));

        let shown = format!("{:?}", Headers::new(&common, Arc::default()));

        assert!(!shown.contains("secret"), "{shown}");
    }
}
