//! What a client may cost: bytes, time, connections.

use std::iter;
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use tokio::time::{Instant, timeout};

use crate::support::{Client, Gateway, Raw, Setup, TOKEN, chat, get, hello, hello_stream, within};

async fn gateway(settings: &str, server: &str) -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    let setup = Setup::over(&upstream)
        .settings(settings)
        .more(&format!("[server]\n{server}"));
    (setup.start(), upstream)
}

/// Returns a valid body of exactly this length.
fn body_of(length: usize) -> String {
    let body = hello().to_string();
    let padding = " ".repeat(length - body.len());
    body + &padding
}

fn head(headers: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n{headers}\r\n"
    )
}

#[tokio::test]
async fn a_body_as_large_as_allowed_passes_and_one_byte_more_does_not() {
    let (gateway, upstream) = gateway("max_body_bytes = 5000", "").await;

    let fits = gateway.send(chat(body_of(5_000))).await;
    let too_large = gateway.send(chat(body_of(5_001))).await;

    assert_eq!(fits.status, 200);
    assert_eq!(
        too_large.error(),
        "413 invalid_request_error/request_too_large"
    );
    assert_eq!(upstream.request_count(), 1);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_bounded_as_well() {
    let (gateway, upstream) = gateway("max_body_bytes = 5000", "").await;
    let chunked = |body: &str| {
        let length = body.len();
        let headers = "transfer-encoding: chunked\r\nconnection: close\r\n";
        format!("{}{length:x}\r\n{body}\r\n0\r\n\r\n", head(headers))
    };

    for (length, status) in [(5_000, "200"), (5_001, "413")] {
        let mut client = Raw::connect(gateway.address()).await;
        client.send(chunked(&body_of(length))).await;

        let answer = client.rest().await;

        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    assert_eq!(upstream.request_count(), 1);
}

#[tokio::test]
async fn a_body_announced_as_too_large_is_refused_unread() {
    let (gateway, upstream) = gateway("", "").await;
    let mut client = Raw::connect(gateway.address()).await;

    client.send(head("content-length: 33554433\r\n")).await;
    let answer = client.until("request_too_large").await;

    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(upstream.connection_count(), 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (gateway, _upstream) = gateway("", "").await;
    let many = "x-more: 1\r\n".repeat(200);
    let long = "x".repeat(66_000);

    for (head, expected) in [
        (
            format!("GET /health HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
            "431 invalid_request_error/request_header_fields_too_large",
        ),
        (
            format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
            "414 invalid_request_error/uri_too_long",
        ),
    ] {
        let mut client = Raw::connect(gateway.address()).await;
        client.send(head).await;

        assert_eq!(client.answer().await.error(), expected);
    }
}

#[tokio::test]
async fn a_head_that_never_ends_ends_the_connection() {
    let (gateway, _upstream) = gateway("", "").await;
    let mut client = Raw::connect(gateway.address()).await;
    client
        .send("GET /health HTTP/1.1\r\nhost: x\r\nx-padding: ")
        .await;

    // The answer may be lost: the connection is reset over what was sent meanwhile.
    let padding = [b'x'; 8_000];
    let mut taken = 0;
    while taken < 1_000 && client.try_send(&padding).await.is_ok() {
        taken += 1;
    }

    assert!(taken < 1_000);
    assert_eq!(gateway.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn a_body_that_stalls_is_a_408() {
    let (gateway, upstream) = gateway("", "body_idle_timeout_seconds = 1").await;
    let mut client = Raw::connect(gateway.address()).await;

    client
        .send(head("content-length: 100\r\n") + "{\"model\":")
        .await;
    let answer = client.until("request_timeout").await;

    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(upstream.connection_count(), 0);
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_ends_the_connection() {
    let (gateway, _upstream) = gateway("", "header_timeout_seconds = 1").await;
    let began = Instant::now();
    let ends = async |start: &str| {
        let mut client = Raw::connect(gateway.address()).await;
        client.send(start).await;
        client.rest().await
    };

    let answers = tokio::join!(
        ends(""),
        ends("GET /health HTTP/1.1\r\nhost:"),
        ends("PRI * HTT")
    );

    assert!(began.elapsed() >= Duration::from_millis(900));
    for answer in <[String; 3]>::from(answers) {
        assert!(!answer.contains("200"), "{answer}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let (gateway, _upstream) = gateway("", "client_idle_timeout_seconds = 1").await;
    let mut http1 = gateway.connect().await;
    let mut http2 = Client::connect_h2c(gateway.address()).await;
    for client in [&mut http1, &mut http2] {
        assert_eq!(client.send(get("/health/live")).await.status, 200);
    }

    http1.closed().await;
    http2.closed().await;
}

#[tokio::test]
async fn waiting_for_an_answer_is_not_idle() {
    let (gateway, upstream) = gateway(
        "stream_keepalive_seconds = 0",
        "client_idle_timeout_seconds = 1\nheader_timeout_seconds = 1\nclient_write_timeout_seconds = 1",
    )
    .await;
    upstream.set(Behaviour::echo().delay(Duration::from_millis(1_500)));
    let mut http1 = gateway.connect().await;
    let mut http2 = Client::connect_h2c(gateway.address()).await;

    let answers = tokio::join!(
        http1.send(chat(hello().to_string())),
        http2.send(chat(hello().to_string())),
    );

    assert_eq!((answers.0.status, answers.1.status), (200, 200));
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_left() {
    let (gateway, upstream) = gateway("", "client_write_timeout_seconds = 1").await;
    let content = "x".repeat(100_000);
    let event = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n");
    upstream.set(Behaviour::stream(vec![event; 500], Duration::ZERO));
    let mut client = Raw::connect(gateway.address()).await;
    let body = hello_stream().to_string();

    client
        .send(head(&format!("content-length: {}\r\n", body.len())) + &body)
        .await;

    within(upstream.wait_for_cancellations(1)).await;
    assert_eq!(gateway.backends().await, (1, 1));
}

#[tokio::test]
async fn a_client_that_opens_no_window_for_an_http2_stream_loses_that_stream_only() {
    let (gateway, upstream) = gateway("", "client_write_timeout_seconds = 1").await;
    let content = "x".repeat(100_000);
    let event = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n");
    let begin = "{\"choices\":[{}],\"text\":\"".to_owned();
    let whole = iter::once(begin).chain(iter::repeat_n("x".repeat(1 << 20), 50));
    let whole = Behaviour::stream(whole, Duration::ZERO).header("content-type", "application/json");
    let mut client = Client::connect_h2c(gateway.address()).await;
    let rows = [
        (
            Behaviour::stream(vec![event; 500], Duration::ZERO),
            hello_stream(),
        ),
        (whole, hello()),
    ];
    for (count, (behaviour, body)) in (1..).zip(rows) {
        upstream.set(behaviour);

        // Its connection is served: pings are answered, and windows opened for what is read.
        let unread = within(client.exchange(chat(body.to_string())))
            .await
            .unwrap();

        within(upstream.wait_for_cancellations(count)).await;
        upstream.set(Behaviour::echo());
        assert_eq!(client.send(chat(hello().to_string())).await.status, 200);
        drop(unread);
    }
    assert_eq!(gateway.backends().await, (1, 1));
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let upstream = Upstream::start().await;
    // Of one place none is kept back.
    let gateway = Gateway::start_with(&Setup::over(&upstream).toml(), 1);
    let mut first = gateway.connect().await;
    assert_eq!(first.send(get("/health/live")).await.status, 200);
    let mut second = gateway.connect().await;
    let waiting = second.exchange(get("/health/live"));
    tokio::pin!(waiting);

    let early = timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err());
    drop(first);

    assert_eq!(within(waiting).await.unwrap().status(), 200);
}
