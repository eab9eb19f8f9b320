//! Ways to be somebody without their token.

use http::Method;
use serde_json::json;

use super::{NO_HTTP, STRANGER, Way, head, over_http2, raw, way};
use crate::support::{Request, TOKEN, request};

/// Asks for the models with these headers.
fn models(headers: &[(&str, &str)]) -> Request {
    request(Method::GET, "/v1/models", headers, "")
}

/// Returns them, and how each is refused.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn ways() -> Vec<Way> {
    let digest = "2e511904a8347a85abbbd2faa71630a5c17aa1a1c31944b351254fa8ce062528";
    let bearer = |text: &str| models(&[("authorization", &format!("Bearer {text}"))]);
    let with = |name: &str, value: &str| models(&[(name, value)]);
    let right = ("authorization", "Bearer token-of-ada-0123456789");
    vec![
        way("nothing", models(&[]), STRANGER),
        way("an empty token", bearer(""), STRANGER),
        way("another case", bearer("Token-Of-Ada-0123456789"), STRANGER),
        way("the beginning", bearer("token-of-ada-012345678"), STRANGER),
        way(
            "one more byte",
            bearer("token-of-ada-01234567890"),
            STRANGER,
        ),
        way("a gap", bearer("token-of-ada -0123456789"), STRANGER),
        way("a tab", bearer("token-of-ada\t-0123456789"), STRANGER),
        way("quotes", bearer("\"token-of-ada-0123456789\""), STRANGER),
        way("escapes", bearer("%74oken-of-ada-0123456789"), STRANGER),
        way(
            "wide letters",
            bearer("ｔｏｋｅｎ-of-ada-0123456789"),
            STRANGER,
        ),
        way(
            "a wide space",
            bearer("\u{a0}token-of-ada-0123456789"),
            STRANGER,
        ),
        way("two in one", bearer("token-of-ada-0123456789, x"), STRANGER),
        way("a wildcard", bearer("*"), STRANGER),
        way("the user's id", bearer("ada"), STRANGER),
        way("a digest", bearer(digest), STRANGER),
        way("a provider's key", bearer("key-of-only"), STRANGER),
        way("null", bearer("null"), STRANGER),
        way(
            "another scheme",
            with("authorization", "Token token-of-ada-0123456789"),
            STRANGER,
        ),
        way("no scheme", with("authorization", TOKEN), STRANGER),
        way(
            "a colon",
            with("authorization", "Bearer: token-of-ada-0123456789"),
            STRANGER,
        ),
        way(
            "no gap",
            with("authorization", "Bearertoken-of-ada-0123456789"),
            STRANGER,
        ),
        way(
            "a tab for the gap",
            with("authorization", "Bearer\ttoken-of-ada-0123456789"),
            STRANGER,
        ),
        way("another header", with("api-key", TOKEN), STRANGER),
        way("an underscore", with("x_api_key", TOKEN), STRANGER),
        way(
            "for a proxy",
            with("proxy-authorization", right.1),
            STRANGER,
        ),
        way(
            "forwarded",
            with("x-forwarded-authorization", right.1),
            STRANGER,
        ),
        way(
            "a cookie",
            with("cookie", "token=token-of-ada-0123456789"),
            STRANGER,
        ),
        way(
            "right and wrong",
            models(&[right, ("authorization", "Bearer x")]),
            STRANGER,
        ),
        way(
            "wrong and right",
            models(&[("authorization", "Bearer x"), right]),
            STRANGER,
        ),
        way(
            "one in each header",
            models(&[right, ("x-api-key", "x")]),
            STRANGER,
        ),
        way(
            "two keys",
            models(&[("x-api-key", TOKEN), ("x-api-key", "x")]),
            STRANGER,
        ),
        way(
            "two, over HTTP/2",
            over_http2(models(&[right, ("x-api-key", "x")])),
            STRANGER,
        ),
        way("none, over HTTP/2", over_http2(models(&[])), STRANGER),
        way(
            "in the URL",
            request(
                Method::GET,
                "/v1/models?api_key=token-of-ada-0123456789",
                &[],
                "",
            ),
            STRANGER,
        ),
        raw(
            "before the host",
            head(
                "GET http://ada:token-of-ada-0123456789@gateway/v1/models HTTP/1.1",
                "",
            ),
            STRANGER,
        ),
        raw("HTTP/1.0", head("GET /v1/models HTTP/1.0", ""), STRANGER),
        raw(
            "in a trailer",
            head(
                "POST /v1/chat/completions HTTP/1.1",
                "transfer-encoding: chunked\r\ntrailer: x-api-key\r\n",
            ) + "2\r\n{}\r\n0\r\nx-api-key: token-of-ada-0123456789\r\n\r\n",
            STRANGER,
        ),
        raw(
            "a NUL after it",
            head(
                "GET /v1/models HTTP/1.1",
                "x-api-key: token-of-ada-0123456789\0\r\n",
            ),
            NO_HTTP,
        ),
        raw(
            "a folded header",
            head(
                "GET /v1/models HTTP/1.1",
                "x-api-key:\r\n token-of-ada-0123456789\r\n",
            ),
            NO_HTTP,
        ),
        raw(
            "a space before the colon",
            head(
                "GET /v1/models HTTP/1.1",
                "x-api-key : token-of-ada-0123456789\r\n",
            ),
            NO_HTTP,
        ),
        way(
            "in the body",
            request(
                Method::POST,
                "/v1/chat/completions",
                &[],
                json!({"api_key": TOKEN, "model": "test-model"}).to_string(),
            ),
            STRANGER,
        ),
        way("disabled", bearer("token-of-the-disabled-user"), STRANGER),
        way("expired", bearer("token-of-the-expired-user"), STRANGER),
        way("from elsewhere", bearer("token-of-the-user-away"), STRANGER),
    ]
    .into_iter()
    .chain(
        [
            "x-forwarded-for",
            "x-real-ip",
            "forwarded",
            "cf-connecting-ip",
        ]
        .map(|name| {
            let value = if name == "forwarded" {
                "for=192.0.2.1"
            } else {
                "192.0.2.1"
            };
            let headers = [("x-api-key", "token-of-the-user-away"), (name, value)];
            way("an address of one's own", models(&headers), STRANGER)
        }),
    )
    .collect()
}
