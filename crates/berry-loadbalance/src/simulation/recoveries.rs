//! How long faults went unnoticed, and how long they were remembered.

use std::time::Duration;

use berry_core::Tick;
use berry_core::config::scenario::{FaultKind, ScriptedFault};

use super::fleet::Fleet;
use super::report::mean;
use crate::pool::Pool;

/// One fault of one endpoint, and what came of it.
#[derive(Debug)]
struct Case {
    place: usize,
    from: Tick,
    until: Tick,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not noticed yet.
    Unnoticed,
    /// Out of use, or asked last because a probe failed.
    Ejected,
    /// In use again since then.
    Readmitted(Tick),
    Restored,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Recoveries {
    cases: Vec<Case>,
    ejected: Vec<Duration>,
    readmitted: Vec<Duration>,
    restored: Vec<Duration>,
}

impl Recoveries {
    pub(super) fn new(fleet: &Fleet) -> Self {
        let cases = (0..fleet.members.len()).flat_map(|place| {
            let faults = fleet.members[place].faults.iter();
            faults.filter_map(move |fault| case(place, fault))
        });
        Self {
            cases: cases.collect(),
            ejected: Vec::new(),
            readmitted: Vec::new(),
            restored: Vec::new(),
        }
    }

    /// Takes what has changed since the last look.
    pub(super) fn look(&mut self, pool: &Pool, now: Tick) {
        for case in &mut self.cases {
            if now < case.from {
                continue;
            }
            let signals = pool.signals(pool.endpoint(case.place), now);
            let healthy = signals.healthy();
            case.stage = match case.stage {
                Stage::Unnoticed if !healthy && now < case.until => {
                    self.ejected.push(now.saturating_since(case.from));
                    Stage::Ejected
                }
                Stage::Ejected if healthy && now >= case.until => {
                    self.readmitted.push(now.saturating_since(case.until));
                    Stage::Readmitted(now)
                }
                Stage::Readmitted(_) if !healthy => Stage::Ejected,
                Stage::Readmitted(at)
                    if signals.consecutive_failures == 0 && signals.recovery >= 1.0 =>
                {
                    self.restored.push(now.saturating_since(at));
                    Stage::Restored
                }
                stage => stage,
            };
        }
    }

    pub(super) fn ejected_after(&self) -> Option<Duration> {
        mean(&self.ejected)
    }

    pub(super) fn readmitted_after(&self) -> Option<Duration> {
        mean(&self.readmitted)
    }

    pub(super) fn restored_after(&self) -> Option<Duration> {
        mean(&self.restored)
    }
}

/// Returns what is to be watched of a fault: those that eject, and whose end can be known.
fn case(place: usize, fault: &ScriptedFault) -> Option<Case> {
    let ejects = match fault.kind {
        FaultKind::Down | FaultKind::Hanging | FaultKind::Refused | FaultKind::BrownOut { .. } => {
            true
        }
        FaultKind::Flapping { .. } | FaultKind::Slow { .. } | FaultKind::RateCapped { .. } => false,
    };
    ejects.then(|| Case {
        place,
        from: Tick::from(fault.from),
        until: fault.until.map_or(Tick::from_nanos(u64::MAX), Tick::from),
        stage: Stage::Unnoticed,
    })
}
