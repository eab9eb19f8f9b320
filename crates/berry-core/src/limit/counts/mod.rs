//! Everything that is counted of one user, and the decision about one more request.

use std::fmt;
use std::time::Duration;

use super::window::{Day, Hour, Minute};
use crate::config::RateLimit;
use crate::tick::Tick;

/// When a place among the requests at the same time will be free nobody knows; sooner is not worth
/// asking.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// A request that never fits is not worth repeating; programs that repeat all the same have to wait.
const TOO_LARGE_WAIT: Duration = Duration::from_mins(1);

/// What a request is expected to cost before it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Tokens to be read: without room for them the request has to wait.
    pub input: u32,
    /// Tokens that may be written: of the room that is left so much is held.
    pub output: u32,
}

impl Estimate {
    /// Expects no tokens at all.
    pub const NONE: Self = Self {
        input: 0,
        output: 0,
    };
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// `requests_per_minute`
    RequestsPerMinute,
    /// `requests_per_hour`
    RequestsPerHour,
    /// `requests_per_day`
    RequestsPerDay,
    /// `tokens_per_minute`
    TokensPerMinute,
    /// `max_concurrent_requests`
    ConcurrentRequests,
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestsPerMinute => "requests per minute",
            Self::RequestsPerHour => "requests per hour",
            Self::RequestsPerDay => "requests per day",
            Self::TokensPerMinute => "tokens per minute",
            Self::ConcurrentRequests => "requests at the same time",
        })
    }
}

/// Why a request has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Limited {
    /// The limit that takes longest to have room again.
    pub kind: LimitKind,
    /// How much it allows.
    pub most: u32,
    /// About how much the request needs, where that is more than it ever allows.
    pub needed: Option<u32>,
    /// When the request would fit.
    pub retry_after: Duration,
    /// How much is left of every limit.
    pub standing: Standing,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, most, .. } = self;
        match self.needed {
            None => write!(f, "your limit of {most} {kind} is reached"),
            Some(needed) => write!(
                f,
                "your limit of {most} {kind} is less than the {needed} that this request may take"
            ),
        }
    }
}

/// How much of its limits a user has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Of the limit on requests that has least left.
    pub requests: Option<Quota>,
    /// Of the limit on tokens.
    pub tokens: Option<Quota>,
}

/// How much of one limit is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How much it allows.
    pub limit: u32,
    /// How much of that is not used.
    pub remaining: u32,
    /// How long until all of it is there again.
    pub reset: Duration,
}

/// What has been counted of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Requests in the last minute.
    pub requests_this_minute: u64,
    /// Requests in the last hour.
    pub requests_this_hour: u64,
    /// Requests in the last day.
    pub requests_this_day: u64,
    /// Tokens in the last minute, those that are only reserved among them.
    pub tokens_this_minute: u64,
    /// Requests that have not ended.
    pub concurrent_requests: u32,
}

/// What one request was charged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charge {
    at: Tick,
    /// Tokens that the request was expected to read.
    input: u32,
    /// Tokens that were charged.
    tokens: u32,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Counts {
    minute: Minute,
    hour: Hour,
    day: Day,
    tokens: Minute,
    running: u32,
    /// The latest time it was told: requests that come at once may tell theirs in any order.
    now: Tick,
}

impl Counts {
    /// Takes a place among the requests at the same time.
    pub(super) fn enter(&mut self, limits: &RateLimit, now: Tick) -> Result<(), Limited> {
        if let Some(most) = limits.max_concurrent_requests
            && self.running >= most.get()
        {
            let mut standing = self.standing_at(limits, now);
            // Where nothing else limits requests, this does.
            standing.requests.get_or_insert(Quota {
                limit: most.get(),
                remaining: 0,
                reset: PLACE_WAIT,
            });
            return Err(Limited {
                kind: LimitKind::ConcurrentRequests,
                most: most.get(),
                needed: None,
                retry_after: PLACE_WAIT,
                standing,
            });
        }
        self.running += 1;
        Ok(())
    }

    /// Charges a request to every window, or to none.
    pub(super) fn reserve(
        &mut self,
        limits: &RateLimit,
        estimate: Estimate,
        now: Tick,
    ) -> Result<Charge, Limited> {
        self.advance(now);
        let tokens = limits.tokens_per_minute;
        if let Some(most) = tokens.filter(|most| most.get() < estimate.input) {
            return Err(Limited {
                kind: LimitKind::TokensPerMinute,
                most: most.get(),
                needed: Some(estimate.input),
                retry_after: TOO_LARGE_WAIT,
                standing: self.standing(limits),
            });
        }
        if let Some((kind, most, retry_after)) = self.reached(limits, estimate) {
            return Err(Limited {
                kind,
                most,
                needed: None,
                retry_after,
                standing: self.standing(limits),
            });
        }
        self.minute.charge(1);
        self.hour.charge(1);
        self.day.charge(1);
        let wanted = estimate.input.saturating_add(estimate.output);
        let tokens = match limits.tokens_per_minute {
            Some(limit) => wanted.min(remaining(limit.get(), self.tokens.sum())),
            None => wanted,
        };
        self.tokens.charge(tokens);
        Ok(Charge {
            at: self.now,
            input: estimate.input,
            tokens,
        })
    }

    /// Returns the limit that the request has to wait longest for; its place it has already.
    fn reached(
        &self,
        limits: &RateLimit,
        estimate: Estimate,
    ) -> Option<(LimitKind, u32, Duration)> {
        let now = self.now;
        let (minute, hour) = (limits.requests_per_minute, limits.requests_per_hour);
        let (day, tokens) = (limits.requests_per_day, limits.tokens_per_minute);
        let waits = [
            minute.map(|most| {
                (
                    LimitKind::RequestsPerMinute,
                    most,
                    self.minute.wait(1, most.get(), now),
                )
            }),
            hour.map(|most| {
                (
                    LimitKind::RequestsPerHour,
                    most,
                    self.hour.wait(1, most.get(), now),
                )
            }),
            day.map(|most| {
                (
                    LimitKind::RequestsPerDay,
                    most,
                    self.day.wait(1, most.get(), now),
                )
            }),
            tokens.map(|most| {
                let wait = self.tokens.wait(estimate.input, most.get(), now);
                (LimitKind::TokensPerMinute, most, wait)
            }),
        ];
        let reached = waits.into_iter().flatten();
        let reached = reached
            .filter(|(.., wait)| !wait.is_zero())
            .map(|(kind, most, wait)| (kind, most.get(), wait));
        reached.max_by_key(|&(.., wait)| wait)
    }

    /// Corrects what was charged to what was used. More than expected counts from now on: of a
    /// long answer the beginning may be forgotten already.
    pub(super) fn settle(&mut self, charge: &mut Charge, used: u64, now: Tick) {
        self.advance(now);
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        match used.checked_sub(charge.tokens) {
            Some(more) => self.tokens.charge(more),
            None => self.tokens.give_back(charge.at, charge.tokens - used),
        }
        charge.tokens = used;
    }

    /// Corrects what was charged where all that is known is how much was written.
    pub(super) fn settle_unknown(&mut self, charge: &mut Charge, written: u64, now: Tick) {
        let used = u64::from(charge.input).saturating_add(written);
        self.settle(charge, used.max(charge.tokens.into()), now);
    }

    /// Undoes a charge.
    pub(super) fn refund(&mut self, charge: &Charge) {
        self.minute.give_back(charge.at, 1);
        self.hour.give_back(charge.at, 1);
        self.day.give_back(charge.at, 1);
        self.tokens.give_back(charge.at, charge.tokens);
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Returns how much is left at `now`.
    pub(super) fn standing_at(&mut self, limits: &RateLimit, now: Tick) -> Standing {
        self.advance(now);
        self.standing(limits)
    }

    fn standing(&self, limits: &RateLimit) -> Standing {
        let windows = [
            (limits.requests_per_day, self.day.sum()),
            (limits.requests_per_hour, self.hour.sum()),
            (limits.requests_per_minute, self.minute.sum()),
        ];
        let windows = windows.into_iter().enumerate();
        let limited = windows.filter_map(|(index, (limit, sum))| {
            let limit = limit?.get();
            Some((index, limit, remaining(limit, sum)))
        });
        // Of equals the first, which takes longest to be all there again.
        let least = limited.min_by_key(|&(_, _, remaining)| remaining);
        let requests = least.map(|(index, limit, remaining)| Quota {
            limit,
            remaining,
            reset: match index {
                0 => self.day.wait(limit, limit, self.now),
                1 => self.hour.wait(limit, limit, self.now),
                _ => self.minute.wait(limit, limit, self.now),
            },
        });
        let tokens = limits.tokens_per_minute.map(|limit| Quota {
            limit: limit.get(),
            remaining: remaining(limit.get(), self.tokens.sum()),
            reset: self.tokens.wait(limit.get(), limit.get(), self.now),
        });
        Standing { requests, tokens }
    }

    /// Returns what is counted at `now`.
    pub(super) fn counted(&mut self, now: Tick) -> Counted {
        self.advance(now);
        Counted {
            requests_this_minute: self.minute.sum(),
            requests_this_hour: self.hour.sum(),
            requests_this_day: self.day.sum(),
            tokens_this_minute: self.tokens.sum(),
            concurrent_requests: self.running,
        }
    }

    fn advance(&mut self, now: Tick) {
        self.now = self.now.max(now);
        self.minute.advance(self.now);
        self.hour.advance(self.now);
        self.day.advance(self.now);
        self.tokens.advance(self.now);
    }
}

fn remaining(limit: u32, used: u64) -> u32 {
    limit.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
