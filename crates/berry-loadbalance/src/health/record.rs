//! What probes have said of one endpoint.
//!
//! Each depth has a word of its own: a list of models that comes says nothing about a chat that
//! did not. The other way round, a chat says more than a list. Where a chat passes while lists fail,
//! be it a probe's or a request's, the lists are shown to say nothing about chats, and are not
//! listened to before one of them has passed again. Otherwise a provider whose lists are broken, and
//! nothing else, would be unhealthy from each list to the next chat.

use berry_core::Tick;

use super::{ProbeDepth, ProbeOutcome};

/// See the module's documentation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProbeRecord {
    lists: Lists,
    chat_failed: bool,
    last: Option<Tick>,
    /// The first and the last failure since the endpoint was well.
    failures: Option<(Tick, Tick)>,
}

/// What is thought of a provider's lists of models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Lists {
    /// The last one came, or none was asked for.
    #[default]
    Passed,
    /// The last one did not.
    Failed,
    /// They do not come, and chats pass all the same.
    Overruled,
}

impl ProbeRecord {
    /// Records a probe. Returns whether it ends what an earlier chat had begun.
    pub(crate) fn record(&mut self, depth: ProbeDepth, outcome: &ProbeOutcome, now: Tick) -> bool {
        let ends = self.listen(depth, outcome);
        if !self.failed() {
            self.failures = None;
        } else if matches!(outcome, ProbeOutcome::Failed(_)) {
            let first = self.failures.map_or(now, |(first, _)| first);
            self.failures = Some((first, now));
        }
        ends
    }

    fn listen(&mut self, depth: ProbeDepth, outcome: &ProbeOutcome) -> bool {
        match (depth, outcome) {
            (_, ProbeOutcome::Unknown) => false,
            (ProbeDepth::Models, ProbeOutcome::Passed) => {
                self.lists = Lists::Passed;
                false
            }
            (ProbeDepth::Models, ProbeOutcome::Failed(_)) => {
                if self.lists == Lists::Passed {
                    self.lists = Lists::Failed;
                }
                false
            }
            (ProbeDepth::Chat, ProbeOutcome::Failed(_)) => {
                self.chat_failed = true;
                false
            }
            (ProbeDepth::Chat, ProbeOutcome::Passed) => {
                let had_failed = self.chat_failed;
                self.clear();
                had_failed
            }
        }
    }

    /// Records that a probe has ended, whatever it said.
    pub(crate) fn ended(&mut self, now: Tick) {
        self.last = Some(now);
    }

    /// Forgets failures: a chat has passed.
    pub(crate) fn clear(&mut self) {
        self.chat_failed = false;
        self.failures = None;
        if self.lists == Lists::Failed {
            self.lists = Lists::Overruled;
        }
    }

    /// Returns whether the last probe of a depth failed that is listened to.
    pub(crate) fn failed(&self) -> bool {
        self.lists == Lists::Failed || self.chat_failed
    }

    /// Returns when it failed first and last since the endpoint was well; none while it is.
    pub(crate) fn failures(&self) -> Option<(Tick, Tick)> {
        self.failures
    }

    /// Returns when the last probe ended.
    pub(crate) fn last(&self) -> Option<Tick> {
        self.last
    }
}
