//! What a frame of a stream comes to: the events that may be forwarded, without those that are left out.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::Fate;

/// Parts of a text.
pub(crate) type Ranges = SmallVec<[Range<usize>; 1]>;

/// What a push yields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// The events that were observed and may be forwarded; may be empty.
    pub(crate) complete: Bytes,
    /// What of them is to be cleaned, in order.
    pub(crate) unclean: Ranges,
    /// What of them belongs to events too long to be held, in order.
    pub(crate) long: Ranges,
    /// Where the last of these goes on: how many bytes at the end belong to a line that does.
    pub(crate) open: Option<usize>,
    /// The event at which the observer stopped. What follows it is lost.
    pub(crate) stopped_by: Option<Bytes>,
    /// The beginning of that event was forwarded before.
    pub(crate) torn: bool,
}

impl Split {
    /// Adds an event that is to be cleaned.
    pub(crate) fn append_unclean(&mut self, event: &[u8]) {
        let before = self.complete.len();
        self.complete = [&self.complete, event].concat().into();
        self.unclean.push(before..self.complete.len());
    }
}

/// How far an event reader came.
#[derive(Default)]
pub(super) struct Read {
    /// The end of the last event that may be forwarded, from where positions count afterwards.
    pub(super) complete: usize,
    /// The length of the event after it, at which the observer stopped.
    pub(super) stopped_by: Option<usize>,
    /// The beginning of that event was forwarded before.
    pub(super) torn: bool,
    /// Nothing may be forwarded after the complete events.
    pub(super) last: bool,
    /// The events before it that are left out.
    pub(super) dropped: Ranges,
    /// What of the other events is to be cleaned.
    pub(super) unclean: Ranges,
    /// The end of an event whose beginning was too long to be held.
    pub(super) long: Ranges,
}

impl Read {
    /// Notes what becomes of a complete event.
    pub(super) fn take(
        &mut self,
        event: Range<usize>,
        fate: Option<Fate>,
        asides: Ranges,
        is_long: bool,
    ) {
        self.complete = event.end;
        if is_long {
            self.long.push(event.clone());
        }
        match fate {
            Some(Fate::Drop) => self.dropped.push(event),
            Some(Fate::Clean | Fate::Stop) => self.unclean.push(event),
            Some(Fate::Pass | Fate::Last) | None => self.unclean.extend(asides),
        }
    }

    /// Returns the complete events without those that are left out.
    pub(super) fn split(self, complete: Bytes) -> Split {
        let mut split = Split {
            complete,
            unclean: self.unclean,
            long: self.long,
            open: None,
            stopped_by: None,
            torn: self.torn,
        };
        if self.dropped.is_empty() {
            return split;
        }
        let mut kept = BytesMut::with_capacity(split.complete.len());
        let mut at = 0;
        for range in &self.dropped {
            kept.extend_from_slice(&split.complete[at..range.start]);
            at = range.end;
        }
        kept.extend_from_slice(&split.complete[at..]);
        split.complete = kept.freeze();
        for range in &mut split.unclean {
            let before = self.dropped.iter();
            let before = before.filter(|event| event.end <= range.start);
            let left_out: usize = before.map(Range::len).sum();
            *range = range.start - left_out..range.end - left_out;
        }
        split
    }
}
