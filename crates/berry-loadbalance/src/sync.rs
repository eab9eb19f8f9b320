//! The mutex of this crate: `parking_lot`'s, and in builds with debug assertions one that proves how it
//! is used.
//!
//! No lock of this crate is held while another is taken. So there is no order in which locks must be
//! taken, nothing can deadlock, and each waits for arithmetic only. The one of `watched` asserts that at
//! every claim, in the unit tests and in each test of the crates above that runs a gateway.
//!
//! In this crate's own tests it is also a scheduling point of shuttle: in a model
//! (`pool/interleavings.rs`), every order in which threads may come to their locks is tried.

#[cfg(not(any(test, debug_assertions)))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(any(test, debug_assertions))]
pub(crate) use watched::{Mutex, MutexGuard};

#[cfg(any(test, debug_assertions))]
mod watched {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};

    thread_local! {
        /// Whether this thread holds a lock.
        static HOLDS: Cell<bool> = const { Cell::new(false) };
    }

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T> {
        /// Where threads queue in a model; shuttle must see who waits.
        #[cfg(test)]
        queue: shuttle::sync::Mutex<()>,
        data: parking_lot::Mutex<T>,
    }

    /// Releases in the order of the fields: the data before the place in the queue.
    pub(crate) struct MutexGuard<'a, T> {
        data: parking_lot::MutexGuard<'a, T>,
        _only: Only,
        #[cfg(test)]
        _place: Option<shuttle::sync::MutexGuard<'a, ()>>,
    }

    impl<T> Mutex<T> {
        #[cfg(test)]
        pub(crate) fn new(data: T) -> Self {
            Self {
                queue: shuttle::sync::Mutex::new(()),
                data: parking_lot::Mutex::new(data),
            }
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            #[cfg(test)]
            let place = in_model().then(|| self.queue.lock().unwrap());
            let only = Only::claim();
            MutexGuard {
                data: self.data.lock(),
                _only: only,
                #[cfg(test)]
                _place: place,
            }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.data
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.data
        }
    }

    /// The one lock that this thread holds.
    struct Only;

    impl Only {
        fn claim() -> Self {
            assert!(!HOLDS.get(), "a lock is taken while another is held");
            HOLDS.set(true);
            Self
        }
    }

    impl Drop for Only {
        fn drop(&mut self) {
            HOLDS.set(false);
        }
    }

    /// The threads of a model are no threads of the system.
    #[cfg(test)]
    fn in_model() -> bool {
        shuttle::current::try_get_current_task().is_some()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        #[should_panic(expected = "a lock is taken while another is held")]
        fn a_second_lock_is_refused_while_one_is_held() {
            let (first, second) = (Mutex::new(0), Mutex::new(0));

            let _held = first.lock();
            let _nested = second.lock();
        }

        #[test]
        fn locks_may_be_taken_one_after_another() {
            let (first, second) = (Mutex::new(1), Mutex::new(2));

            let one = *first.lock();
            let two = *second.lock();

            assert_eq!(one + 1, two);
        }
    }
}
