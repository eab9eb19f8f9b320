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

use crate::abridge::NotWhole;
use crate::beginning::Beginning;
use crate::broken::{Break, Unanswered, unanswered};
use crate::classify::Failure;
use crate::patience::Patience;
use crate::pins::Pinning;
use crate::shape::Shape;
use crate::source::Source;
use crate::sse::{MAX_EVENT, Splitter};
use crate::tap::{Grammar, StreamFailure, Tap, Unwanted, Usage};
use crate::until::within;
use crate::upstream::{Cleaner, Scrub};

/// The most that is held of a stream before its content.
const HELD_EVENTS: usize = 64 * 1024;
/// What of a body without events is a sign of life: byte by byte it could be sent for years.
const LIFE: usize = 4 * 1024;
/// The most that is held of a whole answer; beyond it the head goes out.
const HELD_WHOLE: usize = 1024 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub struct Answer {
    upstream: Option<Source>,
    shape: Shape,
    tap: Tap,
    /// What reports an error passes through it.
    cleaner: Cleaner,
    patience: Patience,
    /// What has come before any event.
    noise: usize,
    held: VecDeque<Bytes>,
    held_bytes: usize,
    /// How the body ended, where that is to be said after what is held.
    ending: Option<Break>,
    lease: Option<Lease>,
    /// What is to be remembered of a response as soon as its id is known.
    pinning: Option<Pinning>,
}

impl Answer {
    /// Begins to read a stream of events. What comes before content may be pings without an end: the
    /// wait for that is another than `patience`.
    pub(crate) fn events(
        upstream: Source,
        tap: Tap,
        scrub: &Arc<Scrub>,
        patience: Patience,
    ) -> Self {
        let shape = Shape::Events(Splitter::default());
        Self::new(upstream, shape, tap, scrub, patience)
    }

    /// Begins to read a whole answer. `idle` bounds silence.
    pub(crate) fn whole(
        upstream: Source,
        tap: Tap,
        scrub: &Arc<Scrub>,
        idle: Option<Duration>,
    ) -> Self {
        let (upstream, patience) = (upstream.gathering(HELD_WHOLE), Patience::new(idle, idle));
        Self::new(upstream, Shape::Whole(None), tap, scrub, patience)
    }

    /// Begins to read an answer that is no JSON. `idle` bounds silence.
    pub(crate) fn bytes(upstream: Source, scrub: &Arc<Scrub>, idle: Option<Duration>) -> Self {
        let tap = Tap::new(Grammar::Bytes, Unwanted::default());
        let patience = Patience::new(idle, idle);
        Self::new(upstream, Shape::Bytes, tap, scrub, patience)
    }

    fn new(
        upstream: Source,
        shape: Shape,
        tap: Tap,
        scrub: &Arc<Scrub>,
        patience: Patience,
    ) -> Self {
        Self {
            upstream: Some(upstream),
            shape,
            tap,
            cleaner: Cleaner::new(scrub),
            patience,
            noise: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            ending: None,
            lease: None,
            pinning: None,
        }
    }

    /// Reads until the client may be answered, within `limit`: a stream to its first content, a whole
    /// answer to its end. Then no other can. `counted` is what it cost by then, also where that is given up.
    pub(crate) async fn read_content(
        &mut self,
        limit: Option<Duration>,
        counted: &mut Option<Usage>,
    ) -> Result<(), Failure> {
        let reading = poll_fn(|cx| {
            let polled = self.poll_content(cx);
            *counted = self.usage();
            polled
        });
        let read = within(limit, reading)
            .await
            .unwrap_or(Err((FailureKind::Timeout, "no content in time")));
        read.map_err(|(kind, cause)| Failure::new(kind, cause))
    }

    /// Takes the lease of the attempt whose content has come: from here the answer records how the
    /// use ends.
    pub(crate) fn take_over(&mut self, mut lease: Lease) {
        // One that is complete is finished at once.
        if !self.is_complete() {
            lease.answered();
            self.patience.forward();
        }
        self.lease = Some(lease);
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unanswered>> {
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
                        self.tap.observe_garbage();
                        return Poll::Ready(Err(unanswered(FailureKind::Protocol, &self.tap)));
                    }
                },
            };
            if enough {
                return Poll::Ready(self.begin_to_forward());
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
                Some(Err(broken)) => return Poll::Ready(Err(unanswered(broken.kind, &self.tap))),
                None if matches!(self.shape, Shape::Whole(_)) => {
                    return Poll::Ready(self.check_whole());
                }
                None if matches!(self.shape, Shape::Bytes) && self.held_bytes > 0 => {
                    return Poll::Ready(Ok(()));
                }
                None => return Poll::Ready(Err(unanswered(FailureKind::Protocol, &self.tap))),
            }
        }
    }

    /// Returns whether nothing is left to be read, because it had to be translated as a whole.
    fn is_all_here(&self) -> bool {
        self.upstream.as_ref().is_none_or(Source::has_ended)
    }

    /// Judges what is not held to its content, or to its end, by what has come of it. A whole answer is
    /// watched from here on.
    fn begin_to_forward(&mut self) -> Result<(), Unanswered> {
        let sound = match &mut self.shape {
            Shape::Events(splitter) => {
                self.tap.content() || self.tap.spoken() || splitter.is_in_long_data()
            }
            Shape::Whole(abridged) => {
                let abridged = abridged.get_or_insert_default();
                for chunk in &mut self.held {
                    abridged.push(chunk);
                    *chunk = self.cleaner.pass_part(std::mem::take(chunk));
                }
                self.tap.hear(abridged.heard());
                self.held.retain(|chunk| !chunk.is_empty());
                !abridged.is_broken() || !self.tap.wants_object()
            }
            Shape::Bytes => true,
        };
        let garbage = "much that is no answer in this protocol";
        sound.then_some(()).ok_or((FailureKind::Protocol, garbage))
    }

    /// Checks a whole answer that is held to its end, and joins it.
    fn check_whole(&mut self) -> Result<(), Unanswered> {
        if self.held.len() > 1 {
            let joined = self.held.make_contiguous().concat();
            self.held.clear();
            self.held.push_back(joined.into());
        }
        self.tap
            .observe_whole(self.held.front().map_or(&[], |body| body));
        if self.tap.failure().is_some() {
            return Err(unanswered(FailureKind::Protocol, &self.tap));
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
        if !self.is_complete() {
            return None;
        }
        self.finish(Outcome::Success);
        self.held.pop_front()
    }

    fn is_complete(&self) -> bool {
        let is_whole = matches!(self.shape, Shape::Whole(None));
        self.upstream.is_none() && is_whole && self.held.len() == 1
    }

    /// Returns whether the answer is a stream of events.
    pub fn is_events(&self) -> bool {
        self.shape.splitter().is_some()
    }

    /// Returns whether the client is in the middle of an event, where nothing may be put in between.
    pub fn is_torn(&self) -> bool {
        self.shape.splitter().is_some_and(Splitter::torn)
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

    /// Returns whether the upstream has counted all of it, whatever becomes of the rest of its body.
    pub fn is_counted(&self) -> bool {
        self.tap.finished() && self.usage().is_some()
    }

    /// Returns about how many tokens have been written so far, where the upstream has not said.
    pub fn written(&self) -> u64 {
        let long = self.shape.splitter().map(Splitter::heard);
        self.tap.written(long.unwrap_or_default())
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
        let Some(upstream) = &self.upstream else {
            return false;
        };
        self.tap.note_count(upstream.usage());
        self.upstream = None;
        true
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
                    ready!(self.patience.poll(cx));
                    return self.end(FailureKind::Timeout);
                }
            };
            let chunk = match frame {
                Some(Ok(data)) if self.is_over() && !data.is_empty() => {
                    return self.end(FailureKind::Protocol);
                }
                Some(Ok(data)) => {
                    let (before, length) = (self.tap.passed(), data.len());
                    let chunk = self.pass(data);
                    let enough = if self.is_events() { MAX_EVENT } else { LIFE };
                    let sign = self.tap.passed().since(before);
                    if !self.patience.goes_on(length, sign, enough) {
                        return self.end(FailureKind::Timeout);
                    }
                    if self.is_noise(length) {
                        return self.end(FailureKind::Protocol);
                    }
                    chunk
                }
                Some(Err(_)) => return self.end(FailureKind::Protocol),
                None => {
                    self.leave();
                    let rest = self.pass_rest();
                    if rest.is_empty() && self.ending.is_none() {
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

    /// Returns whether so much has come that the first event must be among it, and was not.
    fn is_noise(&mut self, length: usize) -> bool {
        if !self.is_events() || self.lease.is_some() || self.tap.spoken() {
            return false;
        }
        self.noise += length;
        let is_in_data = self.shape.splitter().is_some_and(Splitter::is_in_long_data);
        self.noise > MAX_EVENT + HELD_EVENTS && !is_in_data
    }

    /// Returns whether nothing that comes may go on.
    fn is_over(&self) -> bool {
        self.shape.splitter().is_some_and(Splitter::is_over)
    }

    /// Shows the bytes to the tap and returns what may go on of them.
    fn pass(&mut self, data: Bytes) -> Bytes {
        let splitter = match &mut self.shape {
            Shape::Events(splitter) => splitter,
            Shape::Whole(Some(abridged)) => {
                abridged.push(&data);
                self.tap.hear(abridged.heard());
                if abridged.is_broken() && self.tap.wants_object() {
                    self.leave();
                    self.ending = Some(Break::GARBAGE);
                    return Bytes::new();
                }
                return self.cleaner.pass_part(data);
            }
            Shape::Whole(None) | Shape::Bytes => return data,
        };
        let mut split = splitter.push(&data, |name, data| self.tap.observe(name, data));
        if self.tap.done() {
            self.patience.linger();
        }
        let Some(stopped_by) = split.stopped_by.take() else {
            self.note_response();
            return self.cleaner.pass(split);
        };
        self.leave();
        let told = self.tap.failure() == Some(StreamFailure::Told);
        self.ending = Some(Break {
            told,
            torn: split.torn,
            ..Break::GARBAGE
        });
        if told {
            split.append_unclean(&stopped_by);
            self.note_response();
        }
        self.cleaner.pass(split)
    }

    /// At the upstream's end: returns a last event that was not closed, if the answer ends with it, and
    /// the sign of the end where only that is missing.
    fn pass_rest(&mut self) -> Bytes {
        let mut rest = match &mut self.shape {
            Shape::Events(splitter) => {
                let split = splitter.finish(|name, data| self.tap.observe(name, data));
                self.cleaner.pass(split)
            }
            Shape::Whole(abridged) => {
                match abridged.take().map(|abridged| abridged.finish()) {
                    Some(Ok(Some(copy))) => self.tap.observe_whole(&copy),
                    Some(Err(NotWhole)) if self.tap.wants_object() => self.tap.observe_garbage(),
                    Some(Ok(None) | Err(NotWhole)) | None => {}
                }
                self.note_response();
                if self.tap.failure().is_some() {
                    self.ending = Some(Break::GARBAGE);
                    return Bytes::new();
                }
                return self.cleaner.pass_rest();
            }
            Shape::Bytes => Bytes::new(),
        };
        self.note_response();
        if !rest.is_empty() && (!self.tap.finished() || self.tap.failure().is_some()) {
            rest = Bytes::new();
        }
        match self.tap.missing_end() {
            None => rest,
            Some(end) if rest.is_empty() => Bytes::from_static(end),
            Some(end) => [&rest, &b"\n\n"[..], end].concat().into(),
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
