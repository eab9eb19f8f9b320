//! Things that many threads put in and one takes out in batches.
//!
//! What wakes a thread costs more than what it is woken for. So it is woken by the first thing alone,
//! lets others come for a while, and takes them all; whoever puts something meanwhile pays for a lock
//! and a copy. Nobody waits for room: what does not fit is refused.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::time::Instant;

/// How things come together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gathering {
    /// How long the first waits for others.
    pub(crate) time: Duration,
    /// So many are taken at once, however short they have waited.
    pub(crate) enough: usize,
    /// The most that wait.
    pub(crate) capacity: usize,
}

/// Why something was not put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the output is too slow")]
    Full,
    #[error("the thread has ended")]
    Ended,
}

/// Where things are put. When it is dropped, no more will come.
#[derive(Debug)]
pub(crate) struct Inlet<T>(Arc<Shared<T>>);

/// Where they are taken. The time that things wait is read here: who puts them pays for no clock.
#[derive(Debug)]
pub(crate) struct Outlet<T> {
    shared: Arc<Shared<T>>,
    /// When things were last taken: what has come while they were dealt with came after that.
    taken_at: Instant,
}

#[derive(Debug)]
struct Shared<T> {
    gathering: Gathering,
    state: Mutex<State<T>>,
    /// There is something to do for who takes.
    filled: Condvar,
    /// Who takes has come back.
    returned: Condvar,
}

#[derive(Debug)]
struct State<T> {
    things: Vec<T>,
    puts: u64,
    /// How often something was put of what has been taken and not been dealt with.
    taken: u64,
    flushes: Flushes,
    /// No more will come.
    is_closed: bool,
    /// No more will be taken.
    has_ended: bool,
}

/// Flushes are numbered; all up to these.
#[derive(Debug, Default, Clone, Copy)]
struct Flushes {
    asked: u64,
    /// Who takes has what was put before them.
    taken: u64,
    /// Who takes has dealt with it.
    done: u64,
}

impl Flushes {
    fn are_wanted(self) -> bool {
        self.asked > self.taken
    }
}

/// What was taken, besides the things themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How often something was put.
    pub(crate) puts: u64,
    /// No more will come.
    pub(crate) is_last: bool,
}

/// Makes both ends.
pub(crate) fn gathered<T>(gathering: Gathering) -> (Inlet<T>, Outlet<T>) {
    let shared = Arc::new(Shared {
        gathering,
        state: Mutex::new(State {
            things: Vec::new(),
            puts: 0,
            taken: 0,
            flushes: Flushes::default(),
            is_closed: false,
            has_ended: false,
        }),
        filled: Condvar::new(),
        returned: Condvar::new(),
    });
    let outlet = Outlet {
        shared: Arc::clone(&shared),
        taken_at: Instant::now(),
    };
    (Inlet(shared), outlet)
}

impl<T> Inlet<T> {
    /// Lets `add` append so many things, which stay together.
    pub(crate) fn put(&self, count: usize, add: impl FnOnce(&mut Vec<T>)) -> Result<(), Refused> {
        let Gathering {
            enough, capacity, ..
        } = self.0.gathering;
        let mut state = self.0.state.lock();
        let before = state.things.len();
        if state.is_closed || state.has_ended {
            return Err(Refused::Ended);
        }
        if before + count > capacity {
            return Err(Refused::Full);
        }
        add(&mut state.things);
        state.puts += 1;
        drop(state);
        // In between, it is awake or has its time.
        if before == 0 || before < enough && before + count >= enough {
            self.0.filled.notify_one();
        }
        Ok(())
    }

    /// Returns how many things wait.
    pub(crate) fn len(&self) -> usize {
        self.0.state.lock().things.len()
    }

    /// Returns how often something was put that has not been dealt with.
    pub(crate) fn unfinished(&self) -> u64 {
        let state = self.0.state.lock();
        state.puts + state.taken
    }

    /// Waits until what was put before has been taken and dealt with, but no longer than `patience`.
    pub(crate) fn flush(&self, patience: Duration) {
        let mut state = self.0.state.lock();
        state.flushes.asked += 1;
        let flush = state.flushes.asked;
        self.wait(state, patience, |state| state.flushes.done >= flush);
    }

    /// Refuses everything from now on, and waits until who takes has ended, but no longer than
    /// `patience`; returns whether it has.
    pub(crate) fn close(&self, patience: Duration) -> bool {
        let mut state = self.0.state.lock();
        state.is_closed = true;
        self.wait(state, patience, |_| false)
    }

    fn wait(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        patience: Duration,
        is_done: impl Fn(&State<T>) -> bool,
    ) -> bool {
        self.0.filled.notify_one();
        let is_pending = |state: &mut State<T>| !state.has_ended && !is_done(state);
        let returned = &self.0.returned;
        let waited = returned.wait_while_for(&mut state, is_pending, patience);
        !waited.timed_out()
    }
}

impl<T> Drop for Inlet<T> {
    fn drop(&mut self) {
        self.0.state.lock().is_closed = true;
        self.0.filled.notify_one();
    }
}

impl<T> Outlet<T> {
    /// Appends what has come to `things`, once there is something, a flush is wanted, no more will come,
    /// or `patience` is over. What was taken before counts as dealt with.
    pub(crate) fn take(&mut self, things: &mut Vec<T>, patience: Duration) -> Taken {
        let Shared {
            gathering,
            state,
            filled,
            returned,
        } = &*self.shared;
        let mut state = state.lock();
        state.taken = 0;
        if state.flushes.done < state.flushes.taken {
            state.flushes.done = state.flushes.taken;
            returned.notify_all();
        }
        let hurries = |state: &State<T>| state.is_closed || state.flushes.are_wanted();
        let is_idle = |state: &mut State<T>| state.things.is_empty() && !hurries(state);
        let mut first_came = self.taken_at;
        if state.things.is_empty() {
            filled.wait_while_for(&mut state, is_idle, patience);
            first_came = Instant::now();
        }
        if !state.things.is_empty() {
            let left = gathering.time.saturating_sub(first_came.elapsed());
            let is_early =
                |state: &mut State<T>| state.things.len() < gathering.enough && !hurries(state);
            filled.wait_while_for(&mut state, is_early, left);
        }
        self.taken_at = Instant::now();
        state.flushes.taken = state.flushes.asked;
        if things.is_empty() {
            // Both keep the room they have had.
            std::mem::swap(&mut state.things, things);
        } else {
            things.append(&mut state.things);
        }
        state.taken = std::mem::take(&mut state.puts);
        Taken {
            puts: state.taken,
            is_last: state.is_closed,
        }
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        self.shared.state.lock().has_ended = true;
        self.shared.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const NEVER: Duration = Duration::from_secs(3_600);

    fn gathering(time: Duration) -> Gathering {
        Gathering {
            time,
            enough: 4,
            capacity: 6,
        }
    }

    #[test]
    fn what_comes_while_the_first_waits_is_taken_with_it() {
        let (inlet, mut outlet) = gathered(gathering(NEVER));
        let taking = thread::spawn(move || {
            let mut things = Vec::new();
            let taken = outlet.take(&mut things, NEVER);
            (things, taken)
        });

        // The fourth is enough.
        for number in 0..4 {
            inlet.put(1, |things| things.push(number)).unwrap();
        }

        let (things, taken) = taking.join().unwrap();
        assert_eq!(things, [0, 1, 2, 3]);
        let expected = Taken {
            puts: 4,
            is_last: false,
        };
        assert_eq!(taken, expected);
    }

    #[test]
    fn the_first_waits_no_longer_than_its_time() {
        let (inlet, mut outlet) = gathered(gathering(Duration::from_millis(1)));
        inlet.put(1, |things| things.push('a')).unwrap();

        assert_eq!(inlet.unfinished(), 1);
        let mut things = vec!['b'];
        outlet.take(&mut things, NEVER);

        assert_eq!(things, ['b', 'a']);
        assert_eq!(inlet.unfinished(), 1);
        outlet.take(&mut things, Duration::ZERO);
        assert_eq!(inlet.unfinished(), 0);
    }

    #[test]
    fn nobody_waits_where_nothing_comes() {
        let (_inlet, mut outlet) = gathered::<()>(gathering(NEVER));

        let mut things = Vec::new();
        let taken = outlet.take(&mut things, Duration::ZERO);

        assert_eq!((things.len(), taken.puts), (0, 0));
    }

    #[test]
    fn a_flush_lasts_until_what_was_put_before_is_dealt_with() {
        let (inlet, mut outlet) = gathered(gathering(NEVER));
        let dealt = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&dealt);
        let working = thread::spawn(move || {
            let mut things = Vec::new();
            while !outlet.take(&mut things, NEVER).is_last {
                seen.lock().append(&mut things);
            }
        });

        for number in 0..3 {
            inlet.put(1, |things| things.push(number)).unwrap();
            inlet.flush(NEVER);

            assert_eq!(dealt.lock().last(), Some(&number));
        }
        drop(inlet);
        working.join().unwrap();
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let (inlet, mut outlet) = gathered(gathering(NEVER));
        inlet.put(5, |things| things.extend([0; 5])).unwrap();

        assert_eq!(
            inlet.put(2, |things| things.extend([1; 2])),
            Err(Refused::Full)
        );
        inlet.put(1, |things| things.push(2)).unwrap();

        let mut things = Vec::new();
        outlet.take(&mut things, NEVER);
        assert_eq!(things, [0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn what_was_put_before_the_end_is_taken_and_nothing_afterwards() {
        let (inlet, mut outlet) = gathered(gathering(NEVER));
        inlet.put(1, |things| things.push(1)).unwrap();
        drop(inlet);

        let mut things = Vec::new();
        assert!(outlet.take(&mut things, NEVER).is_last);
        assert_eq!(things, [1]);

        let (inlet, mut outlet) = gathered(gathering(NEVER));
        inlet.put(1, |things| things.push(1)).unwrap();
        let working = thread::spawn(move || {
            let mut things = Vec::new();
            while !outlet.take(&mut things, NEVER).is_last {}
            assert_eq!(things, [1]);
        });
        inlet.close(NEVER);
        working.join().unwrap();
        assert_eq!(inlet.put(1, |things| things.push(1)), Err(Refused::Ended));
        inlet.flush(NEVER);
    }
}
