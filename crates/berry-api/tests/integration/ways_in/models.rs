//! Ways to a model that the user may not use.

use http::Method;
use serde_json::json;

use super::{NO_MODEL, TWICE_MODEL, Way, form, over_http2, page, part, way};
use crate::support::chat;

/// Returns them, and how each is refused.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn ways() -> Vec<Way> {
    let asks = |body: &str| chat(body.to_owned());
    let named = |name: &str| chat(json!({"model": name}).to_string());
    let audio = "/v1/audio/transcriptions";
    vec![
        way("its name", named("other-model"), NO_MODEL),
        way("its key", named("other"), NO_MODEL),
        way("over HTTP/2", over_http2(named("other-model")), NO_MODEL),
        way(
            "another case of an allowed one",
            named("TEST-MODEL"),
            NO_MODEL,
        ),
        way("a space behind", named("test-model "), NO_MODEL),
        way("a line behind", named("test-model\n"), NO_MODEL),
        way("a NUL behind", named("test-model\0other-model"), NO_MODEL),
        way("wide letters", named("ｔest-model"), NO_MODEL),
        way(
            "a letter that looks alike",
            named("test-m\u{43e}del"),
            NO_MODEL,
        ),
        way("a step back", named("test-model/../other-model"), NO_MODEL),
        way("the upstream's name", named("hidden"), NO_MODEL),
        way("a backend's key", named("elsewhere:hidden"), NO_MODEL),
        way(
            "no name",
            named(""),
            "400 invalid_request_error/invalid_type model",
        ),
        way(
            "an escape",
            asks(r#"{"model":"other-mod\u0065l"}"#),
            NO_MODEL,
        ),
        way(
            "twice, the right one first",
            asks(r#"{"model":"test-model","model":"other-model"}"#),
            TWICE_MODEL,
        ),
        way(
            "twice, the right one last",
            asks(r#"{"model":"other-model","model":"test-model"}"#),
            TWICE_MODEL,
        ),
        way(
            "an escaped key",
            asks(r#"{"model":"test-model","mod\u0065l":"other-model"}"#),
            TWICE_MODEL,
        ),
        way(
            "a list",
            asks(r#"{"model":["test-model","other-model"]}"#),
            "400 invalid_request_error/invalid_type model",
        ),
        way(
            "another case of the key",
            asks(r#"{"Model":"test-model"}"#),
            TWICE_MODEL,
        ),
        way(
            "another case of the key beside the right one",
            asks(r#"{"model":"test-model","Model":"other-model"}"#),
            TWICE_MODEL,
        ),
        way(
            "in the URL",
            {
                let mut request = named("other-model");
                *request.uri_mut() = "/v1/chat/completions?model=test-model".parse().unwrap();
                request
            },
            NO_MODEL,
        ),
        way(
            "its page",
            page(Method::GET, "/v1/models/other-model"),
            NO_MODEL,
        ),
        way(
            "its page, escaped",
            page(Method::GET, "/v1/models/%6fther-model"),
            NO_MODEL,
        ),
        way(
            "a form",
            form(audio, &part("name=\"model\"", "other-model")),
            NO_MODEL,
        ),
        way(
            "a form with two",
            form(
                audio,
                &(part("name=\"model\"", "test-model") + &part("name=model", "other-model")),
            ),
            TWICE_MODEL,
        ),
        way(
            "another operation",
            {
                let mut request = named("other-model");
                *request.uri_mut() = "/v1/embeddings".parse().unwrap();
                request
            },
            NO_MODEL,
        ),
    ]
}
