//! Requests whose bodies are still being sent: they count like those that are being answered.

use berry_testkit::Upstream;
use http::Method;

use crate::support::{Answer, Gateway, Raw, Setup, TOKEN, get, hello, request, within};

const EVE: &str = "token-of-eve-0123456789";

fn gateway(upstream: &Upstream) -> Gateway {
    Setup::over(upstream)
        .settings("max_inflight_requests = 2")
        .user("tags = [\"admin\"]\nrate_limit = { max_concurrent_requests = 1 }")
        .more(&format!("[users.eve]\ntoken = \"{EVE}\""))
        .start()
}

/// Sends the head of a chat with a body of this length.
async fn begin(gateway: &Gateway, length: usize) -> Raw {
    let mut client = Raw::connect(gateway.address()).await;
    client
        .send(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n"
        ))
        .await;
    client
}

/// Waits until so many requests of the user have a place.
async fn running(gateway: &Gateway, count: u64) {
    let page = "/admin/rate-limit-usage?user_id=ada";
    within(async {
        while gateway.send(get(page)).await.json()["usage"]["concurrent_requests"] != count {}
    })
    .await;
}

async fn chat_of(gateway: &Gateway, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let path = "/v1/chat/completions";
    let body = hello().to_string();
    gateway
        .send(request(Method::POST, path, &headers, body))
        .await
}

#[tokio::test]
async fn a_body_that_is_being_sent_takes_its_users_place_and_nobody_elses() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream);
    let body = hello().to_string();
    let mut sending = begin(&gateway, body.len()).await;
    running(&gateway, 1).await;

    // Of these no body comes at all.
    for _ in 0..3 {
        let refused = begin(&gateway, 30_000_000).await.answer().await;
        assert_eq!(refused.error(), "429 rate_limit_error/rate_limit_exceeded");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(chat_of(&gateway, EVE).await.status, 200);

    sending.send(body).await;
    assert_eq!(sending.answer().await.status, 200);
    running(&gateway, 0).await;
    assert_eq!(chat_of(&gateway, TOKEN).await.status, 200);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_refused_gives_its_place_back() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream);

    let mut sending = begin(&gateway, 100).await;
    sending.send("{\"model\":").await;
    running(&gateway, 1).await;
    drop(sending);
    running(&gateway, 0).await;

    let mut sending = begin(&gateway, 2).await;
    sending.send("{}").await;
    assert_eq!(sending.answer().await.status, 400);
    running(&gateway, 0).await;
    let refused = begin(&gateway, 1 << 40).await.answer().await;
    assert_eq!(refused.status, 413);

    assert_eq!(chat_of(&gateway, TOKEN).await.status, 200);
    assert_eq!(upstream.request_count(), 1);
}
