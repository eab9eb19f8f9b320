//! What a process has counted since it began, whatever its configuration has become.
//!
//! An endpoint's own counts end with it: a reload that drops a backend, or gives it another key, would
//! take them out of every sum. So whatever is a total is counted here as well, once for all endpoints
//! and pools of one [`Registry`](crate::Registry), and never falls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::outcome::Outcome;
use crate::sync::Mutex;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Totals {
    attempts: AtomicU64,
    successes: AtomicU64,
    selections: Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>,
}

impl Totals {
    /// Counts how a use of an endpoint ended.
    pub(crate) fn count(&self, outcome: Outcome) {
        match outcome {
            Outcome::Abandoned => return,
            Outcome::Failure(_) => {}
            Outcome::Success | Outcome::ClientFault => {
                self.successes.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the attempts that ended with an answer or a failure.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Returns those of them that no endpoint failed.
    pub fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Returns the count of the requests that a strategy gave an endpoint, for a pool to add to.
    pub fn selections_by(&self, strategy: &'static str) -> Arc<AtomicU64> {
        Arc::clone(self.selections.lock().entry(strategy).or_default())
    }

    /// Returns how many requests were given an endpoint, by strategy.
    pub fn selections(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.selections.lock();
        let counts = counts.iter();
        counts
            .map(|(strategy, count)| (*strategy, count.load(Ordering::Relaxed)))
            .collect()
    }
}
