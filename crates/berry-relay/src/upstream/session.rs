//! One HTTP/1.1 connection to an upstream, worked by whoever waits for its answer.
//!
//! hyper makes two halves of a connection: one takes requests, the other reads and writes. Run as a task
//! of its own, the latter costs every request four changes of tasks, and hands on the events of a burst
//! one at a time. Here the request's own task does that work, whenever it looks for the answer's head or
//! for more of its body. A connection that is kept does nothing: what has become of it shows when it is
//! taken again.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::upstream::listening::{Heard, Listening};
use crate::upstream::request::OutgoingBody;

/// The most that is read of an answer before somebody takes it, and the longest head.
const UNREAD: usize = 48 * 1024;
/// How often the work goes on at once because it has made more of itself. Beyond, others have their
/// turn.
const ROUNDS: usize = 8;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Session {
    sender: http1::SendRequest<OutgoingBody>,
    /// None once the connection has ended.
    driver: Option<Driver>,
    heard: Heard,
    pub(super) opened: Instant,
    signal: Arc<Signal>,
    /// The signal's.
    waker: Waker,
}

struct Driver(Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>);

impl Session {
    /// Begins to speak HTTP/1.1 on an open connection.
    pub(super) async fn begin(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> hyper::Result<Self> {
        let heard = Heard::default();
        let stream = Listening::new(stream, heard.clone());
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(UNREAD)
            .handshake(TokioIo::new(stream))
            .await?;
        let signal = Arc::<Signal>::default();
        Ok(Self {
            sender,
            driver: Some(Driver(Box::pin(driver))),
            heard,
            opened: Instant::now(),
            waker: Waker::from(Arc::clone(&signal)),
            signal,
        })
    }

    /// Sends a request and waits for the answer's head.
    pub(super) async fn send(
        &mut self,
        request: Request<OutgoingBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<OutgoingBody>>> {
        self.heard.reset();
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| self.work(cx, |_, cx| answer.as_mut().poll(cx))).await
    }

    /// Returns whether the upstream has said anything since the last request.
    pub(super) fn has_heard(&self) -> bool {
        self.heard.anything()
    }

    /// Returns whether it can take a request now.
    pub(super) async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            let ready = self.work(cx, http1::SendRequest::poll_ready);
            Poll::Ready(matches!(ready, Poll::Ready(Ok(()))))
        })
        .await
    }

    /// Forgets whose request it carried; returns whether it may carry another.
    pub(super) fn rest(&self) -> bool {
        self.signal.task.take();
        !self.sender.is_closed()
    }

    /// Reads and writes what there is, and looks whether that has brought what is waited for.
    pub(super) fn work<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut http1::SendRequest<OutgoingBody>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let mut inner = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS {
            self.signal.begin(cx.waker());
            if let Some(driver) = &mut self.driver
                && driver.0.as_mut().poll(&mut inner).is_ready()
            {
                // Its error reaches whoever waits for an answer.
                self.driver = None;
            }
            let found = look(&mut self.sender, &mut inner);
            let again = self.signal.end();
            if found.is_ready() || !again {
                return found;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

/// While a session is worked.
const WORKING: u8 = 1;
/// Something has happened to it.
const SIGNALLED: u8 = 2;

/// What wakes a session. Its halves wake each other all the time: while it is worked that means another
/// round, and not another turn of the whole task.
#[derive(Debug, Default)]
struct Signal {
    state: AtomicU8,
    /// Whoever waits for an answer; nobody, while the connection is kept.
    task: AtomicWaker,
}

impl Signal {
    fn begin(&self, task: &Waker) {
        self.task.register(task);
        self.state.store(WORKING, Ordering::SeqCst);
    }

    /// Returns whether something has happened since it began.
    fn end(&self) -> bool {
        self.state.swap(0, Ordering::SeqCst) & SIGNALLED != 0
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(SIGNALLED, Ordering::SeqCst) & WORKING == 0 {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_happens_while_it_is_worked_wakes_nobody_and_is_not_lost() {
        let (count, signal) = (Arc::new(Count::default()), Arc::<Signal>::default());
        let (task, waker) = (
            Waker::from(Arc::clone(&count)),
            Waker::from(Arc::clone(&signal)),
        );
        let woken = || count.0.load(Ordering::Relaxed);

        signal.begin(&task);
        waker.wake_by_ref();
        assert!(signal.end());
        assert_eq!(woken(), 0);

        signal.begin(&task);
        assert!(!signal.end());
        waker.wake_by_ref();
        assert_eq!(woken(), 1);
    }

    #[test]
    fn what_happened_before_it_is_worked_is_seen_by_that_work() {
        let signal = Arc::<Signal>::default();
        Waker::from(Arc::clone(&signal)).wake();

        signal.begin(Waker::noop());

        assert!(!signal.end());
    }
}
