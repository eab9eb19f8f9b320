//! Splits a stream of server-sent events without changing a byte of it.
//!
//! Frames arrive cut anywhere. [`Splitter::push`] shows each complete event's data to an observer
//! and returns the bytes up to the last complete event, to be forwarded as they are; an incomplete
//! tail stays behind, so that whatever is said after a broken stream begins on a line of its own.
//! Where a frame ends with an event, which is nearly always, it is returned itself: no copy. Only
//! where the observer wants an event left out is what remains put together anew.
//!
//! Line ends are LF, CRLF or CR, in any mixture and cut anywhere; a byte order mark at the start is
//! passed over; data lines of one event are joined by LF (WHATWG HTML, "Server-sent events",
//! 9.2.5 and 9.2.6).
//!
//! An event longer than [`MAX_EVENT`] is forwarded piece by piece, and at its end an [`Abridged`]
//! copy of its data is observed, if they are an object: memory for a stream is bounded, whatever the
//! upstream sends. Such an event cannot be left out any more.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;
use smallvec::SmallVec;

use crate::abridge::Abridged;

/// The longest event that is held until it is complete: with what is read ahead and what is not yet
/// written, a stream takes 256 KiB at most.
pub(crate) const MAX_EVENT: usize = 128 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What becomes of an event, as its observer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is forwarded.
    Pass,
    /// It is left out.
    Drop,
    /// The stream ends with it.
    Stop,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// The incomplete tail.
    pending: BytesMut,
    /// The longest tail that is held.
    longest: usize,
    event: Event,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::holding(MAX_EVENT)
    }
}

/// The event being read; positions count from the first byte that was not forwarded.
#[derive(Debug, Default)]
struct Event {
    /// Where the line being read begins.
    line: usize,
    /// How far it was searched for its end.
    searched: usize,
    data: SmallVec<[Range<usize>; 1]>,
    /// The last byte was a CR that ended a line: an LF that follows belongs to it.
    after_cr: bool,
    /// The stream's first line has been read.
    begun: bool,
    cut: Cut,
    /// What the tap gets to see of an event that is cut.
    abridged: Option<Box<Abridged>>,
}

/// Whether part of an event was forwarded before its end, because it is too long to be held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Cut {
    #[default]
    Nowhere,
    /// Between two lines, or within one that has ended since.
    Before,
    /// Within the line being read, which has data or has none.
    InLine { data: bool },
}

/// What a push yields.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// The events that were observed and may be forwarded; may be empty.
    pub(crate) complete: Bytes,
    /// The event at which the observer stopped. What follows it is lost.
    pub(crate) stopped_by: Option<Bytes>,
}

impl Splitter {
    /// Makes a splitter that holds events up to this length.
    pub(crate) fn holding(longest: usize) -> Self {
        Self {
            pending: BytesMut::new(),
            longest,
            event: Event::default(),
        }
    }

    /// Takes a frame, shows the data of each event it completes to `observe`, and returns what may
    /// be forwarded. An observer that stops ends the stream with the event it has just seen.
    pub(crate) fn push(&mut self, frame: &Bytes, mut observe: impl FnMut(&[u8]) -> Fate) -> Split {
        if self.pending.is_empty() {
            let read = self.event.advance(frame, &mut observe);
            if read.complete < frame.len() {
                self.pending.extend_from_slice(&frame[read.complete..]);
            }
            return self.forward(read.kept(frame.slice(..read.complete)), read.stopped_by);
        }
        self.pending.extend_from_slice(frame);
        let read = self.event.advance(&self.pending, &mut observe);
        let complete = self.pending.split_to(read.complete).freeze();
        self.forward(read.kept(complete), read.stopped_by)
    }

    /// Ends the stream: an event without its closing blank line is shown to `observe` and returned.
    pub(crate) fn finish(&mut self, mut observe: impl FnMut(&[u8]) -> Fate) -> Bytes {
        let rest = self.pending.split().freeze();
        let mut event = std::mem::take(&mut self.event);
        // Whatever is said after the end still begins in the middle of what was forwarded.
        self.event.cut = event.cut;
        event.end_of_line(&rest, rest.len());
        match event.show(&rest, &mut observe) {
            Some(Fate::Drop) => Bytes::new(),
            _ => rest,
        }
    }

    /// Returns whether the client is in the middle of an event.
    pub(crate) fn torn(&self) -> bool {
        self.event.cut != Cut::Nowhere
    }

    /// Makes a split of the complete events and, where one stopped the reading, its length.
    fn forward(&mut self, complete: Bytes, stopped_by: Option<usize>) -> Split {
        if let Some(length) = stopped_by {
            let stopped_by = Some(self.pending.split_to(length).freeze());
            self.pending.clear();
            self.event = Event::default();
            return Split {
                complete,
                stopped_by,
            };
        }
        if self.pending.len() <= self.longest {
            return Split {
                complete,
                stopped_by: None,
            };
        }
        self.event.skip(&self.pending);
        let tail = self.pending.split().freeze();
        let complete = if complete.is_empty() {
            tail
        } else {
            [complete, tail].concat().into()
        };
        Split {
            complete,
            stopped_by: None,
        }
    }
}

/// How far an event reader came.
struct Read {
    /// The end of the last event that may be forwarded, from where positions count afterwards.
    complete: usize,
    /// The length of the event after it, at which the observer stopped.
    stopped_by: Option<usize>,
    /// The events before it that are left out.
    dropped: SmallVec<[Range<usize>; 1]>,
}

impl Read {
    /// Returns the complete events without those that are left out.
    fn kept(&self, complete: Bytes) -> Bytes {
        if self.dropped.is_empty() {
            return complete;
        }
        let mut kept = BytesMut::with_capacity(complete.len());
        let mut at = 0;
        for range in &self.dropped {
            kept.extend_from_slice(&complete[at..range.start]);
            at = range.end;
        }
        kept.extend_from_slice(&complete[at..]);
        kept.freeze()
    }
}

impl Event {
    /// Reads the lines of `bytes` from where the last call ended.
    fn advance(&mut self, bytes: &[u8], observe: &mut impl FnMut(&[u8]) -> Fate) -> Read {
        let mut complete = 0;
        let mut stopped_by = None;
        let mut dropped = SmallVec::new();
        while let Some(end) = self.next_line(bytes) {
            if self.end_of_line(bytes, end) {
                continue;
            }
            match self.show(bytes, observe) {
                Some(Fate::Stop) => {
                    stopped_by = Some(self.line - complete);
                    break;
                }
                Some(Fate::Drop) => dropped.push(complete..self.line),
                Some(Fate::Pass) | None => {}
            }
            complete = self.line;
        }
        self.rebase(complete);
        Read {
            complete,
            stopped_by,
            dropped,
        }
    }

    /// Returns the end of the line being read (its terminator excluded) and passes the terminator.
    fn next_line(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.after_cr && self.searched < bytes.len() {
            self.after_cr = false;
            if bytes[self.searched] == b'\n' {
                self.searched += 1;
                self.line = self.searched;
            }
        }
        let Some(found) = memchr2(b'\n', b'\r', &bytes[self.searched..]) else {
            self.searched = bytes.len();
            return None;
        };
        let end = self.searched + found;
        self.after_cr = bytes[end] == b'\r';
        self.searched = end + 1;
        if self.after_cr && bytes.get(self.searched) == Some(&b'\n') {
            self.searched += 1;
            self.after_cr = false;
        }
        Some(end)
    }

    /// Takes the line that ends at `end`; returns false where it is empty and so ends the event.
    fn end_of_line(&mut self, bytes: &[u8], end: usize) -> bool {
        let start = std::mem::replace(&mut self.line, self.searched);
        let line = self.without_mark(&bytes[start..end]);
        self.begun = true;
        if let Cut::InLine { data } = self.cut {
            self.cut = Cut::Before;
            if data {
                self.abridge(line);
            }
            return true;
        }
        if line.is_empty() {
            return false;
        }
        if let Some(value) = data_of(line) {
            if self.cut == Cut::Nowhere {
                self.data.push(end - value.len()..end);
            } else {
                self.abridge_line(value);
            }
        }
        true
    }

    /// Returns a line without the mark that may begin the stream's first one.
    fn without_mark<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        let marked = (!self.begun)
            .then(|| line.strip_prefix(BYTE_ORDER_MARK))
            .flatten();
        marked.unwrap_or(line)
    }

    /// Shows the event's data to the observer, where it has any.
    fn show(&mut self, bytes: &[u8], observe: &mut impl FnMut(&[u8]) -> Fate) -> Option<Fate> {
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.cut) != Cut::Nowhere {
            let abridged = self.abridged.take()?.finish()?;
            // Part of it has been forwarded, so the rest must follow.
            return Some(match observe(&abridged) {
                Fate::Drop => Fate::Pass,
                fate => fate,
            });
        }
        let data = match data.as_slice() {
            // An event without data is none: some upstreams send such as heartbeats.
            [] => return None,
            [line] if line.is_empty() => return None,
            [line] => Cow::Borrowed(&bytes[line.clone()]),
            lines => {
                let lines: Vec<&[u8]> = lines.iter().map(|line| &bytes[line.clone()]).collect();
                Cow::Owned(lines.join(&b'\n'))
            }
        };
        Some(observe(&data))
    }

    fn abridge(&mut self, data: &[u8]) {
        self.abridged.get_or_insert_default().push(data);
    }

    /// Takes the data of a line, or of the beginning of one.
    fn abridge_line(&mut self, data: &[u8]) {
        // Between lines, and without meaning before the first.
        self.abridge(b"\n");
        self.abridge(data);
    }

    /// Makes positions count from `base`. Data of an event that is not complete lies after it.
    fn rebase(&mut self, base: usize) {
        self.line -= base;
        self.searched -= base;
        for line in &mut self.data {
            *line = line.start - base..line.end - base;
        }
    }

    /// Forgets the event's bytes, which are forwarded; only its end is still looked for.
    fn skip(&mut self, bytes: &[u8]) {
        for line in std::mem::take(&mut self.data) {
            self.abridge_line(&bytes[line]);
        }
        let line = &bytes[self.line..];
        self.cut = match self.cut {
            _ if line.is_empty() => Cut::Before,
            Cut::InLine { data } => {
                if data {
                    self.abridge(line);
                }
                self.cut
            }
            Cut::Nowhere | Cut::Before => {
                let value = data_of(self.without_mark(line));
                if let Some(value) = value {
                    self.abridge_line(value);
                }
                Cut::InLine {
                    data: value.is_some(),
                }
            }
        };
        self.searched -= bytes.len();
        self.line = 0;
    }
}

/// Returns the value of a line, or the beginning of one, that has data.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data:")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests;
