//! `simulate`: what it prints, on which endpoints, and what it refuses.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::run;

const CONFIG: &str = r#"
[providers.near]
base_url = "http://127.0.0.1:1/v1"
[providers.far]
base_url = "http://127.0.0.1:2/v1"
[models.m]
name = "model-m"
[[models.m.backends]]
provider = "near"
model = "a"
[[models.m.backends]]
provider = "far"
model = "b"
weight = 3
[users.u]
token = "a-token-for-simulations"
"#;

/// A file that is gone at the end.
struct File(tempfile::TempDir, PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        Self(directory, path)
    }

    fn path(&self) -> &str {
        let Self(_directory, path) = self;
        path.to_str().unwrap()
    }
}

fn json(arguments: &[&str]) -> Value {
    let output = run(&[&["simulate", "--format", "json"], arguments].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(arguments: &[&str]) -> String {
    let output = run(&[&["simulate"], arguments].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn each_strategy_has_a_row() {
    let played = json(&["--scenario", "one-a-minute"]);

    let rows = played[0]["strategies"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    for row in rows {
        assert!(
            row["success_after_failover"].as_f64() >= Some(0.999),
            "{row}"
        );
        assert!(row["cost_by_oracle"].as_f64() >= Some(1.0), "{row}");
    }
}

#[test]
fn a_configuration_s_models_are_played_with_its_weights() {
    let config = File::new("config.toml", CONFIG);

    let arguments = [
        "-c",
        config.path(),
        "--strategies",
        "weighted_random,random",
    ];
    let played = json(&arguments);

    assert_eq!(played[0]["model"], "model-m");
    assert_eq!(
        played[0]["endpoints"],
        serde_json::json!(["near:a", "far:b"])
    );
    let share = |row: usize| played[0]["strategies"][row]["shares"][1].as_f64().unwrap();
    assert!((0.73..0.77).contains(&share(0)), "{}", share(0));
    assert!((0.48..0.52).contains(&share(1)), "{}", share(1));
    // No backend has a price.
    assert!(played[0]["strategies"][0]["cost_usd"].is_null());
}

#[test]
fn the_same_seed_prints_the_same() {
    let arguments = ["simulate", "--scenario", "one-a-minute", "--seed", "7"];

    assert_eq!(run(&arguments).stdout, run(&arguments).stdout);
}

#[test]
fn a_scenario_that_ships_can_be_shown_and_played_as_a_file() {
    let shown = run(&["simulate", "--show", "one-a-minute"]);
    let file = File::new("mine.toml", std::str::from_utf8(&shown.stdout).unwrap());

    let mine = run(&["simulate", "--scenario", file.path()]);

    let shipped = run(&["simulate", "--scenario", "one-a-minute"]);
    assert_eq!(mine.stdout, shipped.stdout);
}

#[test]
fn an_error_in_a_scenario_is_shown_with_its_place() {
    let text = "duration_seconds = 60\nrequests_per_minute = \"6\"\n[[faults]]\nkind = \"dwon\"\n";
    let file = File::new("mine.toml", text);

    let report = refused(&["--scenario", file.path()]);

    for part in [
        "mine.toml:2:23",
        "mine.toml:4:8",
        "did you mean `down`",
        "`backend` is missing",
    ] {
        assert!(report.contains(part), "{part} in\n{report}");
    }
}

const TWO_THAT_FAIL: &str = r#"
duration_seconds = 600
requests_per_minute = 60
[[backends]]
name = "a"
input_price = 1
output_price = 1
[[backends]]
name = "b"
input_price = 1
output_price = 1
[[faults]]
backend = "all"
kind = "brown_out"
share = 0.9
"#;

#[test]
fn who_serves_too_few_is_not_called_cheap() {
    let file = File::new("failing.toml", TWO_THAT_FAIL);

    let played = json(&["--scenario", file.path(), "--strategies", "failover"]);

    let row = &played[0]["strategies"][0];
    assert!(row["success_after_failover"].as_f64().unwrap() < 0.9);
    assert_eq!(row["cost_by_oracle"], Value::Null);
}

#[test]
fn a_name_in_a_fault_that_is_nobodys_or_a_word_is_shown_with_its_place() {
    let unknown = TWO_THAT_FAIL.replace("\"all\"", "\"c\"");
    let word = TWO_THAT_FAIL.replace("\"b\"", "\"cheapest\"");
    for (text, place, message) in [
        (unknown, "mine.toml:13:11", "none of a, b"),
        (word, "mine.toml:9:8", "no backend can be called `cheapest`"),
    ] {
        let file = File::new("mine.toml", &text);

        let report = refused(&["--scenario", file.path()]);

        assert!(report.contains(place), "{report}");
        assert!(report.contains(message), "{report}");
    }
}

#[test]
fn a_strategy_may_be_spelt_as_in_a_configuration() {
    let played = json(&["--scenario", "one-a-minute", "--strategies", "SmartAi"]);

    assert_eq!(played[0]["strategies"][0]["strategy"], "smart_ai");
}

#[test]
fn what_ships_is_listed_for_people_and_for_scripts() {
    let listed = json(&["--list"]);
    let text = String::from_utf8(run(&["simulate", "--list"]).stdout).unwrap();

    let rows = listed.as_array().unwrap();
    assert!(rows.len() > 10);
    for row in rows {
        let line = text.lines().find(|line| {
            let words = [&row["name"], &row["description"]];
            words
                .iter()
                .all(|word| line.contains(word.as_str().unwrap()))
        });
        assert!(line.is_some(), "{row}");
    }
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let config = File::new("config.toml", CONFIG);
    let arguments: [(&[&str], &str); 5] = [
        (
            &["--scenario", "outrage"],
            "there is no scenario `outrage`; there are steady,",
        ),
        (&["--show", "outrage"], "there is no scenario `outrage`"),
        (
            &["--strategies", "best"],
            "there is no strategy `best`; there are weighted_random,",
        ),
        (
            &["--scenario", "none.toml"],
            "the scenario cannot be loaded",
        ),
        (
            &["-c", config.path(), "--scenario", "per-request"],
            "a fault names the backend `reseller`, which is none of near:a, far:b",
        ),
    ];
    for (arguments, message) in arguments {
        let report = refused(arguments);

        assert!(report.contains(message), "{message} in\n{report}");
    }
    let report = refused(&["-c", config.path(), "-m", "n"]);
    assert!(report.contains("has no model `n`"), "{report}");
}

#[test]
fn the_document_shows_what_is_printed() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/balancing.md");
    let document = fs::read_to_string(document).unwrap();

    let output = run(&["simulate", "--scenario", "all"]);

    let text = String::from_utf8(output.stdout).unwrap();
    let at = text.find("cost x oracle").unwrap();
    let summary = &text[at..];
    assert!(document.contains(summary), "the table is now\n{summary}");
}
