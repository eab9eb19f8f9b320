//! Splits a stream of server-sent events without changing a byte of it.
//!
//! Frames arrive cut anywhere. [`Splitter::push`] shows each complete event's data to an observer
//! and returns the bytes up to the last complete event, to be forwarded as they are; an incomplete
//! tail stays behind, so that whatever is said after a broken stream begins on a line of its own.
//! Where a frame ends with an event, which is nearly always, it is returned itself: no copy. Only
//! where the observer wants an event left out is what remains put together anew.
//!
//! With the bytes comes which of them are not what was asked for: events that report errors, as the
//! observer says, and lines that have no data, such as comments.
//!
//! Line ends are LF, CRLF or CR, in any mixture and cut anywhere; a byte order mark at the start is
//! passed over; data lines of one event are joined by LF (WHATWG HTML, "Server-sent events",
//! 9.2.5 and 9.2.6).
//!
//! An event longer than [`MAX_EVENT`] is forwarded piece by piece, and at its end an [`Abridged`]
//! copy of its data is observed, if they are an object: memory for a stream is bounded, whatever the
//! upstream sends. Such an event cannot be left out any more, and nobody knows before its end whether
//! it reports an error; which bytes belong to one is said as well, and how much text. Only data can be so long:
//! any other line that is becomes an empty comment.

mod split;

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use crate::abridge::{Abridged, NotWhole};
use crate::tap::Text;
use split::Read;
pub(crate) use split::{Ranges, Split};

/// The longest event that is held until it is complete: with what is read ahead and what is not yet
/// written, a stream takes 256 KiB at most.
pub(crate) const MAX_EVENT: usize = 128 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What becomes of an event, as its observer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is forwarded.
    Pass,
    /// It is forwarded, and reports an error.
    Clean,
    /// It is forwarded, and nothing that follows it.
    Last,
    /// It is left out.
    Drop,
    /// The stream ends with it.
    Stop,
}

/// What an event is called by a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Name {
    /// `error`.
    Error,
    /// Nothing that makes sense: one of its lines is neither a field nor a comment.
    Garbage,
    /// Anything else, or nothing.
    #[default]
    Other,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// The incomplete tail.
    pending: BytesMut,
    /// The longest tail that is held.
    longest: usize,
    /// The line being read is too long and has no data: the rest of it is left out.
    muted: bool,
    event: Event,
    /// The last event has come.
    over: bool,
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
    data: Ranges,
    /// Its lines without data.
    asides: Ranges,
    /// What one of them calls it.
    name: Name,
    /// The last byte was a CR that ended a line: an LF that follows belongs to it.
    after_cr: bool,
    /// The stream's first line has been read.
    begun: bool,
    cut: Cut,
    /// What the tap gets to see of an event that is cut.
    abridged: Option<Box<Abridged>>,
    /// What the events before it said that were cut.
    heard: Text,
}

/// Whether part of an event was forwarded before its end, because it is too long to be held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Cut {
    #[default]
    Nowhere,
    /// Between two lines, or within one that has ended since.
    Before,
    /// Within the line being read, which has data.
    InLine,
}

/// What is forwarded of an event too long to be held.
struct Skipped {
    length: usize,
    /// How much of it belongs to a line that goes on.
    open: usize,
    /// Its lines without data.
    asides: Ranges,
}

impl Splitter {
    /// Makes a splitter that holds events up to this length.
    pub(crate) fn holding(longest: usize) -> Self {
        Self {
            pending: BytesMut::new(),
            longest,
            muted: false,
            event: Event::default(),
            over: false,
        }
    }

    /// Takes a frame, shows the name and the data of each event it completes to `observe`, and returns
    /// what may be forwarded. An observer that stops ends the stream with the event it has just seen.
    pub(crate) fn push(
        &mut self,
        frame: &Bytes,
        mut observe: impl FnMut(Name, &[u8]) -> Fate,
    ) -> Split {
        if self.over {
            return Split::default();
        }
        if self.muted {
            let Some(end) = memchr2(b'\n', b'\r', frame) else {
                return Split::default();
            };
            self.muted = false;
            return self.push_rest(&frame.slice(end..), &mut observe);
        }
        self.push_rest(frame, &mut observe)
    }

    /// Takes a frame, or what is left of one.
    fn push_rest(&mut self, frame: &Bytes, observe: &mut impl FnMut(Name, &[u8]) -> Fate) -> Split {
        if self.pending.is_empty() {
            let read = self.event.advance(frame, observe);
            if read.complete < frame.len() {
                self.pending.extend_from_slice(&frame[read.complete..]);
            }
            let complete = frame.slice(..read.complete);
            return self.forward(read, complete);
        }
        self.pending.extend_from_slice(frame);
        let read = self.event.advance(&self.pending, observe);
        let complete = self.pending.split_to(read.complete).freeze();
        self.forward(read, complete)
    }

    /// Ends the stream: an event without its closing blank line is shown to `observe` and returned.
    pub(crate) fn finish(&mut self, mut observe: impl FnMut(Name, &[u8]) -> Fate) -> Split {
        let rest = self.pending.split().freeze();
        let mut event = std::mem::take(&mut self.event);
        // Whatever is said after the end still begins in the middle of what was forwarded.
        self.event.cut = event.cut;
        event.end_of_line(&rest, rest.len());
        let mut read = Read::default();
        let is_long = event.cut != Cut::Nowhere;
        let fate = event.judge(&rest, &mut observe);
        self.event.heard = event.heard;
        read.take(0..rest.len(), fate, event.asides, is_long);
        read.split(rest)
    }

    /// Returns whether the client is in the middle of an event.
    pub(crate) fn torn(&self) -> bool {
        self.event.cut != Cut::Nowhere
    }

    /// Returns what events say, as far as they have come, that are too long to be held. Short strings of them are in
    /// what is observed, too.
    pub(crate) fn heard(&self) -> Text {
        let abridged = self.event.abridged.as_ref();
        let coming = abridged.map(|abridged| abridged.heard().text_so_far());
        self.event.heard.plus(coming.unwrap_or_default())
    }

    /// Returns whether the last event has come.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Returns whether an event's data are being read that are too long to be held.
    pub(crate) fn is_in_long_data(&self) -> bool {
        self.event.cut == Cut::InLine
    }

    /// Adds to the complete events the one that stopped the reading, of this length, or else what is
    /// too long to be held.
    fn forward(&mut self, read: Read, complete: Bytes) -> Split {
        let stopped_by = read.stopped_by;
        self.over = read.last;
        let mut split = read.split(complete);
        if let Some(length) = stopped_by {
            split.stopped_by = Some(self.pending.split_to(length).freeze());
            self.pending.clear();
            self.event.forget();
        } else if self.over {
            self.pending.clear();
            self.event.forget();
        } else if self.pending.len() > self.longest {
            self.muted = self.event.mute(&mut self.pending, self.longest / 2);
            if self.pending.len() > self.longest {
                self.relieve(&mut split);
            }
        }
        split
    }

    /// Adds to the complete events what cannot be held: all but a line that may still have no data.
    fn relieve(&mut self, split: &mut Split) {
        let before = split.complete.len();
        let Skipped {
            length,
            open,
            asides,
        } = self.event.skip(&self.pending);
        let asides = asides.into_iter();
        let asides = asides.map(|line| line.start + before..line.end + before);
        split.unclean.extend(asides);
        let skipped = before..before + length;
        if self.event.name == Name::Error {
            split.unclean.push(skipped.clone());
        }
        split.long.push(skipped);
        split.open = Some(open);
        let skipped = self.pending.split_to(length).freeze();
        split.complete = if before == 0 {
            skipped
        } else {
            [std::mem::take(&mut split.complete), skipped]
                .concat()
                .into()
        };
    }
}

impl Event {
    /// Reads the lines of `bytes` from where the last call ended.
    fn advance(&mut self, bytes: &[u8], observe: &mut impl FnMut(Name, &[u8]) -> Fate) -> Read {
        let mut read = Read::default();
        while let Some(end) = self.next_line(bytes) {
            if self.end_of_line(bytes, end) {
                continue;
            }
            let asides = std::mem::take(&mut self.asides);
            let is_long = self.cut != Cut::Nowhere;
            let fate = self.judge(bytes, observe);
            if fate == Some(Fate::Stop) {
                read.torn = is_long;
                read.stopped_by = Some(self.line - read.complete);
                break;
            }
            read.take(read.complete..self.line, fate, asides, is_long);
            if fate == Some(Fate::Last) {
                read.last = true;
                break;
            }
        }
        self.rebase(read.complete);
        read
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
        if self.cut == Cut::InLine {
            self.cut = Cut::Before;
            self.abridge(line);
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
        } else {
            if !is_field(line) || std::str::from_utf8(line).is_err() {
                self.name = Name::Garbage;
            } else if is_error_name(line) && self.name == Name::Other {
                self.name = Name::Error;
            }
            match self.asides.last_mut() {
                // Nothing but the end of a line is between them: many short lines are one part.
                Some(aside) if start <= aside.end + 2 => aside.end = end,
                _ => self.asides.push(start..end),
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

    /// Shows the event to the observer, where it has any data; returns what becomes of it.
    fn judge(
        &mut self,
        bytes: &[u8],
        observe: &mut impl FnMut(Name, &[u8]) -> Fate,
    ) -> Option<Fate> {
        let data = std::mem::take(&mut self.data);
        let name = std::mem::take(&mut self.name);
        if name == Name::Garbage {
            (self.cut, self.abridged) = (Cut::Nowhere, None);
            return Some(observe(name, b""));
        }
        if std::mem::take(&mut self.cut) != Cut::Nowhere {
            let abridged = self.abridged.take()?;
            self.heard = self.heard.plus(abridged.heard().text());
            let abridged = match abridged.finish() {
                Ok(copy) => copy?,
                // No object, and so nothing that anybody can read.
                Err(NotWhole) => Vec::new(),
            };
            // Part of it has been forwarded, so the rest must follow.
            return Some(match observe(name, &abridged) {
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
        Some(observe(name, &data))
    }

    fn abridge(&mut self, data: &[u8]) {
        let begin = || Box::new(Abridged::of_event());
        self.abridged.get_or_insert_with(begin).push(data);
    }

    /// Forgets all but what has been said.
    fn forget(&mut self) {
        *self = Self {
            heard: self.heard,
            ..Self::default()
        };
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
        for line in self.data.iter_mut().chain(&mut self.asides) {
            *line = line.start - base..line.end - base;
        }
    }

    /// Makes a line being read an empty comment, where it has no data and is too long to be held.
    fn mute(&mut self, pending: &mut BytesMut, longest: usize) -> bool {
        let line = pending.get(self.line..).unwrap_or_default();
        if line.len() <= longest || self.is_data(line) {
            return false;
        }
        if !is_field(self.without_mark(line)) {
            self.name = Name::Garbage;
        }
        pending.truncate(self.line);
        pending.extend_from_slice(b":");
        self.searched = pending.len();
        true
    }

    /// Forgets the event's bytes, which are forwarded, but for a line that may have no data; only the
    /// event's end is still looked for.
    fn skip(&mut self, bytes: &[u8]) -> Skipped {
        for line in std::mem::take(&mut self.data) {
            self.abridge_line(&bytes[line]);
        }
        let line = &bytes[self.line..];
        let (mut length, mut open) = (self.line, 0);
        if self.is_data(line) {
            (length, open) = (bytes.len(), line.len());
            match data_of(self.without_mark(line)) {
                Some(value) if self.cut != Cut::InLine => self.abridge_line(value),
                _ => self.abridge(line),
            }
            self.cut = Cut::InLine;
        } else {
            self.cut = Cut::Before;
        }
        self.searched -= length;
        self.line = 0;
        Skipped {
            length,
            open,
            asides: std::mem::take(&mut self.asides),
        }
    }

    /// Returns whether a line being read is known to have data.
    fn is_data(&self, line: &[u8]) -> bool {
        self.cut == Cut::InLine || data_of(self.without_mark(line)).is_some()
    }
}

/// Returns the value of a line, or the beginning of one, that has data.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data:")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Returns whether a line, or the beginning of a long one, is a comment or a field, known or not.
fn is_field(line: &[u8]) -> bool {
    let end = line.iter().position(|&byte| byte == b':');
    let name = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
    let is_of_name = |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.iter().all(is_of_name)
}

/// Returns whether a line gives its event the name of errors.
fn is_error_name(line: &[u8]) -> bool {
    let name = line.strip_prefix(b"event:");
    name.is_some_and(|name| name.trim_ascii() == b"error")
}

#[cfg(test)]
mod tests;
