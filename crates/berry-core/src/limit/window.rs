//! One sliding window: how much was counted in the last minute, hour or day.
//!
//! Time is cut into sub-buckets, and a window counts one more of them than fit into it: the oldest
//! is partly outside. So no stretch of that length ever has more than the limit in it, and what is
//! used comes back at most one sub-bucket late.

use std::mem;
use std::time::Duration;

use crate::tick::Tick;

/// `SLOTS` sub-buckets of `SECONDS` each; the window is `SLOTS - 1` of them long.
#[derive(Debug)]
pub(super) struct Window<const SLOTS: usize, const SECONDS: u64> {
    /// A ring: the sub-bucket of number `n` is at `n % SLOTS`.
    slots: [u32; SLOTS],
    /// The number of the newest sub-bucket, counted from the process's start.
    newest: u32,
    sum: u64,
}

/// Sixty seconds.
pub(super) type Minute = Window<61, 1>;
/// Sixty minutes.
pub(super) type Hour = Window<61, 60>;
/// Twenty-four hours.
pub(super) type Day = Window<25, 3600>;

impl<const SLOTS: usize, const SECONDS: u64> Default for Window<SLOTS, SECONDS> {
    fn default() -> Self {
        Self {
            slots: [0; SLOTS],
            newest: 0,
            sum: 0,
        }
    }
}

impl<const SLOTS: usize, const SECONDS: u64> Window<SLOTS, SECONDS> {
    /// Forgets what lies too far back. Time that goes backwards is ignored.
    pub(super) fn advance(&mut self, now: Tick) {
        let number = number::<SECONDS>(now);
        let passed = number.saturating_sub(self.newest) as usize;
        if passed >= SLOTS {
            self.slots.fill(0);
            self.sum = 0;
        } else {
            for next in self.newest + 1..=number {
                self.sum -= u64::from(mem::take(&mut self.slots[next as usize % SLOTS]));
            }
        }
        self.newest = self.newest.max(number);
    }

    /// Returns what was counted.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    /// Counts more, now.
    pub(super) fn charge(&mut self, amount: u32) {
        let slot = &mut self.slots[self.newest as usize % SLOTS];
        let before = mem::replace(slot, slot.saturating_add(amount));
        self.sum += u64::from(*slot - before);
    }

    /// Takes back what was counted at `then`, unless that has been forgotten.
    pub(super) fn give_back(&mut self, then: Tick, amount: u32) {
        let number = number::<SECONDS>(then);
        if self.newest.saturating_sub(number) as usize >= SLOTS {
            return;
        }
        let slot = &mut self.slots[number as usize % SLOTS];
        let taken = amount.min(*slot);
        *slot -= taken;
        self.sum -= u64::from(taken);
    }

    /// Returns how long until `amount` fits below `limit`; zero where it does.
    pub(super) fn wait(&self, amount: u32, limit: u32, now: Tick) -> Duration {
        // Of a limit that is lower than what was asked for, all is waited for.
        let most = u64::from(limit.saturating_sub(amount));
        let mut left = self.sum;
        if left <= most {
            return Duration::ZERO;
        }
        let newest = self.newest as usize;
        for number in newest.saturating_sub(SLOTS - 1)..=newest {
            left -= u64::from(self.slots[number % SLOTS]);
            if left <= most {
                let forgotten = (number + SLOTS) as u64 * SECONDS;
                return Tick::from(Duration::from_secs(forgotten)).saturating_since(now);
            }
        }
        Duration::ZERO
    }
}

/// Returns the number of the sub-bucket that a time is in. Numbers last for a century.
fn number<const SECONDS: u64>(time: Tick) -> u32 {
    let seconds = time.saturating_since(Tick::ZERO).as_secs();
    u32::try_from(seconds / SECONDS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn at(milliseconds: u64) -> Tick {
        Tick::from(Duration::from_millis(milliseconds))
    }

    #[test]
    fn what_was_counted_is_forgotten_after_the_window_and_within_a_sub_bucket() {
        let mut window = Minute::default();
        window.advance(at(1_900));
        window.charge(3);

        for (now, expected) in [(61_900, 3), (61_999, 3), (62_000, 0), (500_000, 0)] {
            window.advance(at(now));
            assert_eq!(window.sum(), expected, "{now}");
        }
    }

    #[test]
    fn what_is_given_back_is_taken_from_where_it_was_counted() {
        let mut window = Minute::default();
        window.charge(2);
        window.advance(at(30_000));
        window.charge(5);

        window.give_back(at(0), 2);
        assert_eq!(window.sum(), 5);

        window.advance(at(61_000));
        window.give_back(at(0), 5);
        assert_eq!(window.sum(), 5, "what is forgotten cannot be given back");
    }

    #[test]
    fn the_wait_ends_when_enough_is_forgotten() {
        let mut window = Minute::default();
        window.charge(4);
        window.advance(at(10_000));
        window.charge(6);

        let now = at(10_500);
        for (amount, expected) in [(1, 50_500), (4, 50_500), (5, 60_500), (99, 60_500)] {
            let expected = Duration::from_millis(expected);
            assert_eq!(window.wait(amount, 10, now), expected, "{amount}");
        }
        assert_eq!(window.wait(2, 12, now), Duration::ZERO);
    }

    #[test]
    fn the_largest_counts_do_not_overflow() {
        let mut window = Minute::default();
        for second in 0..61 {
            window.advance(at(second * 1_000));
            window.charge(u32::MAX);
            window.charge(u32::MAX);
        }

        assert_eq!(window.sum(), 61 * u64::from(u32::MAX));
        assert!(window.wait(1, 1, at(60_000)) > Duration::from_secs(60));
    }

    proptest! {
        /// Whoever asks at any times gets no more than the limit in any minute, and is let in as
        /// soon as it was said.
        #[test]
        fn no_minute_ever_has_more_than_the_limit_in_it(
            steps in prop::collection::vec(0_u64..20_000, 1..200),
            limit in 1_u32..8,
        ) {
            let mut window = Minute::default();
            let mut let_in = VecDeque::new();
            let mut now = 0;
            for step in steps {
                now += step;
                window.advance(at(now));
                let wait = window.wait(1, limit, at(now));
                if !wait.is_zero() {
                    let oldest: u64 = let_in[let_in.len() - limit as usize];
                    let back = oldest + 61_000;
                    now += u64::try_from(wait.as_millis()).unwrap();
                    prop_assert!(now <= back);
                    window.advance(at(now));
                    prop_assert!(window.wait(1, limit, at(now)).is_zero());
                }
                window.charge(1);
                let_in.push_back(now);
                let in_a_minute = let_in.iter().filter(|&&then| then + 60_000 > now).count();
                prop_assert!(in_a_minute <= limit as usize);
            }
        }
    }
}
