//! How a gateway stops.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Client, Gateway, Setup, chat, get, hello, hello_stream, within};

const PACE: Duration = Duration::from_millis(50);

async fn serve(behaviour: Behaviour, grace: u64) -> (Gateway, Upstream) {
    let upstream = Upstream::builder().behaviour(behaviour).start().await;
    let settings = format!("shutdown_grace_seconds = {grace}");
    (Setup::over(&upstream).settings(&settings).start(), upstream)
}

/// Waits until nobody listens any more.
async fn refuses_connections(gateway: &Gateway) {
    within(async {
        while TcpStream::connect(gateway.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_in_flight_finishes_and_new_connections_are_refused() {
    let (mut gateway, _upstream) = serve(Behaviour::echo().chunk_interval(PACE), 10).await;
    let mut stream = gateway.stream(&hello_stream()).await;
    stream.event().await;

    gateway.shut_down();
    refuses_connections(&gateway).await;
    let rest = stream.rest().await;

    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    gateway.stopped().await;
}

#[tokio::test]
async fn a_request_that_waits_for_its_upstream_finishes() {
    let (mut gateway, upstream) = serve(Behaviour::echo().delay(PACE * 10), 10).await;
    let mut client = gateway.connect().await;
    let answer = client.send(chat(hello().to_string()));

    let (answer, ()) = tokio::join!(answer, async {
        upstream.wait_for_requests(1).await;
        gateway.shut_down();
    });

    assert!(answer.said().ends_with("hello"));
    gateway.stopped().await;
}

#[tokio::test]
async fn a_client_that_sleeps_over_http2_does_not_hold_a_gateway_up() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let (mut gateway, _upstream) = serve(Behaviour::echo(), 3_600).await;
    let mut client = TcpStream::connect(gateway.address()).await.unwrap();
    client.write_all(PREFACE).await.unwrap();
    // The session has begun; from here on nothing is answered.
    within(client.read_exact(&mut [0; 9])).await.unwrap();

    gateway.shut_down();

    gateway.stopped().await;
}

#[tokio::test]
async fn idle_connections_do_not_hold_a_gateway_up() {
    let (mut gateway, _upstream) = serve(Behaviour::echo(), 3_600).await;
    let mut client = gateway.connect().await;
    client.send(get("/health/live")).await;
    let _unused = TcpStream::connect(gateway.address()).await.unwrap();

    gateway.shut_down();

    client.closed().await;
    gateway.stopped().await;
}

#[tokio::test]
async fn what_outlasts_the_grace_ends_with_an_error() {
    let begun = Behaviour::text_stream(["one ", "two "], Duration::ZERO).hang_after(2);
    let hung = Behaviour::echo().hang();
    let rows = [
        ("a stream in its midst", begun, hello_stream(), (15, 1), 200),
        (
            "a stream of comments",
            hung.clone(),
            hello_stream(),
            (1, 2),
            200,
        ),
        (
            "a stream that waits",
            hung.clone(),
            hello_stream(),
            (15, 1),
            503,
        ),
        ("a whole answer", hung, hello(), (15, 1), 503),
    ];
    for (name, behaviour, body, (keep_alive, grace), status) in rows {
        let upstream = Upstream::builder().behaviour(behaviour).start().await;
        let settings =
            format!("shutdown_grace_seconds = {grace}\nstream_keepalive_seconds = {keep_alive}");
        let mut gateway = Setup::over(&upstream).settings(&settings).start();
        let http1 = gateway.connect().await;
        let http2 = Client::connect_h2c(gateway.address()).await;

        let (first, second, ()) = tokio::join!(
            http1.open(chat(body.to_string())),
            http2.open(chat(body.to_string())),
            async {
                upstream.wait_for_requests(2).await;
                gateway.shut_down();
            },
        );

        for answer in [first, second] {
            assert_eq!(answer.status, status, "{name}");
            let (rest, ending) = answer.rest_and_ending().await;
            assert!(ending.is_ok(), "{name}: {ending:?} after {rest}");
            let errors = rest.matches("\"shutting_down\"").count();
            assert_eq!(
                (errors, rest.contains("[DONE]")),
                (1, false),
                "{name}: {rest}"
            );
        }
        within(upstream.wait_for_cancellations(2)).await;
        gateway.stopped().await;
    }
}

#[tokio::test]
async fn a_stream_that_is_over_but_for_its_upstreams_end_ends_well_with_the_grace() {
    let done = Behaviour::text_stream(["one "], Duration::ZERO).hang_after(4);
    let (mut gateway, _upstream) = serve(done, 1).await;
    let stream = gateway.stream(&hello_stream()).await;

    gateway.shut_down();
    let rest = stream.rest().await;

    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    gateway.stopped().await;
}

#[tokio::test]
async fn idle_connections_are_closed_while_a_stream_goes_on() {
    let (mut gateway, _upstream) = serve(Behaviour::echo().chunk_interval(PACE), 10).await;
    let mut http1 = gateway.connect().await;
    let mut http2 = Client::connect_h2c(gateway.address()).await;
    for client in [&mut http1, &mut http2] {
        client.send(get("/health/ready")).await;
    }
    let mut stream = gateway.stream(&hello_stream()).await;
    stream.event().await;

    gateway.shut_down();

    http1.closed().await;
    http2.closed().await;
    let rest = stream.rest().await;
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    gateway.stopped().await;
}
