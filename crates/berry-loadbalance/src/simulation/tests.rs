use berry_core::Source;

use super::*;
use crate::strategy;

pub(super) fn parse(text: &str) -> Scenario {
    let source = Source::new("scenario.toml", text);
    Scenario::parse(&source)
        .unwrap_or_else(|findings| panic!("{}", findings.render(&source, false)))
}

/// An hour in which nothing fails, and of two endpoints the first costs half of the second.
const HOUR: &str = r#"
duration_seconds = 3600
requests_per_minute = 6

[[backends]]
name = "cheap"
error_share = 0
request_price = 0.01

[[backends]]
name = "dear"
error_share = 0
request_price = 0.02
"#;

pub(super) fn run(scenario: &Scenario, strategy: &str) -> Report {
    let fleet = Fleet::of_scenario(scenario).unwrap();
    let simulation = Simulation {
        fleet: &fleet,
        scenario,
        seed: 1,
    };
    simulation.run(strategy::build(strategy).unwrap())
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let scenario = parse(SCENARIOS[0].text);

    assert_eq!(run(&scenario, "smart_ai"), run(&scenario, "smart_ai"));
}

#[test]
fn every_scenario_that_ships_is_called_as_its_file_is() {
    for built_in in SCENARIOS {
        let scenario = parse(built_in.text);

        assert_eq!(scenario.name, built_in.name);
        assert!(!scenario.description.is_empty());
        Fleet::of_scenario(&scenario).unwrap();
    }
}

#[test]
fn nothing_is_in_flight_at_the_end() {
    // The last answers are waited for, so every request is counted once.
    let report = run(&parse(HOUR), "random");

    let answered: u64 = report.shares.iter().map(|share| share.answered).sum();
    assert_eq!(report.requests, report.served);
    assert_eq!(answered, report.served);
    assert_eq!(report.first, report.served);
}

#[test]
fn the_oracle_takes_the_cheapest_that_answers() {
    let steady = run(&parse(HOUR), "failover");
    let down = format!("{HOUR}[[faults]]\nbackend = \"cheapest\"\nkind = \"down\"\n");
    let down = run(&parse(&down), "failover");

    assert!((steady.regret().unwrap() - 1.0).abs() < 1e-9);
    assert!((down.oracle.unwrap() / steady.oracle.unwrap() - 2.0).abs() < 1e-9);
}

#[test]
fn each_fault_does_what_it_is_called() {
    let hour = |fault: &str| {
        let text = format!("{HOUR}[[faults]]\nbackend = \"first\"\n{fault}\n");
        run(&parse(&text), "failover")
    };

    for fault in [
        "kind = \"down\"",
        "kind = \"hanging\"",
        "kind = \"refused\"",
    ] {
        let report = hour(fault);
        assert_eq!(report.shares[0].answered, 0, "{fault}");
        assert_eq!(report.requests, report.served, "{fault}");
    }
    let (steady, slow) = (
        run(&parse(HOUR), "failover"),
        hour("kind = \"slow\"\nfactor = 9"),
    );
    assert!(slow.p50 > steady.p50 && slow.first == steady.first);
    let capped = hour("kind = \"rate_capped\"\nrequests_per_minute = 2\nretry_after_seconds = 5");
    assert!((60..=120).contains(&capped.shares[0].answered));
    let browned_out = hour("kind = \"brown_out\"\nshare = 0.2");
    assert!((0.7..0.95).contains(&browned_out.success_before_failover()));
    let flapping = hour("kind = \"flapping\"\nperiod_seconds = 600");
    assert!((0.3..0.6).contains(&flapping.answered().next().unwrap()));
}

#[test]
fn a_fault_for_nobody_is_refused() {
    let text = format!("{HOUR}[[faults]]\nbackend = \"cheep\"\nkind = \"down\"\n");

    let error = Fleet::of_scenario(&parse(&text)).unwrap_err();

    assert_eq!(
        error.to_string(),
        "a fault names the backend `cheep`, which is none of cheap, dear"
    );
}
