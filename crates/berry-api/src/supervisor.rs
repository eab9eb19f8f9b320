//! What a service manager is told, and what it hands over: systemd's protocols, which others speak.
//!
//! Ready when it listens, reloading while it does, stopping when it drains; and a sign of life at
//! half of the interval that a watchdog asks for, from the runtime that serves: where that hangs, the
//! manager restarts the process. A listening socket that was handed over is used instead of one of
//! our own, so that connections wait in it while a process is replaced. Without a manager all of
//! this is nothing.

use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::{SocketAddr, UnixDatagram};
#[cfg(target_os = "linux")]
use std::os::{linux::net::SocketAddrExt, unix::ffi::OsStrExt};

use listenfd::ListenFd;
use sd_notify::{NotifyState, watchdog_enabled};
use tokio::time::interval;
use tracing::{debug, warn};

use crate::env;

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
    let Some(listener) = sockets.take_tcp_listener(0)? else {
        return Ok(None);
    };
    if listens(&listener)? {
        listener.set_nonblocking(true)?;
        return Ok(Some(listener));
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the socket that was handed over does not listen",
    ))
}

/// Returns whether somebody has made the socket listen.
#[cfg(target_os = "linux")]
fn listens(listener: &TcpListener) -> io::Result<bool> {
    socket2::SockRef::from(listener).is_listener()
}

/// Nothing but Linux can be asked alike; what does not listen shows when a connection is accepted.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the other can fail")]
fn listens(_: &TcpListener) -> io::Result<bool> {
    Ok(true)
}

fn tell(state: &[NotifyState<'_>]) {
    let Some(socket) = env::read_path(env::NOTIFY_SOCKET) else {
        return;
    };
    match send(&socket, state) {
        Ok(()) => {}
        // It reads too slowly, or not at all: a word is missed.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            debug!(%error, "service manager not told");
        }
        Err(error) => warn!(%error, "service manager not told"),
    }
}

/// Sends a message with a line for each state, without waiting for a manager that does not read.
fn send(socket: &OsStr, state: &[NotifyState<'_>]) -> io::Result<()> {
    let lines: Vec<_> = state.iter().map(ToString::to_string).collect();
    let lines = lines.join("\n");
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to_addr(lines.as_bytes(), &address(socket)?)?;
    Ok(())
}

/// Returns the address of a manager's socket. A name that begins with `@` is none of a file, as
/// managers of containers have it.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_bytes().strip_prefix(b"@") {
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(socket)
}
