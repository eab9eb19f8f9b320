//! Work that has a deadline, or none, or may last so long.
//!
//! Ours rather than an `async fn` around `timeout_at`: that would keep the work's future twice, as what
//! it was given and as what it waits for, and the largest part of a request is such a future.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

pin_project_lite::pin_project! {
    /// See the module's documentation.
    pub(crate) struct Until<F> {
        #[pin]
        work: F,
        end: Option<End>,
        // Made when it is first waited for: some work is done at once.
        #[pin]
        deadline: Option<Sleep>,
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    At(Instant),
    /// So long after it is first waited for.
    Within(Duration),
}

/// Waits, but not beyond the deadline; none where that came first.
pub(crate) fn until<F: Future>(deadline: Option<Instant>, work: F) -> Until<F> {
    Until::new(deadline.map(End::At), work)
}

/// Waits, but not longer than this; none where that was over first.
pub(crate) fn within<F: Future>(limit: Option<Duration>, work: F) -> Until<F> {
    Until::new(limit.map(End::Within), work)
}

impl<F> Until<F> {
    fn new(end: Option<End>, work: F) -> Self {
        Self {
            work,
            end,
            deadline: None,
        }
    }
}

impl<F: Future> Future for Until<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(done) = this.work.poll(cx) {
            return Poll::Ready(Some(done));
        }
        if this.deadline.is_none() {
            this.deadline.set(this.end.map(|end| match end {
                End::At(deadline) => sleep_until(deadline),
                End::Within(limit) => sleep(limit),
            }));
        }
        match this.deadline.as_pin_mut() {
            // Work that is never out of work may use up what the task may do at once.
            Some(deadline) => pin!(unconstrained(deadline)).poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn work_ends_by_itself_or_at_its_deadline() {
        let start = Instant::now();

        assert_eq!(
            until(Some(start + 2 * SECOND), sleep(SECOND)).await,
            Some(())
        );
        assert_eq!(
            until(Some(start + 2 * SECOND), sleep(5 * SECOND)).await,
            None
        );
        assert_eq!(start.elapsed(), 2 * SECOND);
        assert_eq!(until(None, sleep(5 * SECOND)).await, Some(()));
        assert_eq!(within(Some(2 * SECOND), sleep(SECOND)).await, Some(()));
        assert_eq!(within(Some(2 * SECOND), sleep(5 * SECOND)).await, None);
        assert_eq!(within(None, sleep(5 * SECOND)).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_is_done_although_its_deadline_has_passed() {
        let passed = Instant::now();
        sleep(SECOND).await;

        assert_eq!(until(Some(passed), async { 7 }).await, Some(7));
    }

    #[tokio::test]
    async fn work_that_never_rests_has_its_deadline() {
        // The clock that stands still goes on only where nothing is at work.
        let restless = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };

        let limited = within(Some(Duration::from_millis(1)), restless);

        assert_eq!(tokio::time::timeout(SECOND, limited).await, Ok(None::<()>));
    }

    #[test]
    fn it_keeps_the_work_once() {
        let (work, room) = ([0_u8; 4096], 512);
        let work = async move {
            sleep(SECOND).await;
            std::hint::black_box(&work);
        };
        let size = size_of_val(&work);

        assert!(size_of_val(&until(None, work)) < size + room);
    }
}
