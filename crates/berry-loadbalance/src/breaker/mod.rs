//! The circuit breaker of one endpoint: the only owner of "may I be used".
//!
//! ```text
//!            threshold or brown-out, auth                 the open time has passed
//!   closed ────────────────────────────────► open(k) ────────────────────────────► half-open
//!     ▲  ▲                                    ▲  │ cool-down only: ends closed          │
//!     │  └────────────────────────────────────┼──┘                                      │
//!     │                 the trial failed: k+1 └─────────────────────────────────────────┤
//!     └─────────────────────────────────────────────────────────────────────────────────┘
//!                                the trial reached content, or a probe passed
//! ```
//!
//! - *threshold*: that many consecutive failures.
//! - *brown-out*: at least half of the last [`WINDOW`] attempts within [`WINDOW_SPAN`] failed. An
//!   endpoint that fails every other request never fails five times in a row.
//! - *open(k)* lasts `min(timeout × 2^k, 10 × timeout)`, where k counts re-openings, and no longer
//!   than the policy's `longest`. A last resort that fails before that time leaves it as it was: one
//!   a second would otherwise make the longest of it within seconds.
//! - *half-open* admits one trial at a time. A trial that is abandoned gives its place back;
//!   otherwise the endpoint would stay shut for ever.
//! - *cool-down*: a 429 that says for how long. It ends closed, without a trial.
//!
//! A claim ([`Breaker::try_enter`]) yields an [`Entry`] that names the epoch it was made in; an
//! opening starts a new epoch. Reports from an earlier epoch change nothing: attempts that began
//! before the breaker opened say nothing about what came after.
//!
//! Pure: takes `now`, holds no lock, logs nothing; a change is returned as a [`Change`].

use std::fmt;
use std::time::Duration;

use berry_core::Tick;

use crate::outcome::{FailureKind, Fault, Verdict};

/// The number of attempts a brown-out is judged by. Fewer would eject on a bad moment.
pub const WINDOW: usize = 20;
/// The time in which those attempts must lie; older ones speak of another day.
pub const WINDOW_SPAN: Duration = Duration::from_secs(60);
/// The longest cool-down taken from a provider; a longer one is a mistake or an account problem.
pub const MAX_COOL_DOWN: Duration = Duration::from_secs(3600);
/// The longest open time, in multiples of the configured one.
const MAX_TIMEOUTS: u32 = 10;
/// What is told to a caller who meets a trial in progress: it usually ends within a second.
const TRIAL_WAIT: Duration = Duration::from_secs(1);

/// The configured part of a breaker, read at each report so that a reload applies at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Consecutive failures that open it.
    pub threshold: u32,
    /// How long it stays open the first time.
    pub timeout: Duration,
    /// How long it stays open at most, where no probe can end it earlier; not a bound on what the
    /// provider asks for itself.
    pub longest: Option<Duration>,
}

/// The state as shown to people and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// In use.
    Closed,
    /// Admits one trial at a time.
    HalfOpen,
    /// Out of use.
    Open,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        })
    }
}

/// What a caller may do with the endpoint at one instant. Advice: the claim is made by
/// [`Breaker::try_enter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Any number of requests.
    Closed,
    /// One request, as the trial.
    Trial,
    /// None before this tick; then a trial.
    Ejected {
        /// When it is worth asking again.
        until: Tick,
        /// Where nothing else is left, it may be asked before: it is neither on trial nor refusing
        /// our credential or our pace.
        last_resort: bool,
    },
    /// None before this tick; then any number, by the provider's own word.
    CoolingDown {
        /// When the provider said it will serve again.
        until: Tick,
    },
}

/// A claim: which epoch it belongs to, and whether it holds the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    epoch: u64,
    trial: bool,
}

impl Entry {
    /// Returns whether it holds the trial.
    pub fn is_trial(self) -> bool {
        self.trial
    }
}

/// A claim, and what it found the breaker to have become since the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The claim.
    pub entry: Entry,
    /// An open time or a cool-down that has passed shows when somebody claims a use.
    pub change: Option<Change>,
}

/// A state that was left for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: BreakerState,
    /// The state now.
    pub to: BreakerState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Tick,
        refused: bool,
    },
    CoolingDown {
        until: Tick,
    },
    HalfOpen {
        on_trial: bool,
        /// When the open time would have ended, for a trial that was made before.
        early: Option<Tick>,
    },
}

impl State {
    /// Returns the state as it was announced last.
    fn shown(self) -> BreakerState {
        match self {
            Self::Closed => BreakerState::Closed,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
            Self::Open { .. } | Self::CoolingDown { .. } => BreakerState::Open,
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    epoch: u64,
    /// Re-openings since it was last closed.
    reopened: u32,
    consecutive_failures: u32,
    /// A bare 403 was the last thing seen.
    forbidden_once: bool,
    recent: Recent,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            epoch: 0,
            reopened: 0,
            consecutive_failures: 0,
            forbidden_once: false,
            recent: Recent::default(),
        }
    }
}

impl Breaker {
    /// Returns what the endpoint admits now.
    pub fn admission(&self, now: Tick) -> Admission {
        match self.state {
            State::Closed => Admission::Closed,
            State::CoolingDown { until } if now >= until => Admission::Closed,
            State::CoolingDown { until } => Admission::CoolingDown { until },
            State::Open { until, .. } if now >= until => Admission::Trial,
            State::Open { until, refused } => Admission::Ejected {
                until,
                last_resort: !refused,
            },
            State::HalfOpen {
                on_trial: false, ..
            } => Admission::Trial,
            State::HalfOpen { on_trial: true, .. } => Admission::Ejected {
                until: now + TRIAL_WAIT,
                last_resort: false,
            },
        }
    }

    /// Returns the state as people see it: an open time that has passed reads as half-open.
    pub fn state(&self, now: Tick) -> BreakerState {
        match self.state {
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            _ => match self.admission(now) {
                Admission::Closed => BreakerState::Closed,
                Admission::Trial => BreakerState::HalfOpen,
                Admission::Ejected { .. } | Admission::CoolingDown { .. } => BreakerState::Open,
            },
        }
    }

    /// Returns how many failures in a row were seen last.
    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    /// Claims a use, or refuses. The first claim after the open time takes the trial; the first
    /// after a cool-down finds it over.
    pub fn try_enter(&mut self, now: Tick) -> Option<Claim> {
        let before = self.state.shown();
        let trial = match self.admission(now) {
            Admission::Closed => {
                self.state = State::Closed;
                false
            }
            Admission::Trial => {
                // A last resort that was given up leaves its place, and the open time, to the next.
                let early = match self.state {
                    State::HalfOpen { early, .. } => early,
                    _ => None,
                };
                self.state = State::HalfOpen {
                    on_trial: true,
                    early,
                };
                true
            }
            Admission::Ejected { .. } | Admission::CoolingDown { .. } => return None,
        };
        let change = Self::change(before, self.state.shown());
        Some(Claim {
            entry: self.entry(trial),
            change,
        })
    }

    /// Claims the trial before its time: every other endpoint is ejected too. Refused where a trial
    /// is out, where the credential or the pace was refused, and by a cool-down.
    pub fn try_last_resort(&mut self, now: Tick) -> Option<Claim> {
        if let Admission::Ejected {
            last_resort: true,
            until,
        } = self.admission(now)
        {
            let before = self.state.shown();
            self.state = State::HalfOpen {
                on_trial: true,
                early: Some(until),
            };
            let change = Self::change(before, self.state.shown());
            return Some(Claim {
                entry: self.entry(true),
                change,
            });
        }
        self.try_enter(now)
    }

    /// Claims a use that was asked for by name: refused by nothing, but counted like any other.
    pub fn enter_regardless(&mut self, now: Tick) -> Claim {
        let regardless = Claim {
            entry: self.entry(false),
            change: None,
        };
        self.try_enter(now).unwrap_or(regardless)
    }

    /// Records that content came: the endpoint works. Closes the breaker if it was not.
    pub fn answered(&mut self, entry: Entry) -> Option<Change> {
        if entry.epoch != self.epoch {
            return None;
        }
        self.close()
    }

    fn close(&mut self) -> Option<Change> {
        let from = self.state.shown();
        self.state = State::Closed;
        self.reopened = 0;
        self.consecutive_failures = 0;
        self.forbidden_once = false;
        if from != BreakerState::Closed {
            self.recent = Recent::default();
        }
        Self::change(from, BreakerState::Closed)
    }

    /// Records that the answer was whole.
    pub fn completed(&mut self, entry: Entry, now: Tick) {
        if entry.epoch == self.epoch {
            self.recent.push(now, Attempt::Passed);
        }
    }

    /// Records a failure and opens the breaker where that is due.
    pub fn failed(
        &mut self,
        entry: Entry,
        fault: Fault,
        now: Tick,
        policy: BreakerPolicy,
    ) -> Option<Change> {
        if entry.epoch != self.epoch {
            return None;
        }
        let from = self.state.shown();
        if let Verdict::CoolDown(length) = fault.verdict {
            let until = now + length.min(MAX_COOL_DOWN);
            self.epoch += 1;
            self.state = State::CoolingDown { until };
            return Self::change(from, self.state.shown());
        }
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.recent.push(now, Attempt::Failed);
        if let Some(at_least) = self.must_open(entry, fault, now, policy) {
            let refused = matches!(fault.kind, FailureKind::Auth | FailureKind::RateLimited);
            self.open(now, at_least, refused, policy);
        }
        Self::change(from, self.state.shown())
    }

    /// Records that a probe was answered as a request would have been: closes the breaker early. A
    /// cool-down stands, for it is the provider's word about requests.
    pub fn probed(&mut self, now: Tick) -> Option<Change> {
        if matches!(self.admission(now), Admission::CoolingDown { .. }) {
            return None;
        }
        self.close()
    }

    /// Gives the place of an abandoned trial back; any other abandoned use is nothing.
    pub fn abandoned(&mut self, entry: Entry) {
        if let State::HalfOpen { on_trial, .. } = &mut self.state
            && entry.trial
            && entry.epoch == self.epoch
        {
            *on_trial = false;
        }
    }

    /// Decides whether this failure opens the breaker, and for how long at least.
    fn must_open(
        &mut self,
        entry: Entry,
        fault: Fault,
        now: Tick,
        policy: BreakerPolicy,
    ) -> Option<Duration> {
        let forbidden_before = std::mem::replace(
            &mut self.forbidden_once,
            fault.verdict == Verdict::OpenIfRepeated,
        );
        let at_least = match fault.verdict {
            Verdict::Open { at_least } => return Some(at_least),
            Verdict::OpenIfRepeated if forbidden_before => return Some(Duration::ZERO),
            _ => Duration::ZERO,
        };
        let trial_failed = entry.trial && matches!(self.state, State::HalfOpen { .. });
        let due = trial_failed
            || self.consecutive_failures >= policy.threshold
            || self.recent.is_brown_out(now);
        (due && !matches!(self.state, State::Open { .. })).then_some(at_least)
    }

    fn open(&mut self, now: Tick, at_least: Duration, refused: bool, policy: BreakerPolicy) {
        let until = match self.state {
            State::HalfOpen {
                early: Some(until), ..
            } if now < until => until,
            State::HalfOpen { .. } => {
                self.reopened = self.reopened.saturating_add(1);
                now + self.open_time(policy)
            }
            _ => now + self.open_time(policy),
        };
        self.state = State::Open {
            until: until.max(now + at_least),
            refused,
        };
        self.epoch += 1;
        self.recent = Recent::default();
    }

    fn open_time(&self, policy: BreakerPolicy) -> Duration {
        let factor = 1_u32
            .checked_shl(self.reopened)
            .unwrap_or(MAX_TIMEOUTS)
            .clamp(1, MAX_TIMEOUTS);
        let length = policy.timeout * factor;
        policy.longest.map_or(length, |longest| length.min(longest))
    }

    fn entry(&self, trial: bool) -> Entry {
        Entry {
            epoch: self.epoch,
            trial,
        }
    }

    fn change(from: BreakerState, to: BreakerState) -> Option<Change> {
        (from != to).then_some(Change { from, to })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Passed,
    Failed,
}

/// The last [`WINDOW`] attempts, for the brown-out rule.
#[derive(Debug, Clone, Default)]
struct Recent {
    ring: [Option<(Tick, Attempt)>; WINDOW],
    next: usize,
}

impl Recent {
    fn push(&mut self, now: Tick, attempt: Attempt) {
        self.ring[self.next] = Some((now, attempt));
        self.next = (self.next + 1) % WINDOW;
    }

    /// Returns whether the window is full, recent, and at least half of it failed.
    fn is_brown_out(&self, now: Tick) -> bool {
        let mut failed = 0;
        for slot in &self.ring {
            match slot {
                Some((at, attempt)) if now.saturating_since(*at) <= WINDOW_SPAN => {
                    failed += usize::from(*attempt == Attempt::Failed);
                }
                _ => return false,
            }
        }
        failed * 2 >= WINDOW
    }
}

#[cfg(test)]
mod tests;
