//! How many retries a model can afford.
//!
//! Retries that help when one endpoint fails make an outage worse when all do: each request then
//! brings several. So retries are paid from a budget that requests fill: in any ten seconds at
//! most [`BURST`] plus a share of the requests of those ten seconds. The burst lets a model with
//! little traffic retry at all.
//!
//! Pure: takes `now`.

use berry_core::Tick;

/// Retries that are always affordable: enough for a small deployment, harmless to a large one.
const BURST: f64 = 100.0;
/// Ten one-second slots: fine enough to forget smoothly, few enough to sum.
const SLOTS: usize = 10;
const SLOT_NANOS: u64 = 1_000_000_000;

/// A sliding count of requests and retries over ten seconds.
#[derive(Debug, Clone, Default)]
pub struct RetryBudget {
    slots: [Slot; SLOTS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Which second since the start this slot counts.
    second: u64,
    requests: u32,
    retries: u32,
}

impl RetryBudget {
    /// Counts a request.
    pub fn deposit(&mut self, now: Tick) {
        let slot = self.slot(now);
        slot.requests = slot.requests.saturating_add(1);
    }

    /// Pays for a retry, or refuses; `ratio` is the share of requests that may be retries, 0 to 1.
    pub fn withdraw(&mut self, ratio: f64, now: Tick) -> bool {
        let oldest = second(now).saturating_sub(SLOTS as u64 - 1);
        let (mut requests, mut retries) = (0_u64, 0_u64);
        for slot in self.slots.iter().filter(|slot| slot.second >= oldest) {
            requests += u64::from(slot.requests);
            retries += u64::from(slot.retries);
        }
        let affordable = (retries as f64) < BURST + ratio * requests as f64;
        if affordable {
            let slot = self.slot(now);
            slot.retries = slot.retries.saturating_add(1);
        }
        affordable
    }

    fn slot(&mut self, now: Tick) -> &mut Slot {
        let second = second(now);
        let place = usize::try_from(second % SLOTS as u64).unwrap_or_default();
        let slot = &mut self.slots[place];
        if slot.second != second {
            *slot = Slot {
                second,
                ..Slot::default()
            };
        }
        slot
    }
}

fn second(now: Tick) -> u64 {
    now.as_nanos() / SLOT_NANOS
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::from(Duration::from_secs(seconds))
    }

    const RATIO: f64 = 0.2;

    fn withdrawals(budget: &mut RetryBudget, now: Tick) -> usize {
        std::iter::repeat_with(|| budget.withdraw(RATIO, now))
            .take(10_000)
            .filter(|paid| *paid)
            .count()
    }

    #[test]
    fn without_traffic_only_the_burst_is_affordable() {
        let mut budget = RetryBudget::default();

        assert_eq!(withdrawals(&mut budget, at(0)), 100);
    }

    #[test]
    fn traffic_pays_for_its_share() {
        let mut budget = RetryBudget::default();
        for _ in 0..1_000 {
            budget.deposit(at(3));
        }

        assert_eq!(withdrawals(&mut budget, at(4)), 300);
    }

    #[test]
    fn what_is_older_than_ten_seconds_is_forgotten() {
        let mut budget = RetryBudget::default();
        for _ in 0..500 {
            budget.deposit(at(0));
        }
        withdrawals(&mut budget, at(0));

        assert!(!budget.withdraw(RATIO, at(9)));
        assert_eq!(withdrawals(&mut budget, at(10)), 100);
    }
}
