//! Clients that leave cancel the upstream, and blame nobody.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::Value;

use crate::support::{Client, Gateway, Raw, Setup, TOKEN, chat, hello, hello_stream, within};

/// A gateway whose only backend would be ejected by its first failure.
async fn serve(behaviour: Behaviour) -> (Gateway, Upstream) {
    let upstream = Upstream::builder().behaviour(behaviour).start().await;
    let settings = "circuit_breaker_failure_threshold = 1\nstream_keepalive_seconds = 1";
    (Setup::over(&upstream).settings(settings).start(), upstream)
}

/// Expects the upstream to learn of it, and the backend to be as healthy as before.
async fn cancelled(gateway: &Gateway, upstream: &Upstream) {
    within(upstream.wait_for_cancellations(1)).await;
    assert_eq!(gateway.backends().await, (1, 1));
    upstream.set(Behaviour::echo());
    assert_eq!(gateway.chat(&hello()).await.status, 200);
    assert_eq!(upstream.request_count(), 2);
}

/// Sends a request and leaves when it has reached the upstream.
async fn leave_before_the_head(gateway: &Gateway, upstream: &Upstream, body: &Value) {
    let mut client = gateway.connect().await;
    tokio::select! {
        _ = client.exchange(chat(body.to_string())) => panic!("an answer"),
        () = upstream.wait_for_requests(1) => {}
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_cancels_the_upstream() {
    for body in [hello(), hello_stream()] {
        let (gateway, upstream) = serve(Behaviour::echo().hang()).await;

        leave_before_the_head(&gateway, &upstream, &body).await;

        cancelled(&gateway, &upstream).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_content_cancels_the_upstream() {
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
    let stalled = Behaviour::stream([role], Duration::ZERO).hang_after(1);
    let (gateway, upstream) = serve(stalled).await;

    leave_before_the_head(&gateway, &upstream, &hello_stream()).await;

    cancelled(&gateway, &upstream).await;
}

#[tokio::test]
async fn a_client_that_leaves_after_a_comment_cancels_the_upstream() {
    let (gateway, upstream) = serve(Behaviour::echo().hang()).await;
    let mut answer = gateway.stream(&hello_stream()).await;
    answer.event().await;

    drop(answer);

    cancelled(&gateway, &upstream).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_midst_of_a_stream_cancels_the_upstream() {
    let words = ["one ", "two ", "three "];
    let behaviour = Behaviour::text_stream(words, Duration::ZERO).hang_after(3);
    let (gateway, upstream) = serve(behaviour).await;
    let mut answer = gateway.stream(&hello_stream()).await;
    for _ in 0..3 {
        answer.event().await;
    }

    drop(answer);

    cancelled(&gateway, &upstream).await;
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_that_goes_on_cancels_the_upstream() {
    let pace = Duration::from_millis(5);
    let (gateway, upstream) = serve(Behaviour::echo().chunks(100_000).chunk_interval(pace)).await;
    let mut answer = gateway.stream(&hello_stream()).await;
    answer.event().await;

    drop(answer);

    cancelled(&gateway, &upstream).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_midst_of_a_whole_answer_cancels_the_upstream() {
    let begin = "{\"choices\":[{}],\"text\":\"".to_owned();
    let megabyte = "x".repeat(1 << 20);
    let behaviour = Behaviour::stream([begin, megabyte.clone(), megabyte], Duration::ZERO)
        .header("content-type", "application/json")
        .hang_after(3);
    let (gateway, upstream) = serve(behaviour).await;
    let answer = gateway.stream(&hello()).await;
    assert_eq!(answer.status, 200);

    drop(answer);

    cancelled(&gateway, &upstream).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_a_retry_is_due_is_not_retried_for() {
    let (gateway, upstream) = serve(Behaviour::echo()).await;
    upstream.script([Behaviour::status(429).retry_after(Duration::from_secs(4))]);

    leave_before_the_head(&gateway, &upstream, &hello()).await;

    assert_eq!(upstream.request_count(), 1);
}

#[tokio::test]
async fn an_http2_client_that_cancels_a_request_cancels_its_upstream_only() {
    let (gateway, upstream) = serve(Behaviour::echo()).await;
    let mut client = Client::connect_h2c(gateway.address()).await;
    upstream.script([Behaviour::echo().hang()]);

    tokio::select! {
        _ = client.exchange(chat(hello().to_string())) => panic!("an answer"),
        () = upstream.wait_for_requests(1) => {}
    }

    within(upstream.wait_for_cancellations(1)).await;
    assert_eq!(client.send(chat(hello().to_string())).await.status, 200);
    assert_eq!(gateway.backends().await, (1, 1));
}

/// A chat request as bytes.
fn raw_chat(body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_client_that_leaves_with_more_sent_behind_its_request_cancels_the_upstream() {
    let begun = Behaviour::text_stream(["one ", "two "], Duration::ZERO).hang_after(2);
    let phases = [
        (Behaviour::echo().hang(), hello(), ""),
        (Behaviour::echo().hang(), hello_stream(), ""),
        (Behaviour::echo().hang(), hello_stream(), ": keep-alive"),
        (begun, hello_stream(), "one "),
    ];
    let behind = [
        "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "no HTTP at all".to_owned(),
        "x".repeat(20_000),
    ];
    for (behaviour, body, awaited) in phases {
        for more in &behind {
            let (gateway, upstream) = serve(behaviour.clone()).await;
            let mut client = Raw::connect(gateway.address()).await;
            client.send(raw_chat(&body)).await;
            within(upstream.wait_for_requests(1)).await;
            client.send(more).await;
            client.until(awaited).await;

            drop(client);

            cancelled(&gateway, &upstream).await;
        }
    }
}
