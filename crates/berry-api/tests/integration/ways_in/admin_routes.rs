//! Ways to an admin's route, as a user who is none.

use http::Method;

use super::{NO_ADMIN, NO_MODEL, NO_URL, STRANGER, Way, head, over_http2, page, raw, way};
use crate::support::{TOKEN, request};

/// Returns them, and how each is refused.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn ways() -> Vec<Way> {
    let get = |path: &str| page(Method::GET, path);
    let stats = "/admin/system-stats";
    vec![
        way("a user", get(stats), NO_ADMIN),
        way("a user, over HTTP/2", over_http2(get(stats)), NO_ADMIN),
        way("HEAD", page(Method::HEAD, stats), "403"),
        way("OPTIONS", page(Method::OPTIONS, stats), NO_ADMIN),
        way("POST", page(Method::POST, stats), NO_ADMIN),
        way(
            "an unknown method",
            page("BREW".parse().unwrap(), stats),
            NO_ADMIN,
        ),
        way(
            "a reload",
            page(Method::POST, "/admin/reload-config"),
            NO_ADMIN,
        ),
        way("an unknown route", get("/admin/nothing"), NO_ADMIN),
        way(
            "claimed in the URL",
            get("/admin/system-stats?user=admin&admin=true"),
            NO_ADMIN,
        ),
        way(
            "claimed in a header",
            request(
                Method::GET,
                stats,
                &[
                    ("x-api-key", TOKEN),
                    ("x-user-id", "admin"),
                    ("x-admin", "1"),
                ],
                "",
            ),
            NO_ADMIN,
        ),
        way(
            "another method in a header",
            request(
                Method::POST,
                "/v1/nothing",
                &[
                    ("x-api-key", TOKEN),
                    ("x-original-url", stats),
                    ("x-http-method-override", "GET"),
                ],
                "",
            ),
            NO_URL,
        ),
        way(
            "from a web page",
            request(
                Method::OPTIONS,
                stats,
                &[
                    ("origin", "http://evil"),
                    ("access-control-request-method", "GET"),
                ],
                "",
            ),
            STRANGER,
        ),
        way(
            "without a token",
            request(Method::GET, stats, &[], ""),
            STRANGER,
        ),
        way("upper case", get("/ADMIN/system-stats"), NO_URL),
        way("an escaped letter", get("/%61dmin/system-stats"), NO_URL),
        way(
            "an escaped slash",
            get("/v1%2f..%2fadmin/system-stats"),
            NO_URL,
        ),
        way("two slashes", get("//admin/system-stats"), NO_ADMIN),
        way("nothing below it", get("/admin"), NO_ADMIN),
        way("nothing behind its slash", get("/admin/"), NO_ADMIN),
        way(
            "nothing behind two slashes, without a token",
            request(Method::GET, "//admin", &[], ""),
            STRANGER,
        ),
        way(
            "nothing behind its slash, without a token",
            request(Method::GET, "/admin/", &[], ""),
            STRANGER,
        ),
        way("a step back", get("/v1/../admin/system-stats"), NO_URL),
        way("a step on the spot", get("/./admin/system-stats"), NO_URL),
        way(
            "below the models",
            get("/v1/models/../../admin/system-stats"),
            NO_MODEL,
        ),
        way(
            "a parameter of the path",
            get("/admin;x=/system-stats"),
            NO_URL,
        ),
        way("a slash behind", get("/admin/system-stats/"), NO_ADMIN),
        raw(
            "an absolute URL",
            head(
                "GET http://gateway/admin/system-stats HTTP/1.1",
                "x-api-key: token-of-ada-0123456789\r\n",
            ),
            NO_ADMIN,
        ),
        raw(
            "one request within another",
            head(
                "POST /v1/models HTTP/1.1",
                "x-api-key: token-of-ada-0123456789\r\ncontent-length: 5\r\n\
                 transfer-encoding: chunked\r\n",
            ) + "0\r\n\r\nGET /admin/system-stats HTTP/1.1\r\n\r\n",
            "405 invalid_request_error/method_not_allowed",
        ),
    ]
}
