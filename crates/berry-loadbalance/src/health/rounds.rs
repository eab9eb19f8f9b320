//! Whom to ask next, and whom an answer concerns: the schedule and the endpoints it is about.
//!
//! Pure: takes `now`, sends nothing. The monitor drives it with real probes, a simulation with
//! imagined ones.

use berry_core::Tick;

use super::plan::Earlier;
use super::schedule::{Cadence, Check, Schedule, Vitals};
use super::{ProbeDepth, ProbeOutcome, Roster};
use crate::key::EndpointKey;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Rounds {
    roster: Roster,
    schedule: Schedule,
}

impl Rounds {
    /// Plans the first round, from now on. `rng` decides the jitter.
    pub(crate) fn new(roster: Roster, cadence: Cadence, now: Tick, rng: fastrand::Rng) -> Self {
        let rows = (roster.providers.len(), roster.endpoints.len());
        Self {
            schedule: Schedule::new(cadence, rows, now, rng),
            roster,
        }
    }

    /// Goes on with other endpoints, or with the same ones in another way. What probes have said of an
    /// endpoint that is not asked any more is forgotten: none would correct it. Returns the checks that
    /// there were before, each with what it was then; none where nothing has changed.
    pub(crate) fn replan(
        &mut self,
        roster: Roster,
        cadence: Cadence,
        now: Tick,
    ) -> Option<Vec<(Check, Check)>> {
        if roster.matches(&self.roster) && cadence == self.schedule.cadence() {
            return None;
        }
        let rows = (roster.providers.len(), roster.endpoints.len());
        let earlier = Earlier::new(&self.roster, &roster);
        let known = |check| earlier.check(check);
        self.schedule.replan(cadence, rows, now, known);
        let same = self.schedule.checks();
        let same = same.filter_map(|check| Some((check, known(check)?)));
        let same = same.collect();
        drop(earlier);
        let asks = cadence.interval.is_some();
        for left in self
            .roster
            .endpoints
            .iter()
            .filter(|state| !(asks && roster.has(state.key())))
        {
            left.forget_probes();
        }
        self.roster = roster;
        Some(same)
    }

    /// Takes the probe that has been due for longest; it is not due again before it is recorded.
    pub(crate) fn take(&mut self, now: Tick) -> Option<Check> {
        let endpoints = &self.roster.endpoints;
        self.schedule.take(now, |place: usize| -> Vitals {
            endpoints[place].vitals(now)
        })
    }

    /// Returns when the next probe is due, as far as is known: endpoints become unhealthy by their
    /// requests, without a word to anybody here.
    pub(crate) fn next(&self, now: Tick) -> Option<Tick> {
        self.schedule
            .next(|place| self.roster.endpoints[place].vitals(now))
    }

    /// Returns whom a check asks, and for what. All endpoints of a provider list the same models.
    pub(crate) fn subject(&self, check: Check) -> (&EndpointKey, ProbeDepth) {
        let (place, depth) = match check {
            Check::Models(provider) => (self.roster.providers[provider][0], ProbeDepth::Models),
            Check::Chat(place) => (place, ProbeDepth::Chat),
        };
        (self.roster.endpoints[place].key(), depth)
    }

    /// Records what a probe that was begun at `begun` has found.
    pub(crate) fn record(&mut self, check: Check, outcome: &ProbeOutcome, begun: Tick, now: Tick) {
        self.schedule.ended(check, now);
        let (_, depth) = self.subject(check);
        let tell = |place: usize| self.roster.endpoints[place].probed(depth, outcome, begun, now);
        match check {
            Check::Models(provider) => self.roster.providers[provider]
                .iter()
                .for_each(|&place| tell(place)),
            Check::Chat(place) => tell(place),
        }
    }
}
