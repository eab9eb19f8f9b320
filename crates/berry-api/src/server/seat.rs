//! How many connections may be open, and that some are kept back.
//!
//! A flood of clients takes every place there is, and then nobody can find out that there is one: a
//! probe that gets no answer makes an orchestrator kill a process that works. So a few places are
//! kept back for when all others are taken by clients that have something to do. A connection on one
//! of them is short: it carries one request, for a page of our own; what is to be relayed is shed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::server::activity::{Activity, SILENCE};
use crate::server::guests::{Guests, Place};
use crate::server::socket::ClientWaits;

/// One place of so many is kept back, and one where there are fewer,
const SHARE: usize = 16;
/// but not more than these.
const MOST_KEPT_BACK: usize = 64;
/// The longest that an answer waits on a place that was kept back to be taken.
const RESERVE_WRITE: Duration = Duration::from_secs(5);
/// In a drain a client of HTTP/2 is asked to confirm that it sends no more requests, which one that sleeps
/// does not do. With none in flight it need not be waited for any longer than this.
const FAREWELL: Duration = Duration::from_secs(1);

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
                // A probe says at once what it wants, and others that do are waiting.
                head: waits.head.min(SILENCE),
                idle: waits.idle.min(SILENCE),
                write: waits.write.min(RESERVE_WRITE),
            },
        }
    }
}

/// A place that nobody sits on yet, until it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) seat: Seat,
    permit: OwnedSemaphorePermit,
}

/// A place that somebody sits on, until it is dropped.
#[derive(Debug)]
pub(super) struct Sitting {
    pub(super) seat: Seat,
    _held: Held,
}

#[derive(Debug)]
enum Held {
    Usual(#[expect(dead_code, reason = "its drop is what counts")] Place),
    Reserve(#[expect(dead_code, reason = "its drop is what counts")] OwnedSemaphorePermit),
}

/// All the places of the listener.
#[derive(Debug)]
pub(super) struct Seats {
    usual: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    guests: Guests,
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
            guests: Guests::default(),
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
                    return Taken { seat: Seat::Usual, permit };
                }
                Ok(permit) = Arc::clone(&reserve).acquire_owned() => {
                    return Taken { seat: Seat::Reserve, permit };
                }
                else => std::future::pending().await,
            }
        }
    }

    /// Lets everybody go who is at rest, now and then.
    pub(super) async fn clear(&self) -> Infallible {
        loop {
            sleep(FAREWELL).await;
            while self.guests.let_go().is_some() {}
        }
    }

    /// Seats a connection; instead of on a place that was kept back, on one that has got free since it
    /// was taken, or that another gives up for it.
    pub(super) fn seat(&self, taken: Taken, activity: &Activity) -> Sitting {
        let Taken { seat, permit } = taken;
        let better = match seat {
            Seat::Usual => None,
            Seat::Reserve => Arc::clone(&self.usual)
                .try_acquire_owned()
                .ok()
                .or_else(|| self.guests.let_go()),
        };
        match (seat, better) {
            (Seat::Reserve, None) => Sitting {
                seat,
                _held: Held::Reserve(permit),
            },
            (_, better) => {
                let permit = better.unwrap_or(permit);
                Sitting {
                    seat: Seat::Usual,
                    _held: Held::Usual(self.guests.seat(permit, activity.clone())),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;
    use crate::server::activity::Awaited;

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

        usual.pop();
        let better = seats.seat(reserve, &Activity::default());

        assert_eq!(better.seat, Seat::Usual);
        assert_eq!(take(&seats).map(|taken| taken.seat), Some(Seat::Reserve));
    }

    #[tokio::test]
    async fn who_finds_all_places_taken_gets_one_that_is_not_used() {
        let seats = Seats::new(16);
        let kept = Activity::default();
        let mut sitting = Vec::new();
        for number in 0..15 {
            let activity = if number == 7 {
                kept.clone()
            } else {
                Activity::default()
            };
            sitting.push(seats.seat(take(&seats).unwrap(), &activity));
        }
        drop(kept.begin());
        kept.rests(Awaited::Another, Instant::now());

        let first = seats.seat(take(&seats).unwrap(), &Activity::default());
        let second = seats.seat(take(&seats).unwrap(), &Activity::default());

        assert!(kept.is_dismissed());
        assert_eq!([first.seat, second.seat], [Seat::Usual, Seat::Reserve]);
    }
}
