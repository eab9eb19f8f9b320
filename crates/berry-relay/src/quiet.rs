//! Notices silence: a timer that is told of every sign of life and costs next to nothing then.
//!
//! Arming a timer for every chunk of a stream would be most of the work done for it. This one stays
//! armed for the oldest deadline; only when that passes does it look whether there was life since. The
//! clock is not read either while one sign of life comes after the other: silence begins when it is
//! first waited for.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// See the module's documentation. Without a limit it never fires and asks no clock.
#[derive(Debug)]
pub struct Quiet {
    limit: Option<Duration>,
    /// None where there was life since it was last looked at.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whom the timer wakes.
    waker: Option<Waker>,
}

impl Quiet {
    /// Begins to wait for a silence of this length.
    pub fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            since: None,
            timer: None,
            waker: None,
        }
    }

    /// Notes a sign of life.
    pub fn broken(&mut self) {
        self.since = None;
    }

    /// Returns whether there has been silence for the limit, as far as it was waited for, without waiting.
    pub fn has_lasted(&self) -> bool {
        let over = |(limit, since): (Duration, Instant)| since.elapsed() >= limit;
        self.limit.zip(self.since).is_some_and(over)
    }

    /// Is ready when there has been silence for the limit; then waits for the next one.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else {
            return Poll::Pending;
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        let will_wake = |waker: &Waker| waker.will_wake(cx.waker());
        if let Some(timer) = &self.timer
            && !timer.is_elapsed()
            && self.waker.as_ref().is_some_and(will_wake)
        {
            return Poll::Pending;
        }
        let deadline = since + limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        self.waker = None;
        // Not even where the task has done all that it may do at once: a timer that was not looked at wakes nobody.
        while pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
            let now = Instant::now();
            if now >= deadline {
                self.since = Some(now);
                timer.as_mut().reset(now + limit);
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::consume_budget;
    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_fires_after_silence_and_again() {
        let start = Instant::now();
        let mut quiet = Quiet::new(Some(3 * SECOND));

        poll_fn(|cx| quiet.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 3);
        poll_fn(|cx| quiet.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_puts_it_off() {
        let mut quiet = Quiet::new(Some(3 * SECOND));
        for _ in 0..5 {
            assert!(
                timeout(2 * SECOND, poll_fn(|cx| quiet.poll(cx)))
                    .await
                    .is_err()
            );
            quiet.broken();
        }
        // It is waited for, which is when silence begins.
        assert!(poll_fn(|cx| Poll::Ready(quiet.poll(cx).is_pending())).await);
        advance(Duration::from_millis(2_900)).await;
        assert!(!quiet.has_lasted());
        let start = Instant::now();

        poll_fn(|cx| quiet.poll(cx)).await;
        advance(3 * SECOND).await;

        assert!(quiet.has_lasted());
        assert!(
            start.elapsed() <= Duration::from_millis(3_101),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn it_fires_also_where_the_task_has_done_all_that_it_may_at_once() {
        let start = Instant::now();
        let mut quiet = Quiet::new(Some(SECOND));
        let begun = poll_fn(|cx| {
            while pin!(consume_budget()).poll(cx).is_ready() {}
            Poll::Ready(quiet.poll(cx).is_pending())
        });
        assert!(begun.await);

        let over = timeout(5 * SECOND, poll_fn(|cx| quiet.poll(cx))).await;

        assert_eq!((over.is_ok(), start.elapsed()), (true, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_never_fires() {
        let mut quiet = Quiet::new(None);

        assert!(
            timeout(1_000_000 * SECOND, poll_fn(|cx| quiet.poll(cx)))
                .await
                .is_err()
        );
    }
}
