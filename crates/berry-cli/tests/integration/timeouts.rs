//! Every wait that there is, as a configuration has it.

use serde_json::Value;

use crate::support::Desk;

const TOML: &str = r#"
[settings]
request_deadline_seconds = 90
[providers.near]
base_url = "http://localhost:1/v1"
timeout_seconds = 7
[providers.far]
base_url = "https://far.example/v1"
api_key = "k"
[models.m]
name = "model"
backends = [{ provider = "near", model = "x" }, { provider = "far", model = "y" }]
[models.other]
name = "other"
backends = [{ provider = "far", model = "z" }]
[users.admin]
token = "token-of-the-admin-0123"
"#;

/// The seconds of a wait that is set by this key.
fn seconds(waits: &Value, setting: &str) -> Option<f64> {
    let mut waits = waits.as_array().unwrap().iter();
    let wait = waits.find(|wait| wait["setting"] == setting);
    wait.unwrap_or_else(|| panic!("{setting}"))["seconds"].as_f64()
}

#[test]
fn each_backend_has_its_own_waits() {
    let desk = Desk::with(TOML);

    let printed = desk.run(&["timeouts", "--format", "json"]);

    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let table: Value = serde_json::from_str(&printed.stdout).unwrap();
    let backends = table["backends"].as_array().unwrap();
    let [near, far, _] = &backends[..] else {
        panic!("{backends:?}");
    };
    assert_eq!(near["backend"], "near:x");
    let head = "providers.*.timeout_seconds";
    let idle = "settings.upstream_idle_timeout_seconds";
    let deadline = "settings.request_deadline_seconds";
    assert_eq!(seconds(&near["waits"], head), Some(7.0));
    let general = "settings.request_timeout_seconds";
    assert_eq!(seconds(&far["waits"], general), Some(30.0));
    assert_eq!(seconds(&near["waits"], idle), Some(4.0));
    assert_eq!(seconds(&far["waits"], idle), Some(60.0));
    assert_eq!(seconds(&far["waits"], deadline), Some(90.0));
    let grace = seconds(&table["clients"], "settings.shutdown_grace_seconds");
    assert_eq!(grace, Some(30.0));
}

#[test]
fn one_model_can_be_asked_for_and_an_unknown_one_is_an_error() {
    let desk = Desk::with(TOML);

    let one = desk.run(&["timeouts", "--model", "other"]);
    let none = desk.run(&["timeouts", "--model", "absent"]);

    assert_eq!(one.stdout.matches("Model ").count(), 1, "{}", one.stdout);
    assert!(one.stdout.contains("Model other, backend far:z\n"));
    assert_eq!(none.code, Some(1));
    assert_eq!(
        none.stderr,
        "error: no model is called `absent`: expected `model` or `other`\n"
    );
}

#[test]
fn the_key_is_named_that_a_wait_comes_from() {
    let [request, json, own] = [
        "settings.request_timeout_seconds",
        "settings.json_timeout_seconds",
        "providers.*.timeout_seconds",
    ];
    let cases = [
        ("", "", request, json),
        ("json_timeout_seconds = 45", "", request, json),
        ("request_timeout_seconds = 45", "", request, request),
        (
            "request_timeout_seconds = 45",
            "timeout_seconds = 45",
            own,
            own,
        ),
    ];
    for (settings, provider, streamed, whole) in cases {
        let settings = format!("[settings]\nfirst_token_timeout_seconds = 0\n{settings}\n");
        let far = format!("[providers.far]\n{provider}\n");
        let toml = TOML.replace("[settings]\n", &settings);
        let desk = Desk::with(&toml.replace("[providers.far]\n", &far));

        let printed = desk.run(&["timeouts", "--model", "other", "--format", "json"]);

        let table: Value = serde_json::from_str(&printed.stdout).unwrap();
        let waits = table["backends"][0]["waits"].as_array().unwrap();
        let key = |what: &str| &waits.iter().find(|wait| wait["for"] == what).unwrap()["setting"];
        let silence = "a stream's first content, after its head";
        assert_eq!(key("a stream's head"), streamed, "{settings}{far}");
        assert_eq!(key("a whole answer's head"), whole, "{settings}{far}");
        assert_eq!(key(silence), whole, "{settings}{far}");
    }
}
