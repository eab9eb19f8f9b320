//! How many requests are being served, and that they are not too many.
//!
//! One more than the process can serve well makes all of them slow, so it is refused at once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the requests in flight, whoever sent them.
#[derive(Debug, Default)]
pub struct InFlight(Arc<AtomicU32>);

impl InFlight {
    /// Lets a request in, unless `most` are in flight already.
    pub fn enter(&self, most: Option<NonZeroU32>) -> Option<Place> {
        let most = most.map_or(u32::MAX, NonZeroU32::get);
        let one_more = |count| {
            #[cfg(test)]
            super::interleavings::switch();
            (count < most).then(|| count + 1)
        };
        // Only the number itself is shared: nothing else is published with it.
        let counted = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.ok().map(|_| Place(Arc::clone(&self.0)))
    }
}

/// A request in flight; it is over when this is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicU32>);

impl Drop for Place {
    fn drop(&mut self) {
        #[cfg(test)]
        super::interleavings::switch();
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn of_requests_at_once_exactly_as_many_enter_as_there_is_room_for() {
        let (in_flight, start) = (InFlight::default(), Barrier::new(16));
        let enter = || {
            start.wait();
            in_flight.enter(NonZeroU32::new(5))
        };

        let places: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(enter)).collect();
            let places = threads.into_iter().filter_map(|t| t.join().unwrap());
            places.collect()
        });

        assert_eq!(places.len(), 5);
        drop(places);
        assert!(in_flight.enter(NonZeroU32::new(1)).is_some());
    }

    #[test]
    fn without_a_limit_everybody_enters() {
        let in_flight = InFlight::default();
        let places: Vec<_> = (0..100).map(|_| in_flight.enter(None)).collect();

        assert!(places.iter().all(Option::is_some));
        assert!(in_flight.enter(NonZeroU32::new(100)).is_none());
    }
}
