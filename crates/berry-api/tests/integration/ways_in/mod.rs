//! Ways to get in without leave, all of them closed.
//!
//! Each row of the tables is one request that tries to pass for somebody else, or to reach a model,
//! a backend, a tag or an admin's route that its user may not. It must be refused in these words,
//! and nothing of it may reach a provider.

mod admin_routes;
mod backends;
mod credentials;
mod models;

use berry_testkit::Upstream;
use http::{Method, Version};

use crate::support::{Answer, Client, Gateway, Raw, Request, Setup, TOKEN, hello, request};

const STRANGER: &str = "401 invalid_request_error/invalid_api_key";
const NO_ADMIN: &str = "403 permission_error/admin_required";
const NO_MODEL: &str = "403 permission_error/model_access_denied model";
const NO_BACKEND: &str = "404 invalid_request_error/backend_not_found backend";
const NO_TAG: &str = "403 permission_error/no_backend_for_user";
const NO_URL: &str = "404 invalid_request_error/unknown_url";
const NO_HTTP: &str = "400 invalid_request_error/invalid_http";
const TWICE_MODEL: &str = "400 invalid_request_error/ambiguous_parameter model";
const TWICE_BACKEND: &str = "400 invalid_request_error/ambiguous_parameter backend";

/// `ada` may use `test-model` only, and shares no tag with its backend at `vip`.
const MORE: &str = r#"
    [providers.off]
    base_url = "http://127.0.0.1:9/v1"
    api_key = "key-of-off"
    enabled = false
    [models.other]
    name = "other-model"
    backends = [{ provider = "elsewhere", model = "hidden" }]
    [models.premium]
    name = "premium-model"
    backends = [{ provider = "vip", model = "hidden", tags = ["premium"] }]
    [users.root]
    token = "token-of-root-0123456789"
    tags = ["admin"]
    [users.disabled]
    token = "token-of-the-disabled-user"
    enabled = false
    [users.expired]
    token = "token-of-the-expired-user"
    expires_at = "2020-01-01T00:00:00Z"
    [users.away]
    token = "token-of-the-user-away"
    allowed_ips = ["192.0.2.0/24", "2001:db8::/32"]
"#;

struct Stage {
    gateway: Gateway,
    upstreams: [Upstream; 3],
}

impl Stage {
    async fn set() -> Self {
        let only = Upstream::start().await;
        let vip = Upstream::start().await;
        let elsewhere = Upstream::start().await;
        let gateway = Setup::over(&only)
            .provider("vip", &vip)
            .backend("tags = [\"premium\"]")
            .provider("elsewhere", &elsewhere)
            .backend("enabled = false")
            .user("tags = [\"basic\"]\nallowed_models = [\"test-model\", \"premium\"]")
            .more(MORE)
            .start();
        Self {
            gateway,
            upstreams: [only, vip, elsewhere],
        }
    }

    /// Tries every way in, and what the same user may do at last.
    async fn refuses(&self, ways: impl IntoIterator<Item = Way>) {
        for Way { what, send, words } in ways {
            let address = self.gateway.address();
            let answer = match send {
                Send::Http1(request) => self.gateway.send(request).await,
                Send::Http2(request) => Client::connect_h2c(address).await.send(request).await,
                Send::Bytes(bytes) => {
                    let mut client = Raw::connect(address).await;
                    client.send(bytes).await;
                    client.answer().await
                }
            };
            assert_eq!(words_of(&answer), words, "{what}");
        }
        for upstream in &self.upstreams {
            assert_eq!(upstream.request_count(), 0);
        }
        assert_eq!(self.gateway.chat(&hello()).await.status, 200);
    }
}

/// Returns an error in one line; only the status where there is no body to look at.
fn words_of(answer: &Answer) -> String {
    if answer.body.is_empty() {
        return answer.status.to_string();
    }
    answer.error()
}

struct Way {
    what: &'static str,
    send: Send,
    words: &'static str,
}

enum Send {
    Http1(Request),
    Http2(Request),
    Bytes(Vec<u8>),
}

fn way(what: &'static str, request: Request, words: &'static str) -> Way {
    let send = match request.version() {
        Version::HTTP_2 => Send::Http2(request),
        _ => Send::Http1(request),
    };
    Way { what, send, words }
}

/// A way that no HTTP library would write.
fn raw(what: &'static str, bytes: impl Into<Vec<u8>>, words: &'static str) -> Way {
    Way {
        what,
        send: Send::Bytes(bytes.into()),
        words,
    }
}

fn over_http2(mut request: Request) -> Request {
    *request.version_mut() = Version::HTTP_2;
    request
}

/// Asks as `ada`.
fn page(method: Method, path: &str) -> Request {
    request(method, path, &[("x-api-key", TOKEN)], "")
}

fn form(path: &str, parts: &str) -> Request {
    let headers = [
        ("x-api-key", TOKEN),
        ("content-type", "multipart/form-data; boundary=x"),
    ];
    request(Method::POST, path, &headers, format!("{parts}--x--\r\n"))
}

fn part(disposition: &str, value: &str) -> String {
    format!("--x\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{value}\r\n")
}

fn head(line: &str, headers: &str) -> String {
    format!("{line}\r\nhost: gateway\r\nconnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn nobody_gets_in_without_leave() {
    let tables = [
        credentials::ways(),
        admin_routes::ways(),
        models::ways(),
        backends::ways(),
    ];
    let ways: Vec<_> = tables.into_iter().flatten().collect();

    assert!(ways.len() >= 60, "{}", ways.len());
    Stage::set().await.refuses(ways).await;
}
