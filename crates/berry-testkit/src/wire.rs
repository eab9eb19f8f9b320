//! What is to go wrong on one connection, and whether it has.
//!
//! The service decides per request that a connection must break; only the I/O below hyper can break
//! it at an exact byte; and the task that owns the connection must then drop it. A [`Wire`] is what
//! these three share: the service arms it, [`FaultIo`](crate::fault_io::FaultIo) asks it before each
//! write and reports after, the connection's task waits for [`Wire::broken`].
//!
//! Positions count the bytes handed to the transport after arming, before TLS, head included.

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A fault to inject into the answer that follows.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Ends the connection after this many bytes of the answer.
    CutAfter(usize, Cut),
    /// Sends these bytes in place of the answer, then closes.
    Garbage(Bytes),
}

/// How a connection is ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// With RST: the peer sees a reset.
    Reset,
    /// With FIN: the peer sees an end.
    Close,
}

/// What may be written next.
#[derive(Debug)]
pub(crate) enum Permit {
    /// Whatever there is.
    All,
    /// At most this many bytes.
    AtMost(usize),
    /// These bytes; what was to be written is swallowed.
    Instead(Bytes),
    /// Nothing any more.
    Nothing,
}

/// The fault state of one connection.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    state: Mutex<State>,
    broken: Notify,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    cut: Option<Cut>,
}

impl Wire {
    /// Prepares the connection for the next answer; `None` clears what an earlier one left armed.
    pub(crate) fn arm(&self, fault: Option<Fault>) {
        if let Some(Fault::CutAfter(0, cut)) = fault {
            self.cut(cut);
        } else {
            self.state.lock().fault = fault;
        }
    }

    /// Ends the connection now; the first call decides how.
    pub(crate) fn cut(&self, cut: Cut) {
        self.state.lock().cut.get_or_insert(cut);
        self.broken.notify_one();
    }

    /// Returns how the connection was ended by us, if it was.
    pub(crate) fn cut_by_us(&self) -> Option<Cut> {
        self.state.lock().cut
    }

    /// Completes when the connection is to be dropped.
    pub(crate) async fn broken(&self) {
        self.broken.notified().await;
    }

    /// Returns what may be written now.
    pub(crate) fn permit(&self) -> Permit {
        let state = self.state.lock();
        match (&state.cut, &state.fault) {
            (Some(_), _) => Permit::Nothing,
            (None, None) => Permit::All,
            (None, Some(Fault::CutAfter(left, _))) => Permit::AtMost(*left),
            (None, Some(Fault::Garbage(bytes))) => Permit::Instead(bytes.clone()),
        }
    }

    /// Counts bytes that were written under a permit, and cuts when the allowance is used up.
    pub(crate) fn wrote(&self, written: usize) {
        let cut = match &mut self.state.lock().fault {
            None => None,
            Some(Fault::Garbage(_)) => Some(Cut::Close),
            Some(Fault::CutAfter(left, cut)) => {
                *left = left.saturating_sub(written);
                (*left == 0).then_some(*cut)
            }
        };
        if let Some(cut) = cut {
            self.cut(cut);
        }
    }
}
