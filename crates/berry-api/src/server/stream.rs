//! The streams of an HTTP/2 connection: each is a task, and none waits for its client for ever.
//!
//! A client opens a window for each stream. hyper waits for a closed one as long as the connection
//! lives, and a client that answers pings keeps that alive at no cost. So the body says when a piece
//! of it has been handed out and the next one has not been asked for ([`handed_out`], [`at_rest`]),
//! and the task gives its stream up, which resets it, when that lasts too long. Handing out takes no
//! timer operation: one is armed when a stream waits, and looks at the clock when it fires.
//!
//! When the process may wait no longer, each is polled once more, for its last words.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use pin_project_lite::pin_project;
use tokio::task_local;

use crate::server::deadline::Deadline;
use crate::tasks::Grace;

task_local! {
    /// How many pieces have been handed out since the body had nothing to say; none then.
    static HANDED_OUT: Cell<u64>;
}

/// Notes that the client is to take a piece of the body, if the body is a stream's.
pub(super) fn handed_out() {
    // Over HTTP/1.1 the socket sees whether bytes are taken.
    let _ = HANDED_OUT.try_with(|pieces| pieces.set(pieces.get() + 1));
}

/// Notes that the client has taken all there is.
pub(super) fn at_rest() {
    let _ = HANDED_OUT.try_with(|pieces| pieces.set(0));
}

/// Runs the streams of a connection.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    /// How long a client may leave a piece of an answer where it is.
    write: Duration,
    grace: Grace,
}

impl Streams {
    pub(super) fn new(write: Duration, grace: Grace) -> Self {
        Self { write, grace }
    }
}

impl<S: Future<Output = ()> + Send + 'static> Executor<S> for Streams {
    fn execute(&self, stream: S) {
        TokioExecutor::new().execute(self.grace.heed(Bounded::new(stream, self.write)));
    }
}

pin_project! {
    /// A stream that is given up when its client takes nothing.
    struct Bounded<S> {
        #[pin]
        stream: S,
        write: Duration,
        handed_out: u64,
        taking: Deadline,
    }
}

impl<S> Bounded<S> {
    fn new(stream: S, write: Duration) -> Self {
        Self {
            stream,
            write,
            handed_out: 0,
            taking: Deadline::default(),
        }
    }
}

impl<S: Future<Output = ()>> Future for Bounded<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let before = *this.handed_out;
        let (polled, handed_out) = HANDED_OUT.sync_scope(Cell::new(before), || {
            (this.stream.poll(cx), HANDED_OUT.with(Cell::get))
        });
        *this.handed_out = handed_out;
        if polled.is_ready() {
            return Poll::Ready(());
        }
        if handed_out == 0 {
            this.taking.clear();
        } else if handed_out != before {
            this.taking.set(*this.write);
        }
        this.taking.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};

    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long a stream lasts.
    async fn lasts(stream: impl Future<Output = ()>) -> u64 {
        let start = Instant::now();
        let bounded = Bounded::new(stream, 60 * SECOND);
        let _ = timeout(100_000 * SECOND, bounded).await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_client_takes_nothing_is_given_up() {
        let stream = async {
            sleep(1000 * SECOND).await;
            handed_out();
            pending::<()>().await;
        };

        assert_eq!(lasts(stream).await, 1060);
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_that_is_taken_gives_the_client_as_much_time_again() {
        let stream = async {
            for _ in 0..5 {
                handed_out();
                sleep(50 * SECOND).await;
            }
            pending::<()>().await;
        };

        assert_eq!(lasts(stream).await, 260);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_nothing_to_say_is_waited_for() {
        let stream = async {
            handed_out();
            poll_fn::<(), _>(|_| {
                at_rest();
                Poll::Pending
            })
            .await;
        };

        assert_eq!(lasts(stream).await, 100_000);
    }
}
