//! What Gemini is sent and what its answers become, as golden files: the input is each file's
//! description.

mod answers;
mod embeddings;
mod errors;
mod refusals;
mod requests;
mod streams;

use serde_json::Value;

use crate::adapter::translate::Heading;

/// What answers get where the provider says nothing of itself.
fn heading() -> Heading {
    Heading {
        id: "chatcmpl-1".to_owned(),
        created: 1_790_000_000,
        model: "gemini-test".to_owned(),
        include_usage: false,
    }
}

/// Returns JSON as people read it.
fn pretty(json: &[u8]) -> String {
    let value: Value = serde_json::from_slice(json).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

/// Compares an output with its golden file.
fn golden(name: &str, input: &str, output: &str) {
    insta::with_settings!({
        description => input,
        omit_expression => true,
        prepend_module_to_snapshot => false,
    }, {
        insta::assert_snapshot!(name, output);
    });
}
