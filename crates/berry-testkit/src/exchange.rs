//! One request being answered, from its arrival to the last byte of its answer.
//!
//! Only a value that is dropped with the answer can see that nobody waited for it: hyper drops the
//! service's future or the body when the client leaves. An [`Exchange`] rides in both and counts a
//! cancellation when it is dropped unfinished, unless the simulated provider itself cut the line.

use std::sync::Arc;

use crate::journal::Journal;
use crate::wire::Wire;

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Exchange {
    journal: Arc<Journal>,
    wire: Arc<Wire>,
    finished: bool,
}

impl Exchange {
    pub(crate) fn new(journal: Arc<Journal>, wire: Arc<Wire>) -> Self {
        Self {
            journal,
            wire,
            finished: false,
        }
    }

    /// Marks the answer as given completely.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.finished && self.wire.cut_by_us().is_none() {
            self.journal.answer_abandoned();
        }
    }
}
