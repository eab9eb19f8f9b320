//! Watches an answer pass, and says what it was.
//!
//! The tap always runs, on untouched bytes too: it decides when content has come (from then on no
//! other endpoint can answer), whether the answer reports an error, whether it ended as an answer
//! ends, and what it cost. It changes nothing.

mod choices;
mod failure;
mod heard;
mod parts;
mod text;
mod usage;
mod usual;

use crate::exchange::Operation;
use crate::patience::Sign;
use crate::sse::{Fate, Name};
use choices::{Choice, middle_of_first};
pub(crate) use failure::StreamFailure;
pub(crate) use heard::Heard;
use parts::Parts;
pub(crate) use parts::tells_of_error;
pub(crate) use text::Text;
pub use usage::Usage;
use usual::Usual;

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Grammar {
    /// Chunks with choices: chats and completions.
    #[default]
    Choices,
    /// Typed events, from `response.created` to `response.completed`.
    Responses,
    /// Something else: every event is content, and the end of the body its end.
    Other,
    /// What is stored: it has an id, and may well describe an error.
    Stored,
    /// Sound or text, of which only what looks like an object is ever watched: it may be an error, and
    /// need not be an object.
    Bytes,
}

impl Grammar {
    /// Returns what the answer to an operation is made of.
    pub(crate) fn of(operation: Operation) -> Self {
        match operation {
            Operation::ChatCompletions | Operation::Completions => Self::Choices,
            Operation::Responses => Self::Responses,
            _ => Self::Other,
        }
    }
}

/// Events that a client is not to see, because they came for our sake or mean nothing to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Unwanted {
    /// The chunk of usage at the end of a stream.
    pub(crate) usage: bool,
    /// Chunks in which no choice says anything, as Azure reports its filters: they break programs
    /// written for OpenAI, which look for the delta of the first choice.
    pub(crate) reports: bool,
}

/// A stream of so few events ends before it is worth it to have learnt from one.
const FEW: u64 = 4;

/// What has been seen of an answer so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tap {
    grammar: Grammar,
    unwanted: Unwanted,
    come: Come,
    /// Which choices have begun, and which of them have their finish reason: a bit each.
    begun: u64,
    ended: u64,
    /// `[DONE]` has come.
    done: bool,
    failure: Option<StreamFailure>,
    /// A whole answer tells of an error, and is an answer all the same.
    reports: bool,
    usage: Option<Usage>,
    passed: Passed,
    /// What they said.
    text: Text,
    /// The response's id, where the answer is one.
    response: Option<Box<str>>,
    /// An event in the middle of the first choice: most are like it.
    usual: Option<Box<Usual>>,
}

/// How many events have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Passed {
    events: u64,
    /// Those among them that had something for the client's user.
    said: u64,
}

impl Passed {
    /// Returns what has passed since.
    pub(crate) fn since(self, before: Self) -> Sign {
        match (self.events != before.events, self.said != before.said) {
            (_, true) => Sign::Content,
            (true, false) => Sign::Event,
            (false, false) => Sign::Nothing,
        }
    }
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Come {
    #[default]
    Nothing,
    /// An event of its grammar.
    Event,
    /// Text, reasoning, a tool call, a refusal, audio or a finish reason.
    Content,
}

impl Tap {
    /// Makes a tap for an answer of this kind.
    pub(crate) fn new(grammar: Grammar, unwanted: Unwanted) -> Self {
        Self {
            grammar,
            unwanted,
            ..Self::default()
        }
    }

    /// Takes one event's name and data, and says what becomes of it.
    pub(crate) fn observe(&mut self, name: Name, data: &[u8]) -> Fate {
        self.passed.events += 1;
        let text = self.text;
        if let Some(usual) = &self.usual
            && name == Name::Other
            && usual.is_like(data, &mut self.text)
        {
            self.passed.said += u64::from(self.text != text);
            return Fate::Pass;
        }
        if name == Name::Garbage || simdutf8::basic::from_utf8(data).is_err() {
            return self.fail(StreamFailure::Garbage);
        }
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Fate::Last;
        }
        let mut parts = Parts::default();
        if parts.scan(data).is_err() {
            return self.fail(match name {
                Name::Error => StreamFailure::Untold,
                Name::Other | Name::Garbage => StreamFailure::Garbage,
            });
        }
        if let Some(failure) = self.reported(name, &parts) {
            return self.fail(failure);
        }
        self.note_usage(&parts);
        if let Some(delta) = parts.delta.filter(|_| !parts.is_sound()) {
            self.text.add_piece(delta);
        }
        let fate = match self.grammar {
            Grammar::Choices => self.observe_choices(data, &parts),
            Grammar::Responses | Grammar::Stored => self.observe_typed(&parts),
            Grammar::Other | Grammar::Bytes => {
                self.come = Come::Content;
                self.passed.said += 1;
                Fate::Pass
            }
        };
        match fate {
            Fate::Pass if name == Name::Error || parts.tell_of_error(data) => Fate::Clean,
            fate => fate,
        }
    }

    /// Takes a whole answer, or the short copy of one that is too long to be held.
    pub(crate) fn observe_whole(&mut self, body: &[u8]) {
        let mut parts = Parts::default();
        let is_json = parts.scan(body).is_ok();
        if !is_json || !parts.is_ascii && simdutf8::basic::from_utf8(body).is_err() {
            if self.wants_object() {
                self.failure = Some(StreamFailure::Garbage);
            } else {
                (self.come, self.done) = (Come::Content, true);
            }
            return;
        }
        self.failure = match self.reported(Name::Other, &parts) {
            None if self.grammar != Grammar::Choices => None,
            // Who asked for choices looks at the first one.
            None if parts.choices.is_none_or(is_empty_list) => Some(StreamFailure::Garbage),
            None if parts.any_choice_failed() => Some(StreamFailure::Untold),
            reported => reported,
        };
        if self.failure.is_some() {
            return;
        }
        let of_itself = parts.error.is_some() || parts.has_stopped();
        self.reports = of_itself || parts.tell_of_error(body);
        self.come = Come::Content;
        self.done = true;
        self.note_usage(&parts);
        // Of a copy it has been heard before.
        if self.usage.is_none() && self.text == Text::default() {
            self.text.add_answer(body);
        }
        if self.grammar == Grammar::Responses {
            self.response = parts.id.and_then(text);
        }
    }

    /// Takes what a whole answer that is not held has said so far.
    pub(crate) fn hear(&mut self, heard: &Heard) {
        self.text = heard.text();
    }

    /// Takes note that what came is nothing of this kind: a web page, half an object.
    pub(crate) fn observe_garbage(&mut self) {
        self.failure = Some(StreamFailure::Garbage);
    }

    /// Returns whether a whole answer must be an object.
    pub(crate) fn wants_object(&self) -> bool {
        self.grammar != Grammar::Bytes
    }

    /// Returns how an event or an answer reports a failure. What is stored may tell of one.
    fn reported(&self, name: Name, parts: &Parts<'_>) -> Option<StreamFailure> {
        let tells_only =
            self.grammar == Grammar::Stored && (parts.id.is_some() || parts.error.is_none());
        if tells_only {
            return None;
        }
        failure::reported(self.grammar, name, parts)
    }

    /// Returns the id of the response that this is, where it is one.
    pub(crate) fn response(&self) -> Option<&str> {
        self.response.as_deref()
    }

    /// Returns whether anything of the protocol has come that was asked for.
    pub(crate) fn spoken(&self) -> bool {
        self.come != Come::Nothing
    }

    /// Returns what is missing of an answer that has come to its end: the sign of it that all clients
    /// wait for, where the finish reasons have come and that has not.
    pub(crate) fn missing_end(&self) -> Option<&'static [u8]> {
        let is_missing = self.grammar == Grammar::Choices && !self.done && self.failure.is_none();
        (is_missing && self.finished()).then_some(b"data: [DONE]\n\n")
    }

    /// Returns whether something for the client's user has come.
    pub(crate) fn content(&self) -> bool {
        self.come == Come::Content
    }

    /// Returns whether the answer may end here: every choice has ended, or `[DONE]` has come.
    pub(crate) fn finished(&self) -> bool {
        match self.grammar {
            Grammar::Choices => self.done || (self.begun != 0 && self.begun == self.ended),
            Grammar::Responses | Grammar::Bytes => self.done,
            Grammar::Other | Grammar::Stored => self.content(),
        }
    }

    /// Returns whether nothing is to come any more.
    pub(crate) fn done(&self) -> bool {
        self.done
    }

    /// Returns how the answer failed by its own events.
    pub(crate) fn failure(&self) -> Option<StreamFailure> {
        self.failure
    }

    /// Returns whether a whole answer has an error to report, whoever is to blame for it.
    pub(crate) fn reports_error(&self) -> bool {
        self.reports
    }

    /// Takes what the upstream had counted of an answer before it was translated. What the answer itself
    /// says comes later, and counts more.
    pub(crate) fn note_count(&mut self, usage: Option<Usage>) {
        self.usage = self.usage.or(usage);
    }

    /// Returns the tokens the upstream reported last. What is stored was paid for when it was made.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage.filter(|_| self.grammar != Grammar::Stored)
    }

    /// Returns how many events have come.
    pub(crate) fn passed(&self) -> Passed {
        self.passed
    }

    /// Returns about how many tokens have been written: by the length of the text, that of events too `long` to
    /// be held included, and at least one for each event.
    pub(crate) fn written(&self, long: Text) -> u64 {
        match self.grammar {
            Grammar::Stored => 0,
            _ => self.text.plus(long).tokens().max(self.passed.events),
        }
    }

    /// Takes what an event or an answer says that it has cost. Some upstreams send a running total with every
    /// chunk: the last one that counts anything counts. Nothing costs no tokens at all.
    fn note_usage(&mut self, parts: &Parts<'_>) {
        let Some(member) = parts.usage else { return };
        let counted = match self.grammar {
            Grammar::Other => Usage::read_input(member),
            _ => Usage::read(member),
        };
        let counts = |usage: &Usage| *usage != Usage::default();
        self.usage = counted.filter(counts).or(self.usage);
    }

    fn observe_choices(&mut self, event: &[u8], parts: &Parts<'_>) -> Fate {
        let Some(choices) = parts.choices else {
            // No chunk: whatever it says is not what was asked for.
            return Fate::Clean;
        };
        self.come = self.come.max(Come::Event);
        if self.content()
            && !self.unwanted.reports
            && let Some(middle) = middle_of_first(choices)
        {
            self.begun |= 1;
            let text = self.text;
            self.text.add_middle(middle);
            let says = self.text != text || Choice::any_says(choices);
            self.passed.said += u64::from(says);
            if self.passed.events > FEW && parts.usage.is_none() && !parts.tell_of_error(event) {
                self.usual.get_or_insert_default().learn(event);
            }
            return Fate::Pass;
        }
        self.text.add_strings(choices);
        let Ok(choices) = serde_json::from_slice::<Vec<Choice<'_>>>(choices) else {
            // Choices of a shape we do not know, or too long to be looked at, are the client's to
            // judge: the answer may end with them.
            self.come = Come::Content;
            self.passed.said += 1;
            (self.begun, self.ended) = (self.begun | 1, self.ended | 1);
            return Fate::Pass;
        };
        let unwanted = match parts.usage {
            Some(_) => self.unwanted.usage && choices.is_empty(),
            None => self.unwanted.reports && choices.iter().all(Choice::is_report),
        };
        if unwanted {
            return Fate::Drop;
        }
        if choices.iter().any(Choice::has_failed) {
            return self.fail(StreamFailure::Untold);
        }
        for choice in choices {
            let bit = 1_u64.checked_shl(choice.index).unwrap_or(1 << 63);
            self.begun |= bit;
            if choice.has_ended() {
                self.ended |= bit;
            }
            if choice.has_content() {
                self.come = Come::Content;
                self.passed.said += 1;
            }
        }
        Fate::Pass
    }

    fn observe_typed(&mut self, parts: &Parts<'_>) -> Fate {
        let kind = parts.kind.unwrap_or_default();
        let begins = matches!(
            kind,
            b"\"response.created\"" | b"\"response.queued\"" | b"\"response.in_progress\""
        );
        let ends = matches!(
            kind,
            b"\"response.completed\"" | b"\"response.incomplete\"" | b"\"response.failed\""
        );
        let fails = matches!(kind, b"\"error\"" | b"\"response.failed\"");
        let mut reports = fails;
        if (begins || ends)
            && let Some(response) = parts.response
        {
            let mut inner = Parts::default();
            if inner.scan(response).is_ok() {
                reports |= inner.has_stopped();
                self.note_usage(&inner);
                if self.response.is_none() {
                    self.response = inner.id.and_then(text);
                }
            }
        }
        if fails && self.grammar != Grammar::Stored {
            return self.fail(StreamFailure::Told);
        }
        let says = !begins && (parts.delta.is_some() || kind.starts_with(b"\"response."));
        self.passed.said += u64::from(says);
        let come = if begins { Come::Event } else { Come::Content };
        self.come = self.come.max(come);
        self.done = self.done || ends;
        if reports { Fate::Clean } else { Fate::Pass }
    }

    fn fail(&mut self, failure: StreamFailure) -> Fate {
        self.failure = Some(failure);
        Fate::Stop
    }
}

/// Returns whether a value is a list of nothing.
fn is_empty_list(value: &[u8]) -> bool {
    let inside = value.strip_prefix(b"[");
    inside.is_some_and(|inside| inside.trim_ascii() == b"]")
}

/// Reads a JSON string.
fn text(value: &[u8]) -> Option<Box<str>> {
    serde_json::from_slice(value).ok()
}

#[cfg(test)]
mod tests;
