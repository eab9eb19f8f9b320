//! A request's place in a distributed trace, as W3C's Trace Context says it in two headers.
//!
//! `traceparent` is read as the recommendation has it: what is not valid is as good as absent, and a
//! version that is newer than ours may have more to say. `tracestate` belongs to others; it means
//! nothing without a valid parent.

use std::fmt;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use tokio::time::Instant;

/// Names the span that a request is part of.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What tracing systems add to it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of `traceparent` in the version we know.
const LENGTH: usize = 55;
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;
/// The flag of a trace whose id was made at random. Others are not known and not passed on.
const RANDOM: u8 = 2;
/// Systems need not pass on longer states than this.
const LONGEST_STATE: usize = 512;

/// The id of a trace: never all zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

/// The id of a span: never all zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId([u8; 8]);

impl TraceId {
    /// Makes one by chance.
    pub fn draw(rng: &mut fastrand::Rng) -> Self {
        let bits = rng.u128(1..);
        Self(bits.to_be_bytes())
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the part that is random in any case, as a share of all that it may be.
    pub fn chance(self) -> f64 {
        let [.., a, b, c, d] = self.0;
        f64::from(u32::from_be_bytes([a, b, c, d])) / 2f64.powi(32)
    }
}

impl SpanId {
    /// Makes one by chance.
    pub fn draw(rng: &mut fastrand::Rng) -> Self {
        Self(rng.u64(1..).to_be_bytes())
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The span that a client's request is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The client's trace.
    pub trace: TraceId,
    /// The client's span.
    pub span: SpanId,
    /// What tracing systems have added, where that is not too long.
    pub state: Box<str>,
    flags: u8,
}

impl Parent {
    /// Reads the headers of a request; none where they name no valid parent.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let (parent, None) = (parents.next()?, parents.next()) else {
            return None;
        };
        let (trace, span, flags) = read(parent.as_bytes())?;
        Some(Self {
            trace,
            span,
            state: state(headers),
            flags,
        })
    }

    /// Returns whether the client's trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// The place of a request that is recorded.
#[derive(Debug, Clone)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The request's own span.
    pub span: SpanId,
    /// What it is part of; none where the trace begins here.
    pub parent: Option<Parent>,
    /// When the request began, by both clocks: spans are timed by one and told in the other, so that
    /// none ends before it begins.
    began: (Timestamp, Instant),
}

impl TraceContext {
    /// Begins a request's span now: in its parent's trace, or in a new one.
    pub fn begin(parent: Option<Parent>, rng: &mut fastrand::Rng) -> Self {
        let trace = parent.as_ref().map(|parent| parent.trace);
        Self {
            trace: trace.unwrap_or_else(|| TraceId::draw(rng)),
            span: SpanId::draw(rng),
            parent,
            began: (Timestamp::now(), Instant::now()),
        }
    }

    /// Returns when the request began.
    pub fn began(&self) -> Instant {
        self.began.1
    }

    /// Returns a point in time as nanoseconds of the Unix epoch.
    pub fn nanoseconds(&self, at: Instant) -> u64 {
        let (wall, began) = self.began;
        let since = at.saturating_duration_since(began).as_nanos();
        let wall = u128::try_from(wall.as_nanosecond()).unwrap_or_default();
        u64::try_from(wall + since).unwrap_or(u64::MAX)
    }

    /// Returns the flags of its spans.
    pub fn flags(&self) -> u8 {
        let random = self
            .parent
            .as_ref()
            .map_or(RANDOM, |parent| parent.flags & RANDOM);
        SAMPLED | random
    }

    /// Returns what is said to whom one of its spans asks something.
    pub(super) fn traceparent(&self, span: SpanId) -> HeaderValue {
        let text = format!("00-{}-{span}-{:02x}", self.trace, self.flags());
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Reads `traceparent`.
fn read(text: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let &[ref version @ .., _] = known.first_chunk::<3>()?;
    let version = hex::<1>(version)?;
    // What a newer version adds begins with a dash.
    let may_go_on = version != [0] && rest.first() == Some(&b'-');
    let dashes = [2, 35, 52].map(|place| known.get(place));
    if version == [0xff] || !(rest.is_empty() || may_go_on) || dashes != [Some(&b'-'); 3] {
        return None;
    }
    let trace = hex::<16>(known.get(3..35)?)?;
    let span = hex::<8>(known.get(36..52)?)?;
    let [flags] = hex::<1>(known.get(53..)?)?;
    let is_valid = trace != [0; 16] && span != [0; 8];
    is_valid.then_some((TraceId(trace), SpanId(span), flags))
}

/// Reads bytes from lower-case digits, which are the only ones allowed.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

/// Joins what is in all headers of the name, as the recommendation has it.
fn state(headers: &HeaderMap) -> Box<str> {
    let values = headers.get_all(TRACESTATE).iter();
    let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    let state = values.join(",");
    if state.len() > LONGEST_STATE {
        return Box::default();
    }
    state.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000a902b7-01";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::try_from(value).unwrap(),
            );
        }
        headers
    }

    fn parent(text: &str) -> Option<Parent> {
        Parent::of(&headers(&[("traceparent", text)]))
    }

    #[test]
    fn a_parent_is_read_and_told_to_the_next() {
        let parent = parent(VALID).unwrap();

        assert!(parent.is_sampled());
        assert_eq!(parent.trace.to_string(), &VALID[3..35]);
        assert_eq!(parent.span.to_string(), &VALID[36..52]);
        let span = parent.span;
        let mut rng = fastrand::Rng::with_seed(1);
        let context = TraceContext::begin(Some(parent), &mut rng);
        assert_ne!(context.span, span);
        assert_eq!(context.traceparent(span), VALID);
    }

    #[test]
    fn what_is_not_valid_is_no_parent() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000a902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000a902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000a902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000a902b7-011",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f0670000a902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f0670000a902b7-01",
            "00-00000000000000000000000000000000-00f0670000a902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f0670000a902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f0670000a902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000a902b7_01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000a902b7-01.more",
        ] {
            assert_eq!(parent(text), None, "{text}");
        }
        let twice = [("traceparent", VALID), ("traceparent", VALID)];
        assert_eq!(Parent::of(&headers(&twice)), None);
    }

    #[test]
    fn a_newer_version_may_say_more() {
        for text in [
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000a902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000a902b7-01-more",
        ] {
            assert!(parent(text).is_some(), "{text}");
        }
    }

    #[test]
    fn only_known_flags_go_on() {
        for (flags, sampled, passed) in [
            ("00", false, "01"),
            ("01", true, "01"),
            ("03", true, "03"),
            ("fe", false, "03"),
        ] {
            let parent = parent(&format!("{}{flags}", &VALID[..53])).unwrap();
            assert_eq!(parent.is_sampled(), sampled, "{flags}");
            let mut rng = fastrand::Rng::with_seed(1);
            let context = TraceContext::begin(Some(parent), &mut rng);
            let told = context.traceparent(context.span);
            assert_eq!(&told.to_str().unwrap()[53..], passed, "{flags}");
        }
    }

    #[test]
    fn states_are_joined_unless_they_are_too_long() {
        let long = "x".repeat(LONGEST_STATE);
        for (states, expected) in [
            (vec![], ""),
            (vec!["a=1"], "a=1"),
            (vec!["a=1", "b=2,c=3"], "a=1,b=2,c=3"),
            (vec![&*long], &*long),
            (vec![&*long, "a=1"], ""),
        ] {
            let mut lines = vec![("traceparent", VALID)];
            lines.extend(states.iter().map(|&state| ("tracestate", state)));

            let parent = Parent::of(&headers(&lines)).unwrap();

            assert_eq!(&*parent.state, expected);
        }
    }

    #[test]
    fn the_share_of_an_id_is_even() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mean: f64 = (0..10_000)
            .map(|_| TraceId::draw(&mut rng).chance())
            .sum::<f64>()
            / 10_000.0;

        assert!((0.49..0.51).contains(&mean), "{mean}");
    }
}
