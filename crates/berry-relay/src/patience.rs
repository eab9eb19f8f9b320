//! How long more of an answer is waited for, and what counts as more.
//!
//! Before content anything does, because that wait has an end that nothing puts off. Afterwards whoever
//! sends a byte now and then would be waited for for ever: pings, white space, an event that never
//! ends. So an event counts, or as many bytes as an event may have.

use std::task::{Context, Poll};
use std::time::Duration;

use crate::quiet::Quiet;

/// How long a stream that has said all may keep its body open: an upstream that ends it in this time
/// keeps its connection.
pub(crate) const LINGER: Duration = Duration::from_millis(100);

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
}

impl Patience {
    /// Begins to wait: within `held` until content, within `limit` from then on.
    pub(crate) fn new(held: Option<Duration>, limit: Option<Duration>) -> Self {
        Self {
            quiet: Quiet::new(held),
            limit,
            phase: Phase::Held,
            since: 0,
        }
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

    /// Takes note of so many bytes, which have completed an event or not; so many count as one. Returns
    /// whether the wait goes on.
    pub(crate) fn goes_on(&mut self, length: usize, event: bool, enough: usize) -> bool {
        self.since += length;
        let is_life = match self.phase {
            Phase::Held => true,
            Phase::Forwarded => event || self.since >= enough,
            Phase::Over => false,
        };
        if is_life {
            self.since = 0;
            self.quiet.broken();
        }
        is_life || !self.quiet.has_lasted()
    }

    /// Is ready when it is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.quiet.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn before_content_anything_is_a_sign_of_life() {
        let mut patience = Patience::new(Some(2 * SECOND), Some(SECOND));
        for _ in 0..5 {
            advance(2 * SECOND).await;

            assert!(patience.goes_on(1, false, 10));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_content_an_event_is_or_as_much_as_one() {
        for (length, event, expected) in [(1, false, false), (1, true, true), (10, false, true)] {
            let mut patience = Patience::new(None, Some(2 * SECOND));
            patience.forward();
            advance(SECOND).await;
            assert!(patience.goes_on(length, event, 10));
            advance(SECOND).await;

            assert_eq!(patience.goes_on(0, false, 10), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_last_event_nothing_is() {
        let mut patience = Patience::new(None, None);
        patience.linger();
        patience.forward();
        assert!(patience.goes_on(1, true, 1));

        advance(LINGER).await;

        assert!(!patience.goes_on(1, true, 1));
    }
}
