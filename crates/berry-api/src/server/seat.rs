//! How many connections may be open, and that some are kept back.
//!
//! A flood of clients takes every place there is, and then nobody can find out that there is one: a
//! probe that gets no answer makes an orchestrator kill a process that works. So a few places are
//! kept back for when all others are taken. A connection on one of them is short: it carries one
//! request, for a page of our own; what is to be relayed is shed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::server::socket::ClientWaits;

/// One place of so many is kept back, and one where there are fewer,
const SHARE: usize = 16;
/// but not more than these.
const MOST_KEPT_BACK: usize = 64;
/// The longest that a place which was kept back is held by who says nothing: a probe says at once
/// what it wants, and others that do are waiting.
const RESERVE_HEAD: Duration = Duration::from_secs(1);
/// The longest that an answer waits there to be taken.
const RESERVE_WRITE: Duration = Duration::from_secs(5);

/// The place that a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    /// One of the many.
    Usual,
    /// One that is kept back for when all others are taken.
    Reserve,
}

impl Seat {
    /// Shortens the waits of a connection that must not stay.
    pub(super) fn bound(self, waits: ClientWaits) -> ClientWaits {
        match self {
            Self::Usual => waits,
            Self::Reserve => ClientWaits {
                head: waits.head.min(RESERVE_HEAD),
                idle: waits.idle.min(RESERVE_HEAD),
                write: waits.write.min(RESERVE_WRITE),
            },
        }
    }
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) seat: Seat,
    _permit: OwnedSemaphorePermit,
}

/// All the places of the listener.
#[derive(Debug)]
pub(super) struct Seats {
    usual: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

impl Seats {
    /// Divides `most` places.
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        let reserve = (most / SHARE)
            .clamp(1, MOST_KEPT_BACK)
            .min(most.saturating_sub(1));
        Self {
            usual: Arc::new(Semaphore::new(most - reserve)),
            reserve: Arc::new(Semaphore::new(reserve)),
        }
    }

    /// Waits for any place.
    pub(super) async fn take(&self) -> Taken {
        let (usual, reserve) = (Arc::clone(&self.usual), Arc::clone(&self.reserve));
        loop {
            // Neither is ever closed.
            tokio::select! {
                biased;
                Ok(permit) = Arc::clone(&usual).acquire_owned() => {
                    return Taken { seat: Seat::Usual, _permit: permit };
                }
                Ok(permit) = Arc::clone(&reserve).acquire_owned() => {
                    return Taken { seat: Seat::Reserve, _permit: permit };
                }
                else => std::future::pending().await,
            }
        }
    }

    /// Exchanges a place that was kept back for one that has got free since it was taken.
    pub(super) fn exchange(&self, taken: Taken) -> Taken {
        if taken.seat == Seat::Usual {
            return taken;
        }
        match Arc::clone(&self.usual).try_acquire_owned() {
            Ok(permit) => Taken {
                seat: Seat::Usual,
                _permit: permit,
            },
            Err(_) => taken,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn take(seats: &Seats) -> Option<Taken> {
        seats.take().now_or_never()
    }

    #[tokio::test]
    async fn the_last_places_are_kept_back_within_the_cap() {
        let seats = Seats::new(32);

        let taken: Vec<_> = (0..33).map_while(|_| take(&seats)).collect();

        let usual = taken.iter().filter(|taken| taken.seat == Seat::Usual);
        assert_eq!((usual.count(), taken.len()), (30, 32));
    }

    #[tokio::test]
    async fn one_place_is_kept_back_where_there_are_two() {
        for (most, expected) in [(1, [1, 0]), (2, [1, 1]), (15, [14, 1]), (48, [45, 3])] {
            let seats = Seats::new(most);

            let taken: Vec<_> = (0..=most).map_while(|_| take(&seats)).collect();

            let of = |seat| taken.iter().filter(|taken| taken.seat == seat).count();
            assert_eq!([of(Seat::Usual), of(Seat::Reserve)], expected);
        }
    }

    #[tokio::test]
    async fn who_got_the_last_place_before_another_was_free_gets_that() {
        let seats = Seats::new(16);
        let mut usual: Vec<_> = (0..15).map_while(|_| take(&seats)).collect();
        let reserve = take(&seats).unwrap();

        let kept = seats.exchange(reserve);
        assert_eq!(kept.seat, Seat::Reserve);
        usual.pop();
        let better = seats.exchange(kept);

        assert_eq!(better.seat, Seat::Usual);
        assert_eq!(take(&seats).map(|taken| taken.seat), Some(Seat::Reserve));
    }
}
