//! Who sends a request, and how much of what they may send is left: the seam to the limits.
//!
//! A request asks for a [`Permit`] before it is relayed, and its answer carries that to its end.
//! Asking is a future although here it is always ready: a meter that several gateways share is
//! another machine, and nothing but this file would know.

use std::future::{Future, ready};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use berry_core::config::RateLimit;
use berry_core::limit::{Entry, Estimate, Limited, Meter, Place, Reservation, Standing};
use berry_core::{ModelName, User, UserName};
use berry_loadbalance::Clock;
use berry_relay::{Exchange, Snapshot, Usage};
use bytes::{BufMut, BytesMut};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::error::{ApiError, whole_seconds};
use crate::gateway::Gateway;

/// The headers of a quota: its limit, what remains, and when it is whole again.
type QuotaHeaders = [HeaderName; 3];

const REQUESTS: QuotaHeaders = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: QuotaHeaders = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Room for the values of all headers.
const VALUES: usize = 64;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) user: Arc<User>,
    /// Which model they ask for, once it is known to be one that they may use.
    pub(crate) model: OnceLock<ModelName>,
    meter: Arc<Meter>,
    clock: Clock,
}

impl Caller {
    /// Makes one of the user whose credential was accepted.
    pub(crate) fn new(gateway: &Gateway, snapshot: &Snapshot, user: Arc<User>) -> Self {
        let meter = snapshot.meters.get(&user.id).cloned().unwrap_or_default();
        Self {
            user,
            model: OnceLock::new(),
            meter,
            clock: gateway.clock,
        }
    }

    /// Takes a place among the user's requests at the same time, or says that there is none. It is
    /// the request's from before its body is read: what is being sent counts.
    pub(crate) fn enter(&self) -> impl Future<Output = Result<Entry, Limited>> + use<> {
        ready(self.meter.enter(&self.user.rate_limit, self.clock.now()))
    }

    /// Charges a request to the user's limits, or says which is reached.
    pub(crate) fn reserve(
        &self,
        exchange: &Exchange,
        entry: Entry,
        place: Place,
    ) -> impl Future<Output = Result<Permit, Limited>> + use<> {
        let limits = &self.user.rate_limit;
        let estimate = match limits.tokens_per_minute {
            Some(_) => exchange.estimate(),
            None => Estimate::NONE,
        };
        let reserved = entry.reserve(limits, estimate, self.clock.now());
        ready(reserved.map(|reservation| Permit {
            reservation,
            clock: self.clock,
            _place: place,
        }))
    }

    /// Answers what is refused, and says in the log who asked for it.
    pub(crate) fn refuse(&self, error: ApiError) -> Response {
        let mut response = error.into_response();
        // One that is over a limit says so itself.
        let headers = response.headers();
        if ![&REQUESTS, &TOKENS]
            .into_iter()
            .any(|[limit, ..]| headers.contains_key(limit))
        {
            response = self.answer(response);
        }
        response.extensions_mut().insert(Refused {
            user: self.user.id.clone(),
            model: self.model.get().cloned(),
        });
        response
    }

    /// Answers, and says what the user has left, where anything limits them.
    pub(crate) fn answer(&self, mut response: Response) -> Response {
        let limits = &self.user.rate_limit;
        if *limits != RateLimit::default() {
            let standing = self.meter.standing(limits, self.clock.now());
            say(&standing, response.headers_mut());
        }
        response
    }
}

/// Who was refused, and what: rides on the answer to where its line is written.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) user: UserName,
    pub(crate) model: Option<ModelName>,
}

/// A request's leave to be relayed. It ends where the answer does; what the request was charged
/// stays, unless it is refunded.
#[derive(Debug)]
pub(crate) struct Permit {
    reservation: Reservation,
    clock: Clock,
    _place: Place,
}

impl Permit {
    /// Corrects the charge to the tokens that were used, of which there may be none.
    pub(crate) fn settle(&mut self, usage: Usage) {
        let used = usage.input().saturating_add(usage.output());
        self.reservation.settle(used, self.clock.now());
    }

    /// Corrects the charge where nobody says what was used: to what was expected, or to what is known
    /// to have been written, where that is more.
    pub(crate) fn settle_unknown(&mut self, written: u64) {
        let now = self.clock.now();
        self.reservation.settle_unknown(written, now);
    }

    /// Undoes the charge: nothing came of the request.
    pub(crate) fn refund(self) {
        self.reservation.refund();
    }
}

impl From<Limited> for ApiError {
    fn from(limited: Limited) -> Self {
        let mut headers = HeaderMap::new();
        say(&limited.standing, &mut headers);
        let wait = limited.retry_after;
        if limited.needed.is_some() {
            return Self::beyond_limit(format!("{limited}: make it shorter"), wait, headers);
        }
        let message = format!("{limited}: try again in {} s", whole_seconds(wait));
        Self::rate_limited(message, wait, headers)
    }
}

/// Writes the headers that say how much is left.
fn say(standing: &Standing, headers: &mut HeaderMap) {
    let mut values = Values(BytesMut::with_capacity(VALUES));
    for (names, quota) in [(REQUESTS, standing.requests), (TOKENS, standing.tokens)] {
        let Some(quota) = quota else {
            continue;
        };
        let [limit, remaining, reset] = names;
        headers.insert(limit, values.number(quota.limit.into()));
        headers.insert(remaining, values.number(quota.remaining.into()));
        headers.insert(reset, values.length(quota.reset));
    }
}

/// Makes values of headers. They share their memory: almost every answer has six of them.
struct Values(BytesMut);

impl Values {
    fn number(&mut self, number: u64) -> HeaderValue {
        self.write(number);
        self.take()
    }

    /// Writes a length as OpenAI does: `59s`, `6m0s`, `1h0m5s`. It is rounded up.
    fn length(&mut self, time: Duration) -> HeaderValue {
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            self.write(hours);
            self.0.put_u8(b'h');
        }
        if hours > 0 || minutes > 0 {
            self.write(minutes);
            self.0.put_u8(b'm');
        }
        self.write(seconds % 60);
        self.0.put_u8(b's');
        self.take()
    }

    fn write(&mut self, number: u64) {
        self.0
            .put_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn take(&mut self) -> HeaderValue {
        let value = HeaderValue::from_maybe_shared(self.0.split().freeze());
        // Digits and letters are a value.
        value.unwrap_or(HeaderValue::from_static("0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_openai_does() {
        for (milliseconds, expected) in [
            (0, "0s"),
            (1, "1s"),
            (59_000, "59s"),
            (59_001, "1m0s"),
            (360_000, "6m0s"),
            (3_605_000, "1h0m5s"),
            (90_000_000, "25h0m0s"),
        ] {
            let mut values = Values(BytesMut::new());
            assert_eq!(values.length(Duration::from_millis(milliseconds)), expected);
        }
    }
}
