//! What an imagined provider does to a request.
//!
//! Times to first content are log-normal, as those of language models roughly are; an answer is then
//! written at [`PACE`]. What is left to chance is drawn from the seed, the request, the endpoint and
//! how often the request has been there, so that every strategy meets the same luck.

use std::time::Duration;

use berry_core::Tick;
use berry_core::config::scenario::FaultKind;

use super::fleet::Member;
use crate::economy::Tokens;
use crate::latency::Mode;
use crate::outcome::{FailureKind, Fault};

/// Tokens a second: a hosted model of the middle class.
const PACE: f64 = 60.0;
/// How long a refused connection takes to fail.
const NO_CONNECTION: Duration = Duration::from_millis(20);
/// How long a provider takes to say no without having thought.
const REFUSAL: Duration = Duration::from_millis(100);
const MINUTE: Duration = Duration::from_secs(60);

/// One attempt, as a provider gets it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    /// Which request.
    pub(super) request: u64,
    /// How often it has been here before.
    pub(super) before: u32,
    pub(super) mode: Mode,
    pub(super) tokens: Tokens,
    /// How long an answer is waited for.
    pub(super) patience: Duration,
    pub(super) now: Tick,
}

/// What comes of it, in times after it was asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reaction {
    Answer { content: Duration, end: Duration },
    Failure { after: Duration, fault: Fault },
}

/// The providers' side of a simulation: what they remember of their callers.
#[derive(Debug)]
pub(super) struct Sites {
    seed: u64,
    /// Per endpoint, the minute of the last answered request and how many were answered in it.
    answered: Vec<(u64, u32)>,
}

impl Sites {
    pub(super) fn new(seed: u64, count: usize) -> Self {
        Self {
            seed,
            answered: vec![(0, 0); count],
        }
    }

    /// Asks the endpoint in this place.
    pub(super) fn ask(&mut self, member: &Member, place: usize, ask: &Ask) -> Reaction {
        let mut dice = dice(&[self.seed, ask.request, place as u64, ask.before.into()]);
        let (unlucky, browned_out) = (dice.f64(), dice.f64());
        let mut latency = member
            .traits
            .latency
            .mul_f64((member.traits.spread * normal(&mut dice)).exp());
        let elapsed = ask.now.saturating_since(Tick::ZERO);
        for kind in member.wrong(elapsed) {
            let (after, fault) = match kind {
                FaultKind::Slow { factor } => {
                    latency = latency.mul_f64(factor);
                    continue;
                }
                FaultKind::BrownOut { share } if browned_out < share => {
                    (latency, Fault::new(FailureKind::Server))
                }
                FaultKind::Flapping { period } if is_down(elapsed, period) => {
                    (NO_CONNECTION, Fault::new(FailureKind::Connect))
                }
                FaultKind::RateCapped {
                    requests_per_minute,
                    retry_after,
                } if !self.has_room(place, elapsed, requests_per_minute) => {
                    let fault = retry_after
                        .map_or_else(|| Fault::new(FailureKind::RateLimited), Fault::cool_down);
                    (REFUSAL, fault)
                }
                FaultKind::Down => (NO_CONNECTION, Fault::new(FailureKind::Connect)),
                FaultKind::Hanging => (ask.patience, Fault::new(FailureKind::Timeout)),
                FaultKind::Refused => (REFUSAL, Fault::new(FailureKind::Auth)),
                FaultKind::BrownOut { .. }
                | FaultKind::Flapping { .. }
                | FaultKind::RateCapped { .. } => continue,
            };
            return Reaction::Failure { after, fault };
        }
        if unlucky < member.traits.error_share {
            let fault = Fault::new(FailureKind::Server);
            return Reaction::Failure {
                after: latency,
                fault,
            };
        }
        self.count(place, elapsed);
        let end = latency + Duration::from_secs_f64(ask.tokens.output / PACE);
        let content = match ask.mode {
            Mode::Streamed => latency,
            Mode::Whole => end,
        };
        if content > ask.patience {
            let fault = Fault::new(FailureKind::Timeout);
            return Reaction::Failure {
                after: ask.patience,
                fault,
            };
        }
        Reaction::Answer { content, end }
    }

    /// Returns whether a provider that answers so many requests a minute answers one more.
    fn has_room(&self, place: usize, elapsed: Duration, most: u32) -> bool {
        let (minute, count) = self.answered[place];
        minute != this_minute(elapsed) || count < most
    }

    fn count(&mut self, place: usize, elapsed: Duration) {
        let (minute, count) = &mut self.answered[place];
        let current = this_minute(elapsed);
        *count = if *minute == current { *count + 1 } else { 1 };
        *minute = current;
    }
}

/// Returns whether a list of models comes; it costs a provider nothing, so only what stops
/// everything stops it.
pub(super) fn list_of_models(member: &Member, now: Tick) -> Result<(), FailureKind> {
    let elapsed = now.saturating_since(Tick::ZERO);
    let stopped = member.wrong(elapsed).find_map(|kind| match kind {
        FaultKind::Down => Some(FailureKind::Connect),
        FaultKind::Flapping { period } if is_down(elapsed, period) => Some(FailureKind::Connect),
        FaultKind::Hanging => Some(FailureKind::Timeout),
        FaultKind::Refused => Some(FailureKind::Auth),
        _ => None,
    });
    stopped.map_or(Ok(()), Err)
}

fn this_minute(elapsed: Duration) -> u64 {
    elapsed.as_secs() / MINUTE.as_secs()
}

/// Returns whether what flaps is down; it begins with that.
fn is_down(elapsed: Duration, period: Duration) -> bool {
    let turns = elapsed.as_secs() / period.as_secs().max(1);
    turns.is_multiple_of(2)
}

/// Returns a generator for what these numbers name.
pub(super) fn dice(of: &[u64]) -> fastrand::Rng {
    // The finalizer of SplitMix64, so that neighbouring names have nothing in common (Steele, Lea
    // and Flood, "Fast splittable pseudorandom number generators", 2014).
    let seed = of.iter().fold(0, |seed: u64, number| {
        let mixed = (seed ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    fastrand::Rng::with_seed(seed)
}

/// Returns a number from the standard normal distribution (Box and Muller, 1958).
pub(super) fn normal(dice: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - dice.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * dice.f64()).cos()
}
