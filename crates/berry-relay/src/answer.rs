//! An upstream's answer on its way to the client: the upstream half of the body.
//!
//! It owns the lease, the tap and the idle clock. Until content has come ([`Answer::read_content`])
//! everything is held, so that another endpoint can still answer; afterwards each chunk goes on as
//! it comes. When the body ends, breaks, or is dropped because the client left, the lease is
//! finished: the one record of the attempt.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use berry_loadbalance::{FailureKind, Fault, Lease, Outcome};
use bytes::Bytes;
use tokio::time::timeout;

use crate::abridge::Abridged;
use crate::beginning::Beginning;
use crate::classify::Failure;
use crate::pins::Pinning;
use crate::quiet::Quiet;
use crate::source::Source;
use crate::sse::Splitter;
use crate::tap::{Grammar, StreamFailure, Tap, Unwanted, Usage};
use crate::upstream::{Cleaner, Scrub};

/// The most that is held of a stream before its content.
const HELD_EVENTS: usize = 64 * 1024;
/// The most that is held of a whole answer; beyond it the head goes out.
const HELD_WHOLE: usize = 1024 * 1024;

/// Why an answer broke off after content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's answer broke off ({kind})")]
pub struct Break {
    /// The class of the failure.
    pub kind: FailureKind,
    /// The client has been sent the upstream's own error event.
    pub told: bool,
    /// The client is in the middle of an event, which must be ended before anything else is said.
    pub torn: bool,
}

/// What the bytes are.
#[derive(Debug)]
enum Shape {
    /// Server-sent events.
    Events(Splitter),
    /// One object; once it is too long to be held, a copy of what is to be known of it.
    Whole(Option<Box<Abridged>>),
    /// Sound, or text: the first of it is content, unless it looks like something else.
    Bytes,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Answer {
    upstream: Option<Source>,
    shape: Shape,
    tap: Tap,
    /// What reports an error passes through it.
    cleaner: Cleaner,
    idle: Quiet,
    /// The silence that is allowed from the first content on.
    idle_within: Option<Duration>,
    held: VecDeque<Bytes>,
    held_bytes: usize,
    /// How the body ended, where that is to be said after what is held.
    ending: Option<Break>,
    lease: Option<Lease>,
    /// What is to be remembered of a response as soon as its id is known.
    pinning: Option<Pinning>,
}

impl Answer {
    /// Begins to read a stream of events. `idle` bounds silence, from the first content on.
    pub(crate) fn events(
        upstream: Source,
        tap: Tap,
        scrub: &Arc<Scrub>,
        idle: Option<Duration>,
    ) -> Self {
        let shape = Shape::Events(Splitter::default());
        Self::new(upstream, shape, tap, scrub, idle)
    }

    /// Bounds silence before the first content as well.
    pub(crate) fn silent_before_content(mut self, before: Option<Duration>) -> Self {
        self.idle = Quiet::new(before);
        self
    }

    /// Begins to read a whole answer. `idle` bounds silence.
    pub(crate) fn whole(
        upstream: Source,
        tap: Tap,
        scrub: &Arc<Scrub>,
        idle: Option<Duration>,
    ) -> Self {
        Self::new(upstream, Shape::Whole(None), tap, scrub, idle)
    }

    /// Begins to read an answer that is no JSON. `idle` bounds silence.
    pub(crate) fn bytes(upstream: Source, scrub: &Arc<Scrub>, idle: Option<Duration>) -> Self {
        let tap = Tap::new(Grammar::Bytes, Unwanted::default());
        Self::new(upstream, Shape::Bytes, tap, scrub, idle)
    }

    fn new(
        upstream: Source,
        shape: Shape,
        tap: Tap,
        scrub: &Arc<Scrub>,
        idle: Option<Duration>,
    ) -> Self {
        Self {
            upstream: Some(upstream),
            shape,
            tap,
            cleaner: Cleaner::new(scrub),
            idle: Quiet::new(idle),
            idle_within: idle,
            held: VecDeque::new(),
            held_bytes: 0,
            ending: None,
            lease: None,
            pinning: None,
        }
    }

    /// Reads until the client may be answered: a stream to its first content within `limit`, a
    /// whole answer to its end. From then on no other endpoint can answer.
    pub(crate) async fn read_content(&mut self, limit: Option<Duration>) -> Result<(), Failure> {
        let reading = poll_fn(|cx| self.poll_content(cx));
        let read = match limit {
            Some(limit) => timeout(limit, reading)
                .await
                .unwrap_or(Err(FailureKind::Timeout)),
            None => reading.await,
        };
        read.map_err(|kind| Failure::new(kind, self.describe(kind)))
    }

    /// Takes the lease of the attempt whose content has come: from here the answer records how the
    /// use ends.
    pub(crate) fn take_over(&mut self, mut lease: Lease) {
        lease.answered();
        self.lease = Some(lease);
        self.idle = Quiet::new(self.idle_within);
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FailureKind>> {
        loop {
            let enough = match self.shape {
                Shape::Events(_) => self.tap.content() || self.held_bytes > HELD_EVENTS,
                Shape::Whole(_) => self.held_bytes > HELD_WHOLE && !self.is_all_here(),
                Shape::Bytes => match Beginning::of(&self.held) {
                    Beginning::Unknown => false,
                    Beginning::Bytes => true,
                    Beginning::Object => {
                        self.shape = Shape::Whole(None);
                        continue;
                    }
                    Beginning::Page => {
                        self.tap.observe_page();
                        return Poll::Ready(Err(FailureKind::Protocol));
                    }
                },
            };
            if enough {
                self.begin_to_forward();
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_upstream(cx)) {
                Some(Ok(chunk)) => {
                    self.held_bytes += chunk.len();
                    self.held.push_back(chunk);
                }
                Some(Err(broken)) if self.tap.content() => {
                    self.ending = Some(broken);
                    return Poll::Ready(Ok(()));
                }
                Some(Err(broken)) => return Poll::Ready(Err(broken.kind)),
                None if matches!(self.shape, Shape::Whole(_)) => {
                    return Poll::Ready(self.check_whole());
                }
                None if matches!(self.shape, Shape::Bytes) && self.held_bytes > 0 => {
                    return Poll::Ready(Ok(()));
                }
                None => return Poll::Ready(Err(FailureKind::Protocol)),
            }
        }
    }

    /// Returns whether nothing is left to be read, because it had to be translated as a whole.
    fn is_all_here(&self) -> bool {
        self.upstream.as_ref().is_none_or(Source::has_ended)
    }

    /// A whole answer that is not held to its end is watched from here on.
    fn begin_to_forward(&mut self) {
        if let Shape::Whole(abridged) = &mut self.shape {
            let abridged = abridged.get_or_insert_default();
            for chunk in &mut self.held {
                abridged.push(chunk);
                *chunk = self.cleaner.pass_part(std::mem::take(chunk));
            }
            self.held.retain(|chunk| !chunk.is_empty());
        }
    }

    /// Checks a whole answer that is held to its end, and joins it.
    fn check_whole(&mut self) -> Result<(), FailureKind> {
        if self.held.len() > 1 {
            let mut joined = Vec::with_capacity(self.held_bytes);
            for chunk in self.held.drain(..) {
                joined.extend_from_slice(&chunk);
            }
            self.held.push_back(joined.into());
        }
        self.tap
            .observe_whole(self.held.front().map_or(&[], |body| body));
        if self.tap.failure().is_some() {
            return Err(FailureKind::Protocol);
        }
        if self.tap.reports_error()
            && let Some(body) = self.held.front_mut()
        {
            *body = self.cleaner.clean(std::mem::take(body));
        }
        Ok(())
    }

    /// Returns the answer's bytes where all of them are here.
    pub fn complete(&mut self) -> Option<Bytes> {
        let done = self.upstream.is_none() && matches!(self.shape, Shape::Whole(None));
        if !done || self.held.len() != 1 {
            return None;
        }
        self.finish(Outcome::Success);
        self.held.pop_front()
    }

    /// Returns whether the answer is a stream of events.
    pub fn is_events(&self) -> bool {
        matches!(self.shape, Shape::Events(_))
    }

    /// Returns whether the client is in the middle of an event, where nothing may be put in between.
    pub fn is_torn(&self) -> bool {
        matches!(&self.shape, Shape::Events(splitter) if splitter.torn())
    }

    /// Returns whether nothing is to come any more, although the body may still be open.
    pub fn is_done(&self) -> bool {
        self.tap.done() && self.held.is_empty()
    }

    /// Returns the tokens the upstream has reported so far.
    pub fn usage(&self) -> Option<Usage> {
        let upstream = self.upstream.as_ref();
        self.tap.usage().or_else(|| upstream?.usage())
    }

    /// Returns about how many tokens have been written so far, where the upstream has not said.
    pub fn written(&self) -> u64 {
        self.tap.written()
    }

    /// Has the response remembered as soon as its id is known.
    pub(crate) fn pin(&mut self, pinning: Pinning) {
        self.pinning = Some(pinning);
        self.note_response();
    }

    fn note_response(&mut self) {
        if let Some(id) = self.tap.response()
            && let Some(pinning) = self.pinning.take()
        {
            pinning.put(id);
        }
    }

    /// Returns the next chunk for the client; none at a whole end. After an error there is nothing.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Break>>> {
        if let Some(chunk) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        let chunk = match self.ending.take() {
            Some(broken) => Some(Err(broken)),
            None if self.lease.is_none() => None,
            None => ready!(self.poll_upstream(cx)),
        };
        match &chunk {
            Some(Ok(_)) => {}
            Some(Err(broken)) => self.finish(Outcome::Failure(Fault::new(broken.kind))),
            None => self.finish(Outcome::Success),
        }
        Poll::Ready(chunk)
    }

    /// Leaves the upstream; what it had counted is kept. Returns whether it was there.
    fn leave(&mut self) -> bool {
        let left = self.upstream.take();
        if let Some(upstream) = &left {
            self.tap.note_count(upstream.usage());
        }
        left.is_some()
    }

    fn finish(&mut self, outcome: Outcome) {
        self.leave();
        if let Some(mut lease) = self.lease.take() {
            if let Some(usage) = self.tap.usage() {
                lease.charge(usage.into());
            }
            lease.finish(outcome);
        }
    }

    /// Reads from the upstream what may go to the client.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Break>>> {
        loop {
            let Some(upstream) = &mut self.upstream else {
                return Poll::Ready(None);
            };
            let frame = match upstream.poll(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    ready!(self.idle.poll(cx));
                    return self.end(FailureKind::Timeout);
                }
            };
            self.idle.broken();
            let chunk = match frame {
                Some(Ok(data)) => self.pass(data),
                Some(Err(_)) => return self.end(FailureKind::Protocol),
                None => {
                    self.leave();
                    let rest = self.pass_rest();
                    if rest.is_empty() {
                        return self.end(FailureKind::Protocol);
                    }
                    rest
                }
            };
            if !chunk.is_empty() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if let Some(broken) = self.ending.take() {
                return Poll::Ready(Some(Err(broken)));
            }
        }
    }

    /// Shows the bytes to the tap and returns what may go on of them.
    fn pass(&mut self, data: Bytes) -> Bytes {
        let splitter = match &mut self.shape {
            Shape::Events(splitter) => splitter,
            Shape::Whole(Some(abridged)) => {
                abridged.push(&data);
                return self.cleaner.pass_part(data);
            }
            Shape::Whole(None) | Shape::Bytes => return data,
        };
        let mut split = splitter.push(&data, |event| self.tap.observe(event));
        let Some(stopped_by) = split.stopped_by.take() else {
            self.note_response();
            return self.cleaner.pass(split);
        };
        self.leave();
        let told = self.tap.failure() == Some(StreamFailure::Error);
        self.ending = Some(Break {
            kind: FailureKind::Protocol,
            told,
            torn: false,
        });
        if told {
            split.append_unclean(&stopped_by);
            self.note_response();
        }
        self.cleaner.pass(split)
    }

    /// At the upstream's end: returns a last event that was not closed, if the answer ends with it.
    fn pass_rest(&mut self) -> Bytes {
        let rest = match &mut self.shape {
            Shape::Events(splitter) => {
                let split = splitter.finish(|event| self.tap.observe(event));
                self.cleaner.pass(split)
            }
            Shape::Whole(abridged) => {
                if let Some(copy) = abridged.take().and_then(|abridged| abridged.finish()) {
                    self.tap.observe_forwarded(&copy);
                }
                self.note_response();
                return self.cleaner.pass_rest();
            }
            Shape::Bytes => Bytes::new(),
        };
        self.note_response();
        if rest.is_empty() {
            return rest;
        }
        if self.tap.finished() && self.tap.failure().is_none() {
            rest
        } else {
            Bytes::new()
        }
    }

    /// Ends the body: well where the answer had come to its end, else as broken. At the upstream's
    /// own end every choice must have its finish reason; a body that breaks or stalls must have come
    /// as far as `[DONE]`, or more was to come.
    fn end(&mut self, kind: FailureKind) -> Poll<Option<Result<Bytes, Break>>> {
        let at_end = !self.leave();
        let finished = match &self.shape {
            Shape::Events(_) if self.tap.failure().is_some() => false,
            Shape::Events(_) if at_end => self.tap.finished(),
            Shape::Events(_) => self.tap.done(),
            Shape::Whole(_) | Shape::Bytes => at_end,
        };
        if finished {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Err(Break {
            kind,
            told: false,
            torn: self.is_torn(),
        })))
    }

    fn describe(&self, kind: FailureKind) -> &'static str {
        match (self.tap.failure(), kind) {
            (Some(StreamFailure::Error), _) => "an error object in a 200",
            (Some(StreamFailure::Garbage), _) => "not an answer in this protocol",
            (None, FailureKind::Timeout) => "no content in time",
            (None, _) => "the answer ended before its content",
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(broken) = self.ending.take() {
            self.finish(Outcome::Failure(Fault::new(broken.kind)));
        } else if self.tap.finished() {
            // A client may stop reading at `[DONE]`, before the upstream's own end.
            self.finish(Outcome::Success);
        }
    }
}
