//! Something that is said once and heeded by many: every connection asks for it each time it is polled,
//! where a lock would be one for all of them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// See the module's documentation. Copies are the same signal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    given: AtomicBool,
    /// Wakes who waits for it.
    told: CancellationToken,
}

impl Signal {
    /// Gives it, once and for all.
    pub(crate) fn give(&self) {
        self.0.given.store(true, Ordering::Release);
        self.0.told.cancel();
    }

    /// Returns whether it was given. Who waits for it is woken after that.
    pub(crate) fn is_given(&self) -> bool {
        self.0.given.load(Ordering::Acquire)
    }

    /// Waits until it is given.
    pub(crate) fn awaited(&self) -> Awaited {
        Awaited {
            signal: self.clone(),
            told: self.0.told.clone().cancelled_owned(),
            waker: None,
        }
    }
}

pin_project! {
    /// Is ready when the signal was given.
    #[derive(Debug)]
    pub(crate) struct Awaited {
        signal: Signal,
        #[pin]
        told: WaitForCancellationFutureOwned,
        // Who will be woken: to say so again takes the lock.
        waker: Option<Waker>,
    }
}

impl Future for Awaited {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.signal.is_given() {
            return Poll::Ready(());
        }
        let waker = this.waker.as_ref();
        if waker.is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let polled = this.told.poll(cx);
        *this.waker = Some(cx.waker().clone());
        polled
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker;
    use tokio::{join, select};

    use super::*;

    #[tokio::test]
    async fn all_who_wait_are_woken_and_whoever_comes_later_need_not_wait() {
        let signal = Signal::default();
        let (first, second) = (signal.awaited(), signal.awaited());

        let ((), (), ()) = join!(first, second, async { signal.give() });

        signal.awaited().await;
    }

    #[tokio::test]
    async fn who_was_polled_by_another_is_woken_too() {
        let signal = Signal::default();
        let mut awaited = Box::pin(signal.awaited());
        let waker = noop_waker();
        let first = awaited.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(first.is_pending());

        let ((), ()) = join!(awaited, async { signal.give() });
    }

    #[tokio::test]
    async fn it_is_not_given_by_itself() {
        let signal = Signal::default();

        select! {
            biased;
            () = signal.awaited() => panic!("it was not given"),
            () = tokio::task::yield_now() => {}
        }
    }
}
