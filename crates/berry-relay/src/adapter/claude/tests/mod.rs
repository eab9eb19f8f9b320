//! Golden files: what goes in is in `golden/`, beside what comes out (`.snap`).
//!
//! The cases are our own; what Anthropic really sends was read in recordings and in its SDKs.

mod answer;
mod error;
mod property;
mod refusal;
mod request;
mod round_trip;
mod schema;
mod speed;
mod stream;

use std::path::PathBuf;

use super::super::translate::{Heading, Reading};

/// Makes one test of each name, which `$check` gets.
macro_rules! cases {
    ($check:path: $($name:ident)+) => {
        $(#[test]
        fn $name() {
            $check(stringify!($name));
        })+

        #[test]
        fn every_golden_file_is_a_case() {
            super::assert_all_tested(&[$(stringify!($name)),+], module_path!());
        }
    };
}
use cases;

fn folder(kind: &str) -> PathBuf {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    source.join("src/adapter/claude/tests/golden").join(kind)
}

/// Reads what goes into a case.
fn input(kind: &str, file: &str) -> String {
    std::fs::read_to_string(folder(kind).join(file)).unwrap()
}

/// Compares what comes out with what is recorded beside the input.
fn assert_golden(kind: &str, name: &str, output: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder(kind));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, output));
}

fn assert_all_tested(names: &[&str], module: &str) {
    let kind = module.rsplit("::").next().unwrap();
    for file in std::fs::read_dir(folder(kind)).unwrap() {
        let file = file.unwrap().path();
        let stem = file.file_stem().unwrap().to_str().unwrap();
        assert!(names.contains(&stem), "{} has no test", file.display());
    }
}

fn heading() -> Heading {
    Heading {
        id: "chatcmpl-ours".into(),
        created: 1_700_000_000,
        model: "claude-ours".into(),
        include_usage: true,
    }
}

/// Cases about `response_format` say so in their name.
fn reading(name: &str) -> Reading {
    Reading {
        text_from_tool: name.contains("json"),
    }
}

fn pretty(json: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(json).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}
