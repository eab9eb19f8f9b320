//! Who has the usual places, and who of them gives theirs up when there is none left.
//!
//! Clients keep connections for later, and some open them to say nothing. Neither may keep out who
//! has something to ask, so the one that has been at rest the longest is let go for a newcomer. Who
//! that is gets looked for only when all places are taken: until then a request costs nothing here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::server::activity::{Activity, Rest};

/// A look finds one in so many of those who could go, so that not every newcomer costs a look.
const SHARE: usize = 16;
/// After a look that found nobody: those who come meanwhile would find nobody either.
const PAUSE: Duration = Duration::from_millis(10);

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub(super) struct Guests(Arc<Mutex<Present>>);

#[derive(Debug, Default)]
struct Present {
    /// How many have come.
    come: u64,
    guests: BTreeMap<u64, Guest>,
    /// Whom the last look found, the longest at rest at the end.
    found: Vec<(Rest, u64)>,
    /// When to look again.
    next_look: Option<Instant>,
}

#[derive(Debug)]
struct Guest {
    activity: Activity,
    permit: OwnedSemaphorePermit,
}

/// A usual place, until it is dropped or the guest is let go.
#[derive(Debug)]
pub(super) struct Place {
    guests: Guests,
    number: u64,
}

impl Guests {
    /// Gives the place to who does this.
    pub(super) fn seat(&self, permit: OwnedSemaphorePermit, activity: Activity) -> Place {
        let mut present = self.0.lock();
        present.come += 1;
        let number = present.come;
        present.guests.insert(number, Guest { activity, permit });
        Place {
            guests: self.clone(),
            number,
        }
    }

    /// Lets the one go who has been at rest the longest, if there is one who may go; returns the place.
    pub(super) fn let_go(&self) -> Option<OwnedSemaphorePermit> {
        let mut present = self.0.lock();
        present.take_found().or_else(|| {
            present.look(Instant::now());
            present.take_found()
        })
    }
}

impl Present {
    fn take_found(&mut self) -> Option<OwnedSemaphorePermit> {
        while let Some((rest, number)) = self.found.pop() {
            let guest = self.guests.get(&number);
            if guest.is_some_and(|guest| guest.activity.dismiss(rest)) {
                return self.guests.remove(&number).map(|guest| guest.permit);
            }
        }
        None
    }

    fn look(&mut self, now: Instant) {
        if self.next_look.is_some_and(|next| now < next) {
            return;
        }
        let guests = self.guests.iter();
        let mut found: Vec<_> = guests
            .filter_map(|(&number, guest)| Some((guest.activity.rest()?, number)))
            .filter(|(rest, _)| rest.may_end(now))
            .collect();
        self.next_look = found.is_empty().then(|| now + PAUSE);
        let few = found.len().div_ceil(SHARE);
        if few < found.len() {
            found.select_nth_unstable_by_key(few, |&(rest, _)| rest.since);
            found.truncate(few);
        }
        found.sort_unstable_by_key(|&(rest, _)| std::cmp::Reverse(rest.since));
        self.found = found;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guests.0.lock().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;
    use tokio::time::advance;

    use super::*;
    use crate::server::activity::{Awaited, SILENCE};

    const SECOND: Duration = Duration::from_secs(1);

    /// Seats so many, a second after each other, who have been answered once.
    async fn seat(guests: &Guests, count: usize) -> (Arc<Semaphore>, Vec<(Activity, Place)>) {
        let places = Arc::new(Semaphore::new(count));
        let mut seated = Vec::new();
        for _ in 0..count {
            let permit = Arc::clone(&places).try_acquire_owned().unwrap();
            let activity = Activity::default();
            drop(activity.begin());
            activity.rests(Awaited::Another, Instant::now());
            seated.push((activity.clone(), guests.seat(permit, activity)));
            advance(SECOND).await;
        }
        (places, seated)
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_at_rest_the_longest_goes_first() {
        let guests = Guests::default();
        let (places, seated) = seat(&guests, 40).await;
        // The first has been used again since.
        drop(seated[0].0.begin());
        seated[0].0.rests(Awaited::Another, Instant::now());

        for next in (1..40).chain([0]) {
            let permit = guests.let_go();

            assert!(permit.is_some(), "{next}");
            let gone = seated.iter().map(|(activity, _)| activity.is_dismissed());
            let gone: Vec<_> = gone.collect();
            assert!(gone[next], "{next}");
            let expected = if next == 0 { 40 } else { next };
            assert_eq!(gone.iter().filter(|&&gone| gone).count(), expected);
        }
        assert!(guests.let_go().is_none());
        assert_eq!(places.available_permits(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_answered_or_was_found_and_asks_again_stays() {
        let guests = Guests::default();
        let (_places, seated) = seat(&guests, 3).await;
        let _in_flight = seated[0].0.begin();
        drop(guests.let_go());
        assert!(seated[1].0.is_dismissed());
        guests.0.lock().look(Instant::now());
        let _asks_again = seated[2].0.begin();

        assert!(guests.let_go().is_none());

        assert!(!seated[0].0.is_dismissed() && !seated[2].0.is_dismissed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_just_come_is_given_time_to_say_something() {
        let guests = Guests::default();
        let places = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&places).try_acquire_owned().unwrap();
        let activity = Activity::default();
        let _place = guests.seat(permit, activity.clone());
        assert!(guests.let_go().is_none());

        advance(SILENCE).await;

        assert!(guests.let_go().is_some());
        assert!(activity.is_dismissed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_gives_the_place_back() {
        let guests = Guests::default();
        let (places, seated) = seat(&guests, 2).await;

        drop(seated);

        assert_eq!(places.available_permits(), 2);
        assert!(guests.let_go().is_none());
    }
}
