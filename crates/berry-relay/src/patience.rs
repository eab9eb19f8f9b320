//! How long more of an answer is waited for, and what counts as more.
//!
//! Before content anything does, because that wait has an end that nothing puts off. Afterwards whoever
//! sends a byte now and then would be waited for for ever: pings, white space, an event that never
//! ends. So an event counts, or as many bytes as an event may have. Events that say nothing count for
//! a while only.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::quiet::Quiet;

/// How long a stream that has said all may keep its body open: an upstream that ends it in this time
/// keeps its connection.
pub(crate) const LINGER: Duration = Duration::from_millis(100);

/// What bytes have completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Nothing that is looked at.
    Nothing,
    /// An event.
    Event,
    /// An event with something for the client's user.
    Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Another endpoint can still answer.
    Held,
    /// The client gets what comes.
    Forwarded,
    /// All has been said.
    Over,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Patience {
    quiet: Quiet,
    /// The silence that is allowed from content on.
    limit: Option<Duration>,
    phase: Phase,
    /// What has come since the last sign of life.
    since: usize,
    /// How long events may say nothing, where that is bounded, and since when they do.
    dull: Option<Duration>,
    dull_since: Option<Instant>,
}

impl Patience {
    /// Begins to wait: within `held` until content, within `limit` from then on.
    pub(crate) fn new(held: Option<Duration>, limit: Option<Duration>) -> Self {
        Self {
            quiet: Quiet::new(held),
            limit,
            phase: Phase::Held,
            since: 0,
            dull: None,
            dull_since: None,
        }
    }

    /// Waits no longer than this for an event that says something.
    pub(crate) fn with_content_within(mut self, limit: Duration) -> Self {
        self.dull = Some(limit);
        self
    }

    /// Content has come.
    pub(crate) fn forward(&mut self) {
        if self.phase == Phase::Held {
            self.phase = Phase::Forwarded;
            self.quiet = Quiet::new(self.limit);
        }
    }

    /// All has been said, and only the end of the body is to come.
    pub(crate) fn linger(&mut self) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.quiet = Quiet::new(Some(LINGER));
        }
    }

    /// Takes note of so many bytes, and of what they have completed; so many count as an event. Returns
    /// whether the wait goes on.
    pub(crate) fn goes_on(&mut self, length: usize, sign: Sign, enough: usize) -> bool {
        self.since += length;
        let is_life = match self.phase {
            Phase::Held => true,
            Phase::Forwarded => sign != Sign::Nothing || self.since >= enough,
            Phase::Over => false,
        };
        if is_life {
            self.since = 0;
            self.quiet.broken();
        }
        (is_life || !self.quiet.has_lasted()) && !self.is_dull(sign)
    }

    /// Returns whether events have said nothing for too long. Where they do not come at all it is quiet.
    fn is_dull(&mut self, sign: Sign) -> bool {
        let Some(limit) = self.dull.filter(|_| self.phase == Phase::Forwarded) else {
            return false;
        };
        match sign {
            Sign::Nothing => false,
            Sign::Event => {
                let since = self.dull_since.get_or_insert_with(Instant::now);
                since.elapsed() >= limit
            }
            Sign::Content => {
                self.dull_since = None;
                false
            }
        }
    }

    /// Is ready when it is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.quiet.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Begins to wait, and lets so much time pass.
    async fn wait(patience: &mut Patience, length: Duration) {
        assert!(poll_fn(|cx| Poll::Ready(patience.poll(cx).is_pending())).await);
        advance(length).await;
    }

    #[tokio::test(start_paused = true)]
    async fn before_content_anything_is_a_sign_of_life() {
        let mut patience = Patience::new(Some(2 * SECOND), Some(SECOND));
        for _ in 0..5 {
            advance(2 * SECOND).await;

            assert!(patience.goes_on(1, Sign::Nothing, 10));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_content_an_event_is_or_as_much_as_one() {
        for (length, sign, expected) in [
            (1, Sign::Nothing, false),
            (1, Sign::Event, true),
            (10, Sign::Nothing, true),
        ] {
            let mut patience = Patience::new(None, Some(2 * SECOND));
            patience.forward();
            wait(&mut patience, SECOND).await;
            assert!(patience.goes_on(length, sign, 10));
            wait(&mut patience, SECOND).await;

            assert_eq!(patience.goes_on(0, Sign::Nothing, 10), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_last_event_nothing_is() {
        let mut patience = Patience::new(None, None);
        patience.linger();
        patience.forward();
        assert!(patience.goes_on(1, Sign::Content, 1));

        wait(&mut patience, LINGER).await;

        assert!(!patience.goes_on(1, Sign::Content, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_say_nothing_are_waited_with_for_a_while_and_content_begins_that_anew() {
        let mut patience = Patience::new(None, Some(2 * SECOND)).with_content_within(3 * SECOND);
        // Before content the wait is another.
        for _ in 0..5 {
            assert!(patience.goes_on(1, Sign::Event, 10));
            advance(SECOND).await;
        }
        patience.forward();
        for sign in [Sign::Event, Sign::Event, Sign::Content].repeat(3) {
            assert!(patience.goes_on(1, sign, 10));
            advance(SECOND).await;
        }
        for _ in 0..3 {
            assert!(patience.goes_on(1, Sign::Event, 10));
            advance(SECOND).await;
        }

        assert!(!patience.goes_on(1, Sign::Event, 10));
    }
}
