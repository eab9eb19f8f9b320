//! What probes have said of one endpoint.

use berry_core::Tick;

use super::{ProbeDepth, ProbeOutcome};

/// The last word of each depth: a list of models that comes says nothing about a chat that did not.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProbeRecord {
    models_failed: bool,
    chat_failed: bool,
    last: Option<Tick>,
}

impl ProbeRecord {
    /// Records a probe. Returns whether it ends what an earlier chat had begun.
    pub(crate) fn record(&mut self, depth: ProbeDepth, outcome: &ProbeOutcome, now: Tick) -> bool {
        self.last = Some(now);
        match (depth, outcome) {
            (_, ProbeOutcome::Unknown) => false,
            (ProbeDepth::Models, outcome) => {
                self.models_failed = *outcome != ProbeOutcome::Passed;
                false
            }
            (ProbeDepth::Chat, ProbeOutcome::Failed(_)) => {
                self.chat_failed = true;
                false
            }
            (ProbeDepth::Chat, ProbeOutcome::Passed) => {
                self.models_failed = false;
                std::mem::take(&mut self.chat_failed)
            }
        }
    }

    /// Forgets failures: a real request has succeeded.
    pub(crate) fn clear(&mut self) {
        self.models_failed = false;
        self.chat_failed = false;
    }

    /// Returns whether the last probe of either depth failed.
    pub(crate) fn failed(&self) -> bool {
        self.models_failed || self.chat_failed
    }

    /// Returns when the last probe ended.
    pub(crate) fn last(&self) -> Option<Tick> {
        self.last
    }
}
