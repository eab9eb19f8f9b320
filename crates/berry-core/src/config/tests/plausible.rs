//! One mistake at a time that somebody would make, and whether what is said about it can be acted on.

use std::fmt::Write;

use insta::assert_snapshot;

use super::{all_findings, told};

/// A good file, with a place for a line in each of its tables.
const FILE: &str = r#"
[settings]
<settings>
[providers.a]
base_url = "http://a"
<provider>
[models.m]
name = "m"
[[models.m.backends]]
provider = "a"
model = "x"
<backend>
[users.u]
token = "k3J9s8dQ2m7Zx1vB4n6p"
<user>
<end>
"#;

/// Each with the table that it stands in.
const MISTAKES: [(&str, &str); 44] = [
    ("backend", "weight = 0,5"),
    ("backend", r#"weight = "70%""#),
    ("backend", "weight = 0"),
    ("backend", r#"tags = ["a" "b"]"#),
    ("backend", r#"input_price = "$2,50""#),
    ("provider", "enabled = yes"),
    ("provider", r#"enabled = "on""#),
    ("provider", "enabled = 1"),
    ("provider", "enabled = True"),
    ("provider", "enabled = null"),
    ("settings", "connect_timeout_seconds = 30000"),
    ("settings", r#"connect_timeout_seconds = "30s""#),
    ("settings", "connect_timeout_seconds = 30s"),
    ("settings", r#"connect_timeout_seconds = "1 min""#),
    ("settings", "connect_timeout_seconds = 0.5"),
    ("settings", r#"connect_timeout_seconds = "soon""#),
    ("settings", "max_retries = 3.0"),
    ("settings", "max_retries = 3,"),
    ("settings", "max_retries = 3;"),
    ("settings", "max_retries = 3 // three"),
    ("settings", "max_retries: 3"),
    ("settings", "retry_budget_ratio = 20"),
    ("settings", "max_body_bytes = 10MB"),
    ("end", "[[providers]]"),
    ("end", "[[users.b]]"),
    ("end", "[smart_ai]"),
    ("end", "[models.a b]"),
    ("end", "[server"),
    ("end", "[server]\nbind_address = 0.0.0.0:3000"),
    ("end", "[server]\nport = 3000"),
    ("end", "[server]\nbind_address = \"localhost:3000\""),
    ("end", "[telemetry]\nservice_name = 'berry"),
    (
        "end",
        "[models.b]\nname = \"b\"\nbackends = { provider = \"a\", model = \"x\" }",
    ),
    ("end", "[models.b]\nname = \"b\"\nbackends = [\"a:x\"]"),
    ("provider", r#"proxy_url = "${PROXY}""#),
    ("provider", r#"proxy_url = """#),
    ("provider", r#"headers = ["X-A: b"]"#),
    ("provider", r#"models = "x, y""#),
    ("provider", r#"backend_type = "vllm""#),
    ("user", "rate_limit = 60"),
    ("user", "rate_limit = { rpm = 60 }"),
    ("user", "rate_limit = { requests_per_minute = 0 }"),
    ("user", r#"allowed_models = ["*"]"#),
    ("user", "admin = true"),
];

fn file(place: &str, line: &str) -> String {
    let places = ["settings", "provider", "backend", "user", "end"];
    places.into_iter().fold(FILE.to_owned(), |file, each| {
        file.replace(&format!("<{each}>"), if each == place { line } else { "" })
    })
}

#[test]
fn a_mistake_is_answered_with_what_to_write() {
    assert_eq!(all_findings(&file("none", "")), "");
    let mut page = String::new();
    for (place, line) in MISTAKES {
        let told = told(&all_findings(&file(place, line)));
        writeln!(page, "{line}\n{told}\n").unwrap();
    }

    assert_snapshot!(page);
}

#[test]
fn a_file_of_another_format_is_called_by_its_name() {
    let json = told(&all_findings("{ \"settings\": { \"max_retries\": 3 } }\n"));
    let yaml = told(&all_findings("settings:\n  max_retries: 3\n"));

    assert_snapshot!(format!("{json}\n\n{yaml}"), @r"
    error: this looks like JSON, and the file is TOML
    = help: `berry-cli generate-config` writes a file to begin with

    error: key with no value
    = help: write `=` in place of `:`; a table begins with a header such as `[settings]`
    error: key with no value
    = help: write `=` in place of `:`
    ");
}
