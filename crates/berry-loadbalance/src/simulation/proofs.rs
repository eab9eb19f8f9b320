//! What the documents promise of every strategy, played.

use std::time::Duration;

use berry_core::Tick;
use berry_core::config::BillingMode;
use berry_core::config::scenario::Scenario;

use super::tests::parse;
use super::{Fleet, Report, Simulation};
use crate::strategy::{self, STRATEGIES};

/// Three endpoints of which the first is the cheapest, and is down in the second hour of six.
/// Nothing else fails.
const OUTAGE: &str = r#"
duration_seconds = 21600
requests_per_minute = 6

[[backends]]
name = "one"
error_share = 0
input_price = 0.4
output_price = 1.2

[[backends]]
name = "two"
error_share = 0
priority = 1
input_price = 0.8
output_price = 2.4

[[backends]]
name = "three"
error_share = 0
priority = 2
input_price = 0.9
output_price = 2.7

[[faults]]
backend = "one"
kind = "down"
from_seconds = 3600
until_seconds = 7200
"#;

const BEGINS: Tick = Tick::from_nanos(3_600_000_000_000);
const ENDS: Tick = Tick::from_nanos(7_200_000_000_000);
/// Two intervals of `recovery_check_interval_seconds`.
const TWO_INTERVALS: Duration = Duration::from_secs(240);
const HOUR: Duration = Duration::from_secs(3600);

/// One way to bill and to probe.
#[derive(Debug, Clone, Copy)]
struct Case {
    billing: BillingMode,
    probes: bool,
    requests_per_minute: f64,
    strategy: &'static str,
}

fn cases() -> impl Iterator<Item = Case> {
    let modes = [
        (BillingMode::PerToken, true),
        (BillingMode::PerToken, false),
        (BillingMode::PerRequest, true),
    ];
    STRATEGIES.iter().flat_map(move |entry| {
        modes.into_iter().flat_map(move |(billing, probes)| {
            [1.0, 6.0].map(move |requests_per_minute| Case {
                billing,
                probes,
                requests_per_minute,
                strategy: entry.name,
            })
        })
    })
}

impl Case {
    fn play(&self, seed: u64, seen: impl FnMut(Tick, usize)) -> Report {
        let mut scenario: Scenario = parse(OUTAGE);
        scenario.requests_per_minute = self.requests_per_minute;
        for site in &mut scenario.backends {
            site.billing = self.billing;
        }
        let mut fleet = Fleet::of_scenario(&scenario).unwrap();
        if !self.probes {
            fleet.cadence.interval = None;
        }
        let simulation = Simulation {
            fleet: &fleet,
            scenario: &scenario,
            seed,
        };
        simulation.watch(strategy::build(self.strategy).unwrap(), seen)
    }
}

#[test]
fn every_request_is_answered_while_one_endpoint_is_down() {
    for case in cases() {
        let report = case.play(1, |_, _| {});

        assert!(report.success_after_failover() >= 0.999, "{case:?}");
    }
}

#[test]
fn a_dead_endpoint_gets_a_trial_per_open_period_and_no_more() {
    for case in cases() {
        let report = case.play(1, |_, _| {});

        // Five failures to eject; then an hour of open periods, which grow to ten minutes, or
        // keep the pace of probes where there can be none.
        let periods = match case.billing {
            BillingMode::PerToken => 9,
            BillingMode::PerRequest => 32,
        };
        let failed = report.shares[0].attempts - report.shares[0].answered;
        assert!(failed <= 5 + periods, "{failed} in {case:?}");
    }
}

#[test]
fn what_was_ejected_has_its_share_back_within_two_intervals() {
    for case in cases() {
        let (mut before, mut after) = ((0, 0), (0, 0));
        for seed in 0..4 {
            let mut picks = Vec::new();
            let report = case.play(seed, |now, place| picks.push((now, place)));
            if let Some(restored) = report.restored_after {
                assert!(restored <= TWO_INTERVALS, "{restored:?} in {case:?}");
            }
            // What `smart_ai` has turned from before it was ejected, and nobody probes, is found well
            // again by exploration alone.
            let explored = case.strategy == "smart_ai" && !case.probes;
            let healed = ENDS
                + match report.readmitted_after {
                    Some(readmitted) => readmitted + TWO_INTERVALS,
                    None if explored => HOUR,
                    None => TWO_INTERVALS,
                };
            for (now, place) in picks {
                let count = if now < BEGINS {
                    &mut before
                } else if now >= healed {
                    &mut after
                } else {
                    continue;
                };
                count.0 += u32::from(place == 0);
                count.1 += 1;
            }
        }
        let share = |(part, whole): (u32, u32)| f64::from(part) / f64::from(whole);
        let (before, after) = (share(before), share(after));
        assert!(after > before - 0.08, "{after} of {before} in {case:?}");
    }
}

#[test]
fn smart_ai_is_the_cheapest_and_serves_as_well_in_every_scenario() {
    for built_in in super::SCENARIOS {
        let mut scenario = parse(built_in.text);
        // Enough to tell, and little enough for every run of the tests.
        let enough = Duration::from_secs_f64(60.0 * 9000.0 / scenario.requests_per_minute);
        scenario.duration = scenario.duration.min(enough);
        let fleet = Fleet::of_scenario(&scenario).unwrap();
        let play = |name: &str| {
            let simulation = Simulation {
                fleet: &fleet,
                scenario: &scenario,
                seed: 1,
            };
            simulation.run(strategy::build(name).unwrap())
        };

        let smart = play("smart_ai");

        assert!(smart.regret().unwrap() < 1.12, "{}", built_in.name);
        for entry in STRATEGIES.iter().filter(|entry| entry.name != "smart_ai") {
            let other = play(entry.name);
            let (name, other_name) = (built_in.name, entry.name);
            assert!(
                smart.success_after_failover() >= other.success_after_failover(),
                "{name}: {other_name}"
            );
            assert!(smart.cost < other.cost, "{name}: {other_name}");
        }
    }
}

#[test]
fn beside_a_free_endpoint_prices_still_matter_while_that_one_fails() {
    let text = r#"
        duration_seconds = 43200
        requests_per_minute = 6
        [[backends]]
        name = "dear"
        input_price = 30
        output_price = 60
        [[backends]]
        name = "cheap"
        input_price = 0.3
        output_price = 0.6
        [[backends]]
        name = "local"
        input_price = 0
        output_price = 0
        [[faults]]
        backend = "local"
        kind = "brown_out"
        share = 0.6
        from_seconds = 3600
        until_seconds = 21600
    "#;
    let scenario = parse(text);
    let simulation = Simulation {
        fleet: &Fleet::of_scenario(&scenario).unwrap(),
        scenario: &scenario,
        seed: 1,
    };

    let report = simulation.run(strategy::build("smart_ai").unwrap());

    assert!(report.regret().unwrap() < 2.0, "{report:?}");
}
