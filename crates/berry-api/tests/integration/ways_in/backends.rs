//! Ways to a backend that the user may not use.

use serde_json::json;

use super::{NO_BACKEND, NO_TAG, TWICE_BACKEND, Way, form, over_http2, part, way};
use crate::support::chat;

/// Returns them, and how each is refused.
pub(super) fn ways() -> Vec<Way> {
    let asks = |body: &str| chat(body.to_owned());
    let on = |backend: &str| chat(json!({"model": "test-model", "backend": backend}).to_string());
    vec![
        way("another's tag", on("vip"), NO_TAG),
        way("another's tag, over HTTP/2", over_http2(on("vip")), NO_TAG),
        way(
            "a model of others",
            chat(r#"{"model":"premium-model"}"#),
            NO_TAG,
        ),
        way("a provider of another model", on("elsewhere"), NO_BACKEND),
        way("a disabled provider", on("off"), NO_BACKEND),
        way("another case", on("VIP"), NO_BACKEND),
        way("a space", on("vip "), NO_BACKEND),
        way("with its model", on("vip:upstream-model"), NO_BACKEND),
        way("a URL", on("http://127.0.0.1:9/v1"), NO_BACKEND),
        way("nothing", on(""), NO_BACKEND),
        way(
            "twice",
            asks(r#"{"model":"test-model","backend":"only","backend":"vip"}"#),
            TWICE_BACKEND,
        ),
        way(
            "an escaped key",
            asks(r#"{"model":"test-model","b\u0061ckend":"vip"}"#),
            TWICE_BACKEND,
        ),
        way(
            "a list",
            asks(r#"{"model":"test-model","backend":["vip"]}"#),
            "400 invalid_request_error/invalid_type backend",
        ),
        way(
            "a form",
            form(
                "/v1/audio/transcriptions",
                &(part("name=\"model\"", "test-model") + &part("name=\"backend\"", "vip")),
            ),
            NO_TAG,
        ),
    ]
}
