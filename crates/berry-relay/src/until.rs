//! Work that has a deadline, or none.
//!
//! Ours rather than an `async fn` around `timeout_at`: that would keep the work's future twice, as what
//! it was given and as what it waits for, and the largest part of a request is such a future.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

pin_project_lite::pin_project! {
    /// See the module's documentation.
    pub(crate) struct Until<F> {
        #[pin]
        work: F,
        #[pin]
        deadline: Option<Sleep>,
    }
}

/// Waits, but not beyond the deadline; none where that came first.
pub(crate) fn until<F: Future>(deadline: Option<Instant>, work: F) -> Until<F> {
    Until {
        work,
        deadline: deadline.map(sleep_until),
    }
}

impl<F: Future> Future for Until<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(done) = this.work.poll(cx) {
            return Poll::Ready(Some(done));
        }
        match this.deadline.as_pin_mut() {
            Some(deadline) => deadline.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

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
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_is_done_although_its_deadline_has_passed() {
        let passed = Instant::now();
        sleep(SECOND).await;

        assert_eq!(until(Some(passed), async { 7 }).await, Some(7));
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
