//! What a pool has counted and learned of its model, whatever its endpoints are.
//!
//! A pool is compiled anew with every configuration and begins with the state of the one before,
//! which requests in flight still hold: both write to the same one.

use std::sync::Weak;
use std::sync::atomic::AtomicU64;

use crate::sync::Mutex;
use berry_core::Tick;

use crate::budget::RetryBudget;
use crate::economy::Economy;
use crate::outcome::FailureKind;
use crate::strategy::Turns;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct PoolState {
    pub(super) turns: Turns,
    pub(super) first_picks: AtomicU64,
    /// Requests that were given an endpoint; the retries of one do not count.
    pub(super) selections: AtomicU64,
    /// Attempts that followed a failure, by its kind, in the order of [`FailureKind::ALL`].
    pub(super) retries: [AtomicU64; FailureKind::ALL.len()],
    pub(super) budget: Mutex<RetryBudget>,
    pub(super) economy: Economy,
    pub(super) last_resort: Mutex<LastResort>,
}

/// When the pool, all of whose breakers were open, tried one all the same.
#[derive(Debug, Default)]
pub(super) struct LastResort {
    pub(super) started: Option<Tick>,
    /// Alive while that attempt is in flight.
    pub(super) attempt: Weak<()>,
}
