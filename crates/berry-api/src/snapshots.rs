//! What is served now: the one place that a reload changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use berry_relay::Snapshot;
use rustls::ServerConfig;

/// Holds the current snapshot, and counts how it came to be the current one.
///
/// Reading it waits for nobody. A request reads it once and keeps what it got.
#[derive(Debug)]
pub(crate) struct Snapshots {
    current: ArcSwap<Snapshot>,
    /// What new connections are encrypted with, where they are.
    tls: ArcSwapOption<ServerConfig>,
    generation: AtomicU64,
    refusals: AtomicU64,
    last_refused: AtomicBool,
}

/// What became of reloads so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reckoning {
    /// 1 is what the process began with; each reload that succeeds adds 1.
    pub(crate) generation: u64,
    /// Reloads that changed nothing because of an error.
    pub(crate) refusals: u64,
    /// Whether the last one did.
    pub(crate) last_refused: bool,
}

impl Snapshots {
    pub(crate) fn new(first: Snapshot, tls: Option<Arc<ServerConfig>>) -> Self {
        Self {
            current: ArcSwap::from_pointee(first),
            tls: ArcSwapOption::new(tls),
            generation: AtomicU64::new(1),
            refusals: AtomicU64::new(0),
            last_refused: AtomicBool::new(false),
        }
    }

    /// Returns what new requests begin with.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Returns what new connections are encrypted with; none where they are not.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.load_full()
    }

    /// Serves others from now on; returns their generation. Called by one task only.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>, tls: Option<Arc<ServerConfig>>) -> u64 {
        self.tls.store(tls);
        self.current.store(snapshot);
        self.last_refused.store(false, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts a reload that failed.
    pub(crate) fn refused(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        self.last_refused.store(true, Ordering::Relaxed);
    }

    /// Returns what became of reloads so far.
    pub(crate) fn reckoning(&self) -> Reckoning {
        Reckoning {
            generation: self.generation.load(Ordering::Relaxed),
            refusals: self.refusals.load(Ordering::Relaxed),
            last_refused: self.last_refused.load(Ordering::Relaxed),
        }
    }
}
