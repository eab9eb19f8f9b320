//! What telemetry loses: lines, rows and spans that could not be written. Traffic never waits for them.
//!
//! Each output has one [`Loss`], which counts and knows whether it loses now. One task looks at all of
//! them: an operator reads one warning when an output begins to lose, and one with the sum when it
//! works again; where it comes and goes, after a minute of quiet. Whoever loses does not log it itself: its words might be the next to be lost. Of outputs of the
//! log itself stderr is told as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, io};

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::queue::Queue;

/// How often the task looks.
const PERIOD: Duration = Duration::from_secs(1);
/// In how many looks an outage has come back soon: it is one with that before, and over after as many without loss.
const SOON: u32 = 60;

/// What one output has lost. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Loss(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    output: &'static str,
    count: AtomicU64,
    /// How much of it operators know of.
    told: AtomicU64,
    losing: AtomicBool,
    cause: Mutex<Option<Box<str>>>,
}

impl Loss {
    /// Begins with nothing lost; `output` is a label and a word for people.
    pub(crate) fn of(output: &'static str) -> Self {
        Self(Arc::new(Inner {
            output,
            count: AtomicU64::new(0),
            told: AtomicU64::new(0),
            losing: AtomicBool::new(false),
            cause: Mutex::default(),
        }))
    }

    /// Returns which output it is.
    pub(crate) fn output(&self) -> &'static str {
        self.0.output
    }

    /// Returns how much has been lost.
    pub(crate) fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Returns why the last outage began.
    pub(crate) fn cause(&self) -> Option<Box<str>> {
        self.0.cause.lock().clone()
    }

    /// Counts what is lost.
    pub(crate) fn lose(&self, count: u64, cause: impl fmt::Display) {
        // The cause of an outage is its first.
        if !self.0.losing.swap(true, Ordering::Relaxed) {
            *self.0.cause.lock() = Some(cause.to_string().into());
        }
        self.0.count.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns how much has been lost that operators have not been told of; now they are.
    pub(super) fn tell(&self) -> u64 {
        let count = self.count();
        count - self.0.told.swap(count, Ordering::Relaxed)
    }

    /// Notes that the output works.
    pub(crate) fn works(&self) {
        if self.0.losing.load(Ordering::Relaxed) {
            self.0.losing.store(false, Ordering::Relaxed);
        }
    }
}

/// What operators have been told of one loss.
#[derive(Debug)]
struct Told {
    loss: Loss,
    /// They know that it goes on.
    losing: bool,
    /// How much was lost when it was looked at last.
    seen: u64,
    /// How often it has been looked at since without a loss.
    calm: u32,
    /// After so many looks it is over: at once, unless it has come back soon.
    patience: u32,
}

/// What is to be said of a loss.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Begun,
    Ended(u64),
}

impl Told {
    fn of(loss: Loss) -> Self {
        Self {
            loss,
            losing: false,
            seen: 0,
            calm: SOON,
            patience: 0,
        }
    }

    fn news(&mut self) -> Option<News> {
        let losing = self.loss.0.losing.load(Ordering::Relaxed);
        let count = self.loss.count();
        if losing || count != self.seen {
            self.seen = count;
            let calm = std::mem::take(&mut self.calm);
            if !self.losing {
                self.losing = true;
                self.patience = if calm < SOON { SOON } else { 0 };
                // One that is over by now is told of in one line, the first time.
                if losing || self.patience > 0 {
                    return Some(News::Begun);
                }
            }
        } else {
            self.calm = self.calm.saturating_add(1);
        }
        let is_over = self.losing && !losing && self.calm >= self.patience;
        is_over.then(|| {
            self.losing = false;
            News::Ended(self.loss.tell())
        })
    }
}

/// Tells stderr, which may be as full or as slow as what is told of: nobody waits for it.
#[derive(Debug, Default)]
pub(super) struct LastResort(Option<Queue>);

impl LastResort {
    /// Says that an output has begun to lose lines.
    fn tell(&mut self, output: &str, cause: Option<&str>) {
        let cause = cause.unwrap_or("unknown");
        self.say(&format!("the log cannot be written to `{output}`: {cause}"));
    }

    /// Says how many lines an output has lost, where the process ends before it works again.
    pub(super) fn tell_at_the_end(&mut self, loss: &Loss, lost: u64) {
        let (output, cause) = (loss.output(), loss.cause());
        let cause = cause.as_deref().unwrap_or("unknown");
        self.say(&format!(
            "{lost} lines of the log are not written to `{output}`: {cause}"
        ));
    }

    fn say(&mut self, text: &str) {
        if self.0.is_none() {
            self.0 = Queue::start(Loss::of("stderr"), io::stderr()).ok();
        }
        if let Some(stderr) = &self.0 {
            stderr.put(format!("berry-api: {text}\n").as_bytes());
        }
    }

    /// Waits until it is told, but no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        if let Some(stderr) = &self.0 {
            stderr.flush(patience);
        }
    }
}

/// Warns of losses until `stopping`.
pub(crate) async fn warn_of(losses: Vec<Loss>, stopping: CancellationToken) {
    let mut told: Vec<_> = losses.into_iter().map(Told::of).collect();
    let mut last_resort = LastResort::default();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        for told in &mut told {
            let news = told.news();
            let output = told.loss.output();
            match news {
                Some(News::Begun) => {
                    let cause = told.loss.cause();
                    if super::LOG_OUTPUTS.contains(&output) {
                        last_resort.tell(output, cause.as_deref());
                    }
                    warn!(
                        output,
                        cause = cause.as_deref(),
                        "telemetry cannot be written"
                    );
                }
                Some(News::Ended(lost)) => warn!(output, lost, "telemetry is written again"),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_of_when_it_begins_and_when_it_ends() {
        let loss = Loss::of("test");
        let mut told = Told::of(loss.clone());
        assert_eq!(told.news(), None);

        loss.lose(2, "the first cause");
        loss.lose(1, "another");
        assert_eq!(told.news(), Some(News::Begun));
        loss.lose(4, "another");
        assert_eq!(told.news(), None);
        loss.works();

        assert_eq!(told.news(), Some(News::Ended(7)));
        assert_eq!(told.news(), None);
        assert_eq!(loss.0.cause.lock().as_deref(), Some("the first cause"));
    }

    #[test]
    fn an_outage_that_nobody_saw_is_told_of_afterwards() {
        let loss = Loss::of("test");
        let mut told = Told::of(loss.clone());

        loss.lose(2, "a short one");
        loss.works();

        assert_eq!(told.news(), Some(News::Ended(2)));
        assert_eq!(loss.count(), 2);
    }

    #[test]
    fn an_outage_that_comes_and_goes_is_one() {
        let loss = Loss::of("test");
        let mut told = Told::of(loss.clone());
        loss.lose(1, "a cause");
        let mut news = vec![told.news()];
        for _ in 0..10 {
            loss.works();
            news.push(told.news());
            loss.lose(2, "a cause");
            news.push(told.news());
            loss.lose(1, "between two looks");
            loss.works();
            news.push(told.news());
        }
        for _ in 0..=SOON {
            news.push(told.news());
        }
        loss.lose(5, "much later");
        news.push(told.news());

        let news: Vec<_> = news.into_iter().flatten().collect();
        let expected = [
            News::Begun,
            News::Ended(1),
            News::Begun,
            News::Ended(30),
            News::Begun,
        ];
        assert_eq!(news, expected);
    }
}
