//! Connections that are being opened, and the requests that wait for a share of them.
//!
//! A burst of requests to an upstream that speaks HTTP/2 needs one connection for as many of them as
//! it carries, not one each. So those that wait stand in one queue, and as many connections are
//! opened for them as it takes: how many requests one carries is what the upstream said last, and a
//! guess before it has said anything. Whoever is first in the queue gets a share of whichever
//! connection is ready first, or opens one itself where those being opened do not do for all: because
//! they brought less than expected, failed, or take too long.
//!
//! Nobody waits for the connections of others for long: after [`FAILURES`] that failed one after
//! the other each opens its own, and one that is not open after [`PATIENCE`] is not counted on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// After this long another connection is opened beside one that is still being opened: a lost
/// packet or a server that hangs must not hold up a whole burst.
const PATIENCE: Duration = Duration::from_secs(1);
/// One failure may be chance; then it would be wrong that each of a burst opens its own.
const FAILURES: usize = 2;

/// See the module's documentation. `S` is a share of a connection.
#[derive(Debug)]
pub(super) struct Openings<S>(Mutex<Queue<S>>);

#[derive(Debug)]
struct Queue<S> {
    /// The requests that one connection is for, as far as is known: at least one.
    room: usize,
    /// The connections being opened: since when, by the number of each.
    begun: BTreeMap<u64, Instant>,
    next: u64,
    waiting: VecDeque<oneshot::Sender<Turn<S>>>,
    /// How many failed since one was opened.
    failures: usize,
}

/// How a request comes to a connection.
#[derive(Debug)]
pub(super) enum Turn<S> {
    /// It opens one itself.
    Open(Opener<S>),
    /// It has a share of one.
    Share(S),
}

/// A connection being opened. Where this is dropped instead of being told how it ended, nobody needs
/// it any more.
#[derive(Debug)]
pub(super) struct Opener<S> {
    openings: Arc<Openings<S>>,
    number: u64,
}

impl<S> Openings<S> {
    /// Begins without any; one connection is for `room` requests until it is known better.
    pub(super) fn new(room: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queue {
            room: room.max(1),
            begun: BTreeMap::new(),
            next: 0,
            waiting: VecDeque::new(),
            failures: 0,
        })))
    }

    /// Learns how many requests a connection is for. One that is for none says nothing of others.
    pub(super) fn learn(&self, room: usize) {
        if room > 0 {
            self.0.lock().room = room;
        }
    }

    /// Waits for a share of a connection that is being opened, or for the turn to open one, which
    /// is at once where those being opened are all spoken for.
    pub(super) async fn turn(self: &Arc<Self>) -> Turn<S> {
        let mut turn = {
            let mut queue = self.0.lock();
            if queue.lacks(1) > 0 {
                queue.forget_gone();
            }
            if queue.lacks(1) > 0 {
                let number = queue.begin();
                return Turn::Open(self.opener(number));
            }
            let (waiting, turn) = oneshot::channel();
            queue.waiting.push_back(waiting);
            turn
        };
        loop {
            match timeout(PATIENCE, &mut turn).await {
                Ok(Ok(turn)) => return turn,
                Ok(Err(_)) => {
                    // Only if it were forgotten while it waits, which nobody does.
                    let number = self.0.lock().begin();
                    return Turn::Open(self.opener(number));
                }
                Err(_) => self.call(Queue::lacking),
            }
        }
    }

    /// Calls as many of those who wait to open a connection as `count` says.
    fn call(self: &Arc<Self>, count: impl Fn(&Queue<S>) -> usize) {
        let called: Vec<_> = {
            let mut queue = self.0.lock();
            if count(&queue) == 0 {
                return;
            }
            queue.forget_gone();
            let count = count(&queue);
            let called: Vec<_> = queue.waiting.drain(..count).collect();
            let begun = called.into_iter().map(|waiting| (waiting, queue.begin()));
            begun.collect()
        };
        for (waiting, number) in called {
            // One that left just now drops it, and the next is called.
            let _ = waiting.send(Turn::Open(self.opener(number)));
        }
    }

    fn opener(self: &Arc<Self>, number: u64) -> Opener<S> {
        Opener {
            openings: Arc::clone(self),
            number,
        }
    }
}

impl<S> Queue<S> {
    fn begin(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.begun.insert(number, Instant::now());
        number
    }

    fn forget_gone(&mut self) {
        self.waiting.retain(|waiting| !waiting.is_closed());
    }

    /// Returns how many connections have yet to be begun for those who wait.
    fn lacking(&self) -> usize {
        self.lacks(0)
    }

    /// The same if so many `more` waited.
    fn lacks(&self, more: usize) -> usize {
        // Each also carries the request that opens it, which does not wait.
        let waiting = self.waiting.len() + more;
        let spoken_for = match self.room - 1 {
            0 => 0,
            shares => self.hopeful().saturating_mul(shares),
        };
        waiting.saturating_sub(spoken_for).div_ceil(self.room)
    }

    /// Returns how many of the connections being opened are counted on.
    fn hopeful(&self) -> usize {
        let latest = self.begun.values().rev();
        latest.take_while(|at| at.elapsed() < PATIENCE).count()
    }
}

impl<S> Opener<S> {
    /// The connection is open and for so many requests, this one included: those who wait get shares,
    /// each as `share` makes it.
    pub(super) fn opened(self, room: usize, share: impl Fn() -> S) {
        for waiting in self.serve(room) {
            // The share of one that left just now is free again.
            let _ = waiting.send(Turn::Share(share()));
        }
    }

    /// The connection is open and for nobody else.
    pub(super) fn opened_alone(self) {
        self.serve(1);
    }

    /// Returns those who wait and have room on the connection.
    fn serve(&self, room: usize) -> Vec<oneshot::Sender<Turn<S>>> {
        let mut queue = self.openings.0.lock();
        queue.room = room.max(1);
        queue.failures = 0;
        queue.forget_gone();
        let count = queue.waiting.len().min(queue.room - 1);
        queue.waiting.drain(..count).collect()
    }

    /// There is no connection.
    pub(super) fn failed(self) {
        let failures = {
            let mut queue = self.openings.0.lock();
            queue.failures += 1;
            queue.failures
        };
        if failures >= FAILURES {
            self.openings.call(|queue| queue.waiting.len());
        }
    }
}

impl<S> Drop for Opener<S> {
    fn drop(&mut self) {
        self.openings.0.lock().begun.remove(&self.number);
        self.openings.call(Queue::lacking);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use tokio::task::unconstrained;
    use tokio::time::advance;

    use super::*;

    type Opener = super::Opener<()>;

    /// Requests that want a connection.
    #[derive(Default)]
    struct Crowd(Vec<Pin<Box<dyn Future<Output = Turn<()>>>>>);

    impl Crowd {
        /// Has so many requests come; returns those that open a connection at once.
        fn come(&mut self, count: usize, openings: &Arc<Openings<()>>) -> Vec<Opener> {
            for _ in 0..count {
                let openings = Arc::clone(openings);
                // All are looked at within one turn of the test's own task.
                let request = unconstrained(async move { openings.turn().await });
                self.0.push(Box::pin(request));
            }
            let (openers, shares) = self.look();
            assert_eq!(shares, 0);
            openers
        }

        /// Returns whose turn has come: those that open one, and how many have a share.
        fn look(&mut self) -> (Vec<Opener>, usize) {
            let (mut openers, mut shares) = (Vec::new(), 0);
            self.0.retain_mut(|request| {
                match request
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                {
                    Poll::Pending => return true,
                    Poll::Ready(Turn::Open(opener)) => openers.push(opener),
                    Poll::Ready(Turn::Share(())) => shares += 1,
                }
                false
            });
            (openers, shares)
        }
    }

    #[tokio::test]
    async fn as_many_connections_are_opened_as_the_burst_needs() {
        for (room, burst, connections) in [(80, 60, 1), (80, 81, 2), (10, 60, 6), (1, 60, 60)] {
            let (openings, mut crowd) = (Openings::new(room), Crowd::default());

            let openers = crowd.come(burst, &openings);
            assert_eq!(openers.len(), connections, "{room}");
            for opener in openers {
                opener.opened(room, || ());
            }

            let (openers, shares) = crowd.look();
            assert_eq!((openers.len(), shares), (0, burst - connections), "{room}");
        }
    }

    #[tokio::test]
    async fn one_that_carries_less_than_expected_is_made_up_for() {
        for (room, connections) in [(10, 5), (2, 29), (1, 59)] {
            let (openings, mut crowd) = (Openings::new(80), Crowd::default());
            let first = crowd.come(60, &openings).pop().unwrap();

            first.opened(room, || ());
            let (openers, shares) = crowd.look();
            assert_eq!((openers.len(), shares), (connections, room - 1));

            for opener in openers {
                opener.opened(room, || ());
            }
            assert!(crowd.look().0.is_empty());
            assert!(crowd.0.is_empty());
        }
    }

    #[tokio::test]
    async fn what_an_upstream_says_later_holds_for_those_who_come_then() {
        let (openings, mut crowd) = (Openings::new(80), Crowd::default());

        openings.learn(2);
        openings.learn(0);

        assert_eq!(crowd.come(4, &openings).len(), 2);
    }

    #[tokio::test]
    async fn a_connection_that_nobody_shares_lets_all_others_open_their_own() {
        let (openings, mut crowd) = (Openings::new(80), Crowd::default());
        let first = crowd.come(5, &openings).pop().unwrap();

        first.opened_alone();

        assert_eq!(crowd.look().0.len(), 4);
    }

    #[tokio::test]
    async fn after_one_failure_another_tries_and_after_two_each_for_itself() {
        let (openings, mut crowd) = (Openings::new(80), Crowd::default());
        let first = crowd.come(5, &openings).pop().unwrap();

        first.failed();
        let mut openers = crowd.look().0;
        assert_eq!(openers.len(), 1);
        openers.pop().unwrap().failed();

        assert_eq!(crowd.look().0.len(), 3);
    }

    #[tokio::test]
    async fn failures_are_forgotten_where_one_is_opened() {
        let (openings, mut crowd) = (Openings::new(80), Crowd::default());
        crowd.come(2, &openings).pop().unwrap().failed();
        crowd.look().0.pop().unwrap().opened(80, || ());

        crowd.come(5, &openings).pop().unwrap().failed();

        assert_eq!(crowd.look().0.len(), 1);
    }

    #[tokio::test]
    async fn one_that_leaves_while_it_opens_or_waits_holds_up_nobody() {
        let (openings, mut crowd) = (Openings::new(80), Crowd::default());
        let first = crowd.come(5, &openings).pop().unwrap();
        drop(crowd.0.remove(0));

        drop(first);
        // It is called, and leaves before it knows.
        drop(crowd.0.remove(0));

        let (mut openers, shares) = crowd.look();
        assert_eq!((openers.len(), shares), (1, 0));
        openers.pop().unwrap().opened(80, || ());
        assert_eq!(crowd.look().1, 1);
        assert!(crowd.0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_long_is_not_counted_on() {
        let (openings, mut crowd) = (Openings::new(80), Crowd::default());
        let slow = crowd.come(5, &openings);
        assert_eq!(slow.len(), 1);

        advance(PATIENCE).await;
        let mut second = crowd.look().0;
        assert_eq!(second.len(), 1);
        second.pop().unwrap().opened(80, || ());

        assert_eq!(crowd.look().1, 3);
        drop(slow);
    }
}
