//! Connections that are being opened, and the requests that wait to share them.
//!
//! A burst of requests to an upstream that speaks HTTP/2 needs one connection for as many
//! of them as it carries, not one each: those that come while one is being opened wait for it.
//! How it ended is for each to find out: where there is nothing to share after all, it opens its
//! own.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Openings {
    /// The requests that one connection is for.
    room: usize,
    begun: Mutex<Vec<Opening>>,
}

#[derive(Debug)]
struct Opening {
    /// Closed when it is over; there are no permits.
    over: Arc<Semaphore>,
    promised: usize,
}

/// Who opens a connection for a request.
#[derive(Debug)]
pub(super) enum Turn<'a> {
    /// The request itself.
    Open(Opener<'a>),
    /// Somebody else.
    Wait(Wait),
}

/// A connection being opened; it is over when this is dropped, whatever came of it.
#[derive(Debug)]
pub(super) struct Opener<'a> {
    openings: &'a Openings,
    over: Arc<Semaphore>,
}

/// A wait for somebody else's connection.
#[derive(Debug)]
pub(super) struct Wait(Arc<Semaphore>);

impl Openings {
    /// Begins without any; one connection is for `room` requests.
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            begun: Mutex::default(),
        }
    }

    /// Joins a connection that is being opened and has room, or begins one.
    pub(super) fn join(&self) -> Turn<'_> {
        let mut begun = self.begun.lock();
        let with_room = begun
            .iter_mut()
            .find(|opening| opening.promised < self.room);
        if let Some(opening) = with_room {
            opening.promised += 1;
            return Turn::Wait(Wait(Arc::clone(&opening.over)));
        }
        let over = Arc::new(Semaphore::new(0));
        begun.push(Opening {
            over: Arc::clone(&over),
            promised: 1,
        });
        Turn::Open(Opener {
            openings: self,
            over,
        })
    }
}

impl Wait {
    /// Waits until it is over.
    pub(super) async fn over(self) {
        // It ends with an error, because nothing else ends it.
        let _ = self.0.acquire().await;
    }
}

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        let mut begun = self.openings.begun.lock();
        begun.retain(|opening| !Arc::ptr_eq(&opening.over, &self.over));
        self.over.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opener(openings: &Openings) -> Opener<'_> {
        match openings.join() {
            Turn::Open(opener) => opener,
            Turn::Wait(_) => panic!("a connection of somebody else"),
        }
    }

    #[tokio::test]
    async fn as_many_wait_for_a_connection_as_have_room_on_it() {
        let openings = Openings::new(3);
        let first = opener(&openings);
        let waits: Vec<_> = (0..2).map(|_| openings.join()).collect();
        let second = opener(&openings);

        drop(first);

        for wait in waits {
            let Turn::Wait(wait) = wait else {
                panic!("an opener of its own");
            };
            wait.over().await;
        }
        assert!(matches!(openings.join(), Turn::Wait(_)));
        drop(second);
        let _third = opener(&openings);
    }
}
