//! Who is let in, and what the others are told.

use berry_testkit::Upstream;
use http::Method;
use serde_json::json;

use crate::support::{Answer, Gateway, Raw, Request, Setup, TOKEN, chat, hello, request};

const REFUSED: &str = "401 invalid_request_error/invalid_api_key";
const BEARER: &str = "Bearer token-of-ada-0123456789";

/// Asks for the models with these headers.
async fn ask(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    gateway.send(list(headers)).await
}

fn list(headers: &[(&str, &str)]) -> Request {
    request(Method::GET, "/v1/models", headers, "")
}

async fn gateway() -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    (Setup::over(&upstream).start(), upstream)
}

#[tokio::test]
async fn a_token_is_accepted_as_bearer_or_as_api_key() {
    let (gateway, _upstream) = gateway().await;

    for headers in [
        &[("authorization", BEARER)][..],
        &[("authorization", "bearer token-of-ada-0123456789")],
        &[("authorization", "BEARER   token-of-ada-0123456789")],
        &[("Authorization", BEARER), ("Authorization", BEARER)],
        &[("x-api-key", TOKEN)],
        &[("authorization", BEARER), ("x-api-key", TOKEN)],
        &[
            ("authorization", "Basic YWRhOnBhc3M="),
            ("x-api-key", TOKEN),
        ],
        &[("authorization", ""), ("x-api-key", TOKEN)],
        &[("authorization", BEARER), ("x-api-key", "")],
    ] {
        assert_eq!(ask(&gateway, headers).await.status, 200, "{headers:?}");
    }
}

#[tokio::test]
async fn any_other_credential_is_refused_in_the_same_words() {
    let (gateway, _upstream) = gateway().await;
    let long = format!("Bearer {}", "x".repeat(10_000));
    let expected = ask(&gateway, &[]).await;

    for headers in [
        &[][..],
        &[("authorization", "Bearer token-of-somebody-else")],
        &[("authorization", "Bearer Token-Of-Ada-0123456789")],
        &[("authorization", "Bearer token-of-ada-012345678")],
        &[("authorization", "Bearer token-of-ada-01234567890")],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer ")],
        &[("authorization", "")],
        &[("authorization", TOKEN)],
        &[("authorization", "Basic YWRhOnBhc3M=")],
        &[("authorization", &long)],
        &[("authorization", "Bearer t\u{f6}ken-of-ada-0123456789")],
        &[("authorization", "Bearer token-of-ada\t0123456789")],
        &[
            ("authorization", BEARER),
            ("authorization", "Bearer another-token"),
        ],
        &[("authorization", BEARER), ("x-api-key", "another-token")],
        &[("authorization", "Bearer wrong"), ("x-api-key", TOKEN)],
        &[("x-api-key", "")],
        &[("x-api-key", "token-of-somebody-else")],
        &[("api-key", TOKEN)],
        &[("cookie", "token=token-of-ada-0123456789")],
    ] {
        let answer = ask(&gateway, headers).await;

        assert_eq!(answer.error(), REFUSED, "{headers:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert_eq!(answer.body, expected.body, "{headers:?}");
    }
    assert!(expected.text().contains("Authorization: Bearer"));
}

#[tokio::test]
async fn control_characters_in_a_credential_are_no_http() {
    let (gateway, _upstream) = gateway().await;

    for credential in ["Bearer \x01", "Bearer a\0b", "Bearer \x7f"] {
        let mut client = Raw::connect(gateway.address()).await;
        let head = "GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: ";
        client.send(format!("{head}{credential}\r\n\r\n")).await;

        let error = client.answer().await.error();

        assert_eq!(error, "400 invalid_request_error/invalid_http");
    }
}

#[tokio::test]
async fn a_token_in_the_url_is_not_looked_at() {
    let (gateway, _upstream) = gateway().await;

    for name in ["token", "api_key", "api-key", "key", "access_token"] {
        let path = format!("/v1/models?{name}={TOKEN}");

        let answer = gateway.send(request(Method::GET, &path, &[], "")).await;

        assert_eq!(answer.error(), REFUSED, "{name}");
    }
}

#[tokio::test]
async fn every_user_route_wants_a_token() {
    let (gateway, upstream) = gateway().await;

    for (method, path) in [
        (Method::GET, "/models"),
        (Method::GET, "/v1/models"),
        (Method::GET, "/v1/models/test-model"),
        (Method::GET, "/v1/models/no-such-model"),
        (Method::POST, "/v1/chat/completions"),
    ] {
        let answer = gateway.send(request(method, path, &[], "")).await;

        assert_eq!(answer.error(), REFUSED, "{path}");
    }
    assert_eq!(upstream.connection_count(), 0);
}

#[tokio::test]
async fn a_stranger_learns_nothing_about_a_request() {
    let (gateway, upstream) = gateway().await;
    let large = vec![b' '; 100_000];

    for body in [
        hello().to_string().into_bytes(),
        b"not json".to_vec(),
        json!({"model": "no-such-model"}).to_string().into_bytes(),
        large,
    ] {
        let path = "/v1/chat/completions";
        let kind = ("content-type", "text/plain");

        let answer = gateway
            .send(request(Method::POST, path, &[kind], body))
            .await;

        assert_eq!(answer.error(), REFUSED);
    }
    assert_eq!(upstream.connection_count(), 0);
}

#[tokio::test]
async fn disabled_expired_and_misplaced_users_are_refused_like_strangers() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .more(
            r#"
            [users.disabled]
            token = "token-of-the-disabled-user"
            enabled = false
            [users.expired]
            token = "token-of-the-expired-user"
            expires_at = "2020-01-01T00:00:00Z"
            [users.elsewhere]
            token = "token-of-the-user-elsewhere"
            allowed_ips = ["192.0.2.0/24"]
            [users.here]
            token = "token-of-the-user-here"
            allowed_ips = ["192.0.2.0/24", "127.0.0.0/8"]
            expires_at = "2999-01-01T00:00:00Z"
            "#,
        )
        .start();
    let stranger = ask(&gateway, &[("x-api-key", "token-of-nobody")]).await;

    for user in ["disabled-user", "expired-user", "user-elsewhere"] {
        let answer = ask(&gateway, &[("x-api-key", &format!("token-of-the-{user}"))]).await;

        assert_eq!(answer.error(), REFUSED, "{user}");
        assert_eq!(answer.body, stranger.body, "{user}");
    }
    let here = ask(&gateway, &[("x-api-key", "token-of-the-user-here")]).await;
    assert_eq!(here.status, 200);
}

#[tokio::test]
async fn only_what_a_trusted_proxy_says_of_the_address_is_believed() {
    let user = "token-of-the-user-elsewhere";
    for (trusted, forwarded, expected) in [
        ("[]", "192.0.2.7", 401),
        ("[\"10.0.0.0/8\"]", "192.0.2.7", 401),
        ("[\"127.0.0.0/8\"]", "192.0.2.7", 200),
        ("[\"127.0.0.0/8\"]", "::ffff:192.0.2.7", 200),
        ("[\"127.0.0.0/8\"]", "192.0.2.7, 8.8.8.8", 401),
        ("[\"127.0.0.0/8\", \"8.8.8.8\"]", "192.0.2.7, 8.8.8.8", 200),
        ("[\"127.0.0.0/8\"]", "8.8.8.8, 192.0.2.7", 200),
        ("[\"127.0.0.0/8\"]", "192.0.2.7, unknown", 401),
    ] {
        let upstream = Upstream::start().await;
        let gateway = Setup::over(&upstream)
            .settings(&format!("trusted_proxies = {trusted}"))
            .more(&format!(
                "[users.bob]\ntoken = \"{user}\"\nallowed_ips = [\"192.0.2.0/24\"]"
            ))
            .start();
        let headers = [("x-api-key", user), ("x-forwarded-for", forwarded)];

        let answer = ask(&gateway, &headers).await;

        assert_eq!(answer.status, expected, "{trusted} {forwarded}");
    }
}

#[tokio::test]
async fn a_token_may_be_configured_as_its_digest() {
    let upstream = Upstream::start().await;
    // printf %s token-by-its-digest | sha256sum
    let digest = "2bb8149b5be449749b6d3f9e08423aa306498d3980801623339ddd46f8a7e771";
    let gateway = Setup::over(&upstream)
        .more(&format!("[users.bob]\ntoken_sha256 = \"{digest}\""))
        .start();

    let answer = ask(&gateway, &[("x-api-key", "token-by-its-digest")]).await;

    assert_eq!(answer.status, 200);
    assert_eq!(ask(&gateway, &[("x-api-key", digest)]).await.status, 401);
}

/// A gateway with the models `test-model` (key `chat`) and `other-model` (key `other`), whose only
/// user may use what `allowed` says.
async fn with_allowed_models(allowed: &str) -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .user(&format!("allowed_models = {allowed}"))
        .more(
            r#"
            [models.other]
            name = "other-model"
            backends = [{ provider = "only", model = "other" }]
            "#,
        )
        .start();
    (gateway, upstream)
}

async fn status_of(gateway: &Gateway, model: &str) -> String {
    let answer = gateway
        .send(chat(json!({"model": model}).to_string()))
        .await;
    match answer.status {
        200 => "200".to_owned(),
        _ => answer.error(),
    }
}

#[tokio::test]
async fn a_restricted_user_cannot_tell_a_forbidden_model_from_an_unknown_one() {
    for allowed in [r#"["test-model"]"#, r#"["chat"]"#] {
        let (gateway, upstream) = with_allowed_models(allowed).await;
        let denied = "403 permission_error/model_access_denied model";

        for (model, expected) in [
            ("other-model", denied),
            ("other", denied),
            ("no-such-model", denied),
            ("upstream-model", denied),
            ("TEST-MODEL", denied),
        ] {
            assert_eq!(status_of(&gateway, model).await, expected, "{model}");
        }
        assert_eq!(upstream.connection_count(), 0);
        for model in ["test-model", "chat"] {
            let answer = gateway.chat(&with_model(model)).await;
            assert_eq!(answer.status, 200, "{model}");
        }
    }
}

#[tokio::test]
async fn an_unrestricted_user_is_told_that_a_model_does_not_exist() {
    let (gateway, upstream) = with_allowed_models("[]").await;
    let unknown = "404 invalid_request_error/model_not_found model";

    for model in ["no-such-model", "upstream-model", "Test-Model", " "] {
        assert_eq!(status_of(&gateway, model).await, unknown, "{model:?}");
    }
    assert_eq!(upstream.connection_count(), 0);
    for model in ["test-model", "chat", "other-model", "other"] {
        let answer = gateway.chat(&with_model(model)).await;
        assert_eq!(answer.status, 200, "{model}");
    }
}

fn with_model(model: &str) -> serde_json::Value {
    let mut body = hello();
    body["model"] = json!(model);
    body
}

#[tokio::test]
async fn the_tags_admin_and_unlimited_do_not_lift_allowed_models() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .user("allowed_models = [\"something-else\"]\ntags = [\"admin\", \"unlimited\"]")
        .start();

    let answer = gateway.chat(&hello()).await;

    assert_eq!(
        answer.error(),
        "403 permission_error/model_access_denied model"
    );
}
