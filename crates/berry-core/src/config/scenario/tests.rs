use super::*;

fn parse(text: &str) -> Result<Scenario, String> {
    let source = Source::new("scenario.toml", text);
    Scenario::parse(&source).map_err(|findings| findings.render(&source, false))
}

const LEAST: &str = "duration_seconds = 600\nrequests_per_minute = 6\n";

#[test]
fn a_scenario_needs_a_duration_and_a_rate() {
    let scenario = parse(LEAST).unwrap();

    assert_eq!(scenario.duration, Duration::from_secs(600));
    assert!(scenario.backends.is_empty() && scenario.faults.is_empty());
    let report = parse("").unwrap_err();
    assert!(report.contains("`duration_seconds` is missing"), "{report}");
    assert!(
        report.contains("`requests_per_minute` is missing"),
        "{report}"
    );
}

#[test]
fn each_kind_of_fault_is_read_with_its_parameters() {
    for (text, kind) in [
        ("kind = \"down\"", FaultKind::Down),
        ("kind = \"Hanging\"", FaultKind::Hanging),
        ("kind = \"refused\"", FaultKind::Refused),
        (
            "kind = \"brown_out\"\nshare = 0.5",
            FaultKind::BrownOut { share: 0.5 },
        ),
        (
            "kind = \"flapping\"\nperiod_seconds = 90",
            FaultKind::Flapping {
                period: Duration::from_secs(90),
            },
        ),
        (
            "kind = \"slow\"\nfactor = 10",
            FaultKind::Slow { factor: 10.0 },
        ),
        (
            "kind = \"rate_capped\"\nrequests_per_minute = 3\nretry_after_seconds = 20",
            FaultKind::RateCapped {
                requests_per_minute: 3,
                retry_after: Some(Duration::from_secs(20)),
            },
        ),
    ] {
        let text = format!("{LEAST}[[faults]]\nbackend = \"first\"\n{text}\n");

        let scenario = parse(&text).unwrap();

        let expected = ScriptedFault {
            backend: Whom::First,
            kind,
            from: Duration::ZERO,
            until: None,
        };
        assert_eq!(scenario.faults, [expected], "{text}");
    }
}

#[test]
fn what_is_wrong_is_reported_with_its_place() {
    for (text, finding) in [
        ("duration_secnods = 5\n", "scenario.toml:3:1"),
        (
            "[[faults]]\nbackend = \"all\"\nkind = \"dwon\"\n",
            "did you mean `down`",
        ),
        (
            "[[faults]]\nbackend = \"all\"\nkind = \"brown_out\"\n",
            "`share` is missing",
        ),
        (
            "[[faults]]\nbackend = \"all\"\nkind = \"down\"\nshare = 0.5\n",
            "`share` means nothing to a fault of this kind",
        ),
        (
            "[[faults]]\nkind = \"down\"\nfrom_seconds = 9\nuntil_seconds = 9\n",
            "`until_seconds` must be later than `from_seconds`",
        ),
        ("[[faults]]\nkind = \"down\"\n", "`backend` is missing"),
        (
            "[[backends]]\nname = \"a\"\n[[backends]]\nname = \"a\"\n",
            "two backends are called `a`",
        ),
        ("[[backends]]\nweight = 0\n", "`backends[0].weight` must be"),
        ("streamed_share = nan\n", "`streamed_share` must be"),
    ] {
        let report = parse(&format!("{LEAST}{text}")).unwrap_err();

        assert!(report.contains(finding), "{finding} in\n{report}");
    }
}

#[test]
fn a_scenario_has_at_least_one_request_and_not_too_many() {
    for (seconds, rate) in [(60, "0"), (2_678_400, "1000000")] {
        let text = format!("duration_seconds = {seconds}\nrequests_per_minute = {rate}\n");

        let report = parse(&text).unwrap_err();

        assert!(report.contains("not 1 to 10000000"), "{report}");
    }
}
