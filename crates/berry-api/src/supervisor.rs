//! What a service manager is told, and what it hands over: systemd's protocols, which others speak.
//!
//! Ready when it listens, reloading while it does, stopping when it drains; and a sign of life at
//! half of the interval that a watchdog asks for, from the runtime that serves: where that hangs, the
//! manager restarts the process. A listening socket that was handed over is used instead of one of
//! our own, so that connections wait in it while a process is replaced. Without a manager all of
//! this is nothing.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::interval;
use tracing::warn;

/// Says that requests are served, also after a reload.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Says that a reload has begun; [`ready`] says that it is over.
pub(crate) fn reloading() {
    // The manager wants to know since when; without the clock it is not told at all.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// Says that the process is about to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Gives signs of life for as long as it is polled, where they are wanted.
pub(crate) async fn live() {
    let Some(timeout) = watchdog_enabled().filter(|timeout| !timeout.is_zero()) else {
        return;
    };
    let mut ticks = interval(timeout / 2);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// Takes the listening socket that was handed over, if one was.
///
/// # Errors
/// What was handed over is no listening TCP socket.
pub(crate) fn inherited() -> io::Result<Option<TcpListener>> {
    let mut sockets = ListenFd::from_env();
    if sockets.len() == 0 {
        return Ok(None);
    }
    let listener = sockets.take_tcp_listener(0)?;
    listener
        .map(|listener| listener.set_nonblocking(true).map(|()| listener))
        .transpose()
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        warn!(%error, "service manager not told");
    }
}
