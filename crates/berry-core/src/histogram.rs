//! Counts durations into buckets, for whoever draws their distribution.
//!
//! Atomic counters and fixed bounds: observing takes no lock and allocates nothing. Time is kept in
//! whole nanoseconds, so the sum needs no loop that compares and swaps. A reader may see an
//! observation in a bucket and not yet in the sum; it never sees a bucket shrink.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// See the module's documentation.
pub struct Histogram {
    bounds: &'static [Duration],
    /// One per bound, and one for what is above all.
    buckets: Box<[AtomicU64]>,
    nanos: AtomicU64,
}

/// What a histogram has counted, as Prometheus wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// How many observations are at most as long as each bound, in the order of the bounds.
    pub up_to: Vec<(Duration, u64)>,
    /// All observations.
    pub count: u64,
    /// How long they were together.
    pub sum: Duration,
}

impl Histogram {
    /// Begins empty; the bounds must ascend.
    pub fn new(bounds: &'static [Duration]) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            nanos: AtomicU64::new(0),
        }
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let place = self.bounds.partition_point(|bound| *bound < duration);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Returns what has been counted.
    pub fn read(&self) -> Distribution {
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed));
        let mut count = 0;
        let mut counts = self.buckets.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let up_to = self.bounds.iter().copied().zip(counts.by_ref()).collect();
        // What is above all bounds.
        let above = counts.next();
        let count = above.unwrap_or_default();
        Distribution { up_to, count, sum }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &[Duration] = &[Duration::from_millis(1), Duration::from_millis(10)];

    #[test]
    fn a_duration_is_in_its_bucket_and_in_all_longer_ones() {
        let histogram = Histogram::new(BOUNDS);
        for micros in [500, 1000, 1001, 10_000, 11_000] {
            histogram.observe(Duration::from_micros(micros));
        }

        let read = histogram.read();

        assert_eq!(read.up_to, [(BOUNDS[0], 2), (BOUNDS[1], 4)]);
        assert_eq!(read.count, 5);
        assert_eq!(read.sum, Duration::from_micros(23_501));
    }

    #[test]
    fn nothing_observed_is_nothing_counted() {
        let read = Histogram::new(BOUNDS).read();

        assert_eq!(read.up_to, [(BOUNDS[0], 0), (BOUNDS[1], 0)]);
        assert_eq!((read.count, read.sum), (0, Duration::ZERO));
    }
}
