//! The counts of one user, shared by all their requests.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::counts::{Charge, Counted, Counts, Estimate, Limited, Standing};
use crate::config::RateLimit;
use crate::tick::Tick;

/// Counts what one user sends.
///
/// The lock is the user's own and held for some dozens of instructions: requests of different users
/// never meet, and those of one are decided one after the other.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Counts>);

impl Meter {
    /// Lets a request of the user in, who has these limits: it takes a place among those at the same
    /// time.
    ///
    /// # Errors
    /// All places are taken.
    pub fn enter(self: &Arc<Self>, limits: &RateLimit, now: Tick) -> Result<Entry, Limited> {
        self.lock().enter(limits, now)?;
        Ok(Entry(Arc::clone(self)))
    }

    /// Returns how much the user has left of these limits.
    pub fn standing(&self, limits: &RateLimit, now: Tick) -> Standing {
        self.lock().standing_at(limits, now)
    }

    /// Returns whether nothing is counted any more: as if the user had never sent a request.
    pub(super) fn is_blank(&self, now: Tick) -> bool {
        self.counted(now) == Counted::default()
    }

    /// Returns what has been counted.
    pub fn counted(&self, now: Tick) -> Counted {
        self.lock().counted(now)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        #[cfg(test)]
        super::interleavings::switch();
        self.0.lock()
    }
}

/// A request's place among those of its user at the same time.
#[derive(Debug)]
#[must_use]
pub struct Entry(Arc<Meter>);

impl Entry {
    /// Charges the request to the user, who has these limits.
    ///
    /// # Errors
    /// A limit is reached; nothing is charged then, and the place is free again.
    pub fn reserve(
        self,
        limits: &RateLimit,
        estimate: Estimate,
        now: Tick,
    ) -> Result<Reservation, Limited> {
        let charge = self.0.lock().reserve(limits, estimate, now)?;
        Ok(Reservation {
            entry: self,
            charge,
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.lock().leave();
    }
}

/// A request's part of its user's limits: its place ends with it, and what it was charged stays,
/// unless it is refunded.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    entry: Entry,
    charge: Charge,
}

impl Reservation {
    /// Replaces the expected tokens by those that were used.
    pub fn settle(&mut self, tokens: u64, now: Tick) {
        let mut counts = self.entry.0.lock();
        counts.settle(&mut self.charge, tokens, now);
    }

    /// Settles a request of which nobody says how many tokens it used, but for some that are known
    /// to have been written.
    pub fn settle_unknown(&mut self, written: u64, now: Tick) {
        let mut counts = self.entry.0.lock();
        counts.settle_unknown(&mut self.charge, written, now);
    }

    /// Undoes the charge of a request that came to nothing.
    pub fn refund(self) {
        self.entry.0.lock().refund(&self.charge);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Barrier;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn limits(requests_per_minute: u32, concurrent: u32) -> RateLimit {
        RateLimit {
            requests_per_minute: NonZeroU32::new(requests_per_minute),
            max_concurrent_requests: NonZeroU32::new(concurrent),
            ..RateLimit::default()
        }
    }

    #[test]
    fn a_user_costs_less_than_a_kibibyte() {
        assert!(size_of::<Meter>() <= 912, "{}", size_of::<Meter>());
    }

    #[test]
    fn of_requests_at_once_exactly_as_many_pass_as_are_allowed() {
        for round in 0..50 {
            let meter = Arc::new(Meter::default());
            let start = Barrier::new(30);
            let limits = match round % 2 {
                0 => limits(5, 0),
                _ => limits(0, 5),
            };

            let passed: Vec<_> = thread::scope(|scope| {
                let ask = || {
                    start.wait();
                    let entry = meter.enter(&limits, Tick::ZERO).ok()?;
                    entry.reserve(&limits, Estimate::NONE, Tick::ZERO).ok()
                };
                let threads: Vec<_> = (0..30).map(|_| scope.spawn(ask)).collect();
                let passed = threads.into_iter().filter_map(|t| t.join().unwrap());
                passed.collect()
            });

            assert_eq!(passed.len(), 5);
            assert_eq!(meter.counted(Tick::ZERO).requests_this_minute, 5);
            assert_eq!(meter.counted(Tick::ZERO).concurrent_requests, 5);
        }
    }

    #[test]
    fn a_request_that_is_refused_gives_its_place_back_and_is_charged_nothing() {
        let meter = Arc::new(Meter::default());
        let limits = limits(1, 5);
        let enter = || meter.enter(&limits, Tick::ZERO).unwrap();
        let first = enter().reserve(&limits, Estimate::NONE, Tick::ZERO);
        let before = meter.counted(Tick::ZERO);

        let second = enter().reserve(&limits, Estimate::NONE, Tick::ZERO);

        assert_eq!((first.is_ok(), second.is_ok()), (true, false));
        assert_eq!(meter.counted(Tick::ZERO), before);
    }

    #[test]
    fn a_place_is_free_again_however_the_request_ends() {
        let meter = Arc::new(Meter::default());
        let limits = limits(0, 1);
        let enter = || meter.enter(&limits, Tick::ZERO);
        let reserve = || enter()?.reserve(&limits, Estimate::NONE, Tick::ZERO);

        drop(enter().unwrap());
        let first = reserve().unwrap();
        let limited = enter().unwrap_err();
        assert_eq!(
            limited.to_string(),
            "your limit of 1 requests at the same time is reached"
        );
        assert_eq!(limited.retry_after, Duration::from_secs(1));
        drop(first);

        reserve().unwrap().refund();
        assert!(reserve().is_ok());
        assert_eq!(meter.counted(Tick::ZERO).requests_this_day, 2);
    }
}
