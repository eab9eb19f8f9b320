//! Where randomness comes from: one seed per process, one generator per request.

use std::sync::atomic::{AtomicU64, Ordering};

/// The golden ratio's bits: seeds made by counting with it are spread evenly (Steele, Lea and
/// Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Forks a generator per request with one atomic addition: no lock, no thread-local, and the same
/// seed and order give the same choices.
#[derive(Debug)]
pub struct Chance(AtomicU64);

impl Chance {
    /// Begins with a seed, which determines everything that follows.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Returns a generator of its own.
    pub fn fork(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.0.fetch_add(STEP, Ordering::Relaxed))
    }
}
