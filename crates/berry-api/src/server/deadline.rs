//! A wait that is begun often and runs out seldom.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A point in time that something must happen by. The timer is made when it is first waited for,
/// and stays armed for an older point until that has passed: setting costs no timer operation.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    since: Option<Instant>,
    length: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Begins anew, to run out after `length`.
    pub(super) fn set(&mut self, length: Duration) {
        self.set_from(Instant::now(), length);
    }

    /// The same, where somebody knows what time it is.
    pub(super) fn set_from(&mut self, now: Instant, length: Duration) {
        (self.since, self.length) = (Some(now), length);
    }

    /// Never runs out.
    pub(super) fn clear(&mut self) {
        self.since = None;
    }

    /// Returns whether it will run out.
    pub(super) fn is_set(&self) -> bool {
        self.since.is_some()
    }

    /// Is ready when it has run out.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(since) = self.since else {
            return Poll::Pending;
        };
        let due = since + self.length;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}
