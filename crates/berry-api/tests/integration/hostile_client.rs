//! What a client may do to HTTP, byte by byte: it is refused, and nobody else notices.

use std::time::Duration;

use berry_testkit::Upstream;
use tokio::time::timeout;

use crate::support::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PUSH, RESET, SETTINGS, frame,
};
use crate::support::{Gateway, Raw, Setup, TOKEN, hello, within};

fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n{headers}\r\n{body}"
    )
}

/// A request that must never be seen: it is where a smuggled one would be.
fn smuggled() -> String {
    let body = hello().to_string();
    post(&format!("content-length: {}\r\n", body.len()), &body)
}

async fn serve() -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .more("[server]\nheader_timeout_seconds = 1\nbody_idle_timeout_seconds = 1")
        .start();
    (gateway, upstream)
}

/// What the framing is, the headers that say it, and what comes before a second request.
const FRAMINGS: &[(&str, &str, &str)] = &[
    (
        "two lengths",
        "content-length: 2\r\ncontent-length: 500\r\n",
        "{}",
    ),
    ("a list of lengths", "content-length: 2, 500\r\n", "{}"),
    ("a signed length", "content-length: +2\r\n", "{}"),
    ("a length below nothing", "content-length: -1\r\n", ""),
    (
        "chunks that are not last",
        "transfer-encoding: chunked, identity\r\n",
        "0\r\n\r\n",
    ),
    (
        "an unknown coding",
        "transfer-encoding: xchunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "a name before a space",
        "transfer-encoding : chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "a folded header",
        "x-folded: a\r\n transfer-encoding: chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "a chunk of no size",
        "transfer-encoding: chunked\r\n",
        "zz\r\n",
    ),
    (
        "a chunk of too great a size",
        "transfer-encoding: chunked\r\n",
        "fffffffffffffffff\r\n",
    ),
    (
        "a chunk longer than it says",
        "transfer-encoding: chunked\r\n",
        "2\r\n{}",
    ),
    (
        "a null byte in a header",
        "x-null: a\0b\r\ncontent-length: 2\r\n",
        "{}",
    ),
    (
        "a bare return in a header",
        "x-return: a\rb\r\ncontent-length: 2\r\n",
        "{}",
    ),
];

#[tokio::test]
async fn what_is_framed_in_two_ways_reaches_nobody() {
    let (gateway, upstream) = serve().await;
    let hidden = smuggled();
    let framed = FRAMINGS
        .iter()
        .map(|&(name, headers, before)| (name, post(headers, &format!("{before}{hidden}"))));
    let of_version = |version| smuggled().replacen("HTTP/1.1", version, 1);
    let chunks = post("transfer-encoding: chunked\r\n", "0\r\n\r\n");
    let versions = [
        (
            "HTTP/1.0 and chunks",
            chunks.replacen("HTTP/1.1", "HTTP/1.0", 1),
        ),
        ("no such version", of_version("HTTP/1.2")),
    ];
    let rows = framed.chain(versions);
    for (name, bytes) in rows {
        let mut client = Raw::connect(gateway.address()).await;

        client.send(bytes).await;
        let answered = within(client.rest()).await;

        let refused = ["HTTP/1.1 400 ", "HTTP/1.0 400 "];
        assert!(
            refused.iter().any(|head| answered.starts_with(head)),
            "{name}: {answered}"
        );
        assert_eq!(answered.matches("HTTP/1.").count(), 1, "{name}: {answered}");
        assert_eq!(upstream.request_count(), 0, "{name}");
    }
    assert_eq!(gateway.chat(&hello()).await.status, 200);
}

#[tokio::test]
async fn a_body_of_which_nobody_knows_the_coding_reaches_nobody() {
    let (gateway, upstream) = serve().await;
    let body = hello().to_string();
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n{}", body.len(), smuggled());
    for (headers, status) in [
        ("transfer-encoding: gzip, chunked\r\n", "501"),
        (
            "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
            "501",
        ),
        ("transfer-encoding: identity, chunked\r\n", "501"),
        ("transfer-encoding: chunked, chunked\r\n", "400"),
        ("transfer-encoding: gzip\r\n", "400"),
        ("transfer-encoding: chunked, gzip\r\n", "400"),
    ] {
        let mut client = Raw::connect(gateway.address()).await;

        client.send(post(headers, &chunks)).await;
        // The connection ends with it.
        let answered = within(client.rest()).await;

        let line = format!("HTTP/1.1 {status} ");
        assert!(answered.starts_with(&line), "{headers}: {answered}");
        assert_eq!(
            answered.matches("HTTP/1.").count(),
            1,
            "{headers}: {answered}"
        );
        assert_eq!(upstream.request_count(), 0, "{headers}");
    }
}

/// A body that is one request by its chunks, and by its length holds another one or a part of it.
#[tokio::test]
async fn of_a_length_beside_chunks_nothing_hides_behind_either() {
    let (gateway, upstream) = serve().await;
    let (body, hidden) = (hello().to_string(), smuggled());
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
    let (asked, inside) = (chunk(&body), chunk(&hidden));
    let size_line = |body: &str| body.find('\n').unwrap() + 1;
    // Whoever believes the length finds the hidden request in the chunk, whoever believes the chunks
    // behind them.
    let rows = [
        (
            "behind the chunks",
            asked.len() + hidden.len(),
            format!("{asked}{hidden}"),
            true,
        ),
        (
            "behind a length of nothing",
            0,
            format!("{asked}{hidden}"),
            true,
        ),
        (
            "behind the length of the chunks",
            asked.len(),
            format!("{asked}{hidden}"),
            true,
        ),
        ("in a chunk", size_line(&inside), inside.clone(), false),
        (
            "in a chunk, and behind it",
            size_line(&inside),
            format!("{inside}{hidden}"),
            false,
        ),
    ];
    let mut served = 0;
    for (name, length, body, is_sound) in rows {
        for headers in [
            format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
            format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        ] {
            let mut client = Raw::connect(gateway.address()).await;

            client.send(post(&headers, &body)).await;
            // A connection that stayed open would have a further request in its buffer.
            let answered = within(client.rest()).await;

            let status = if is_sound { "200" } else { "400" };
            let line = format!("HTTP/1.1 {status} ");
            assert!(answered.starts_with(&line), "{name}: {answered}");
            assert_eq!(answered.matches("HTTP/1.").count(), 1, "{name}: {answered}");
            served += usize::from(is_sound);
            assert_eq!(upstream.request_count(), served, "{name}");
        }
    }
}

#[tokio::test]
async fn odd_requests_get_an_answer_of_their_own() {
    let (gateway, upstream) = serve().await;
    let close = "host: x\r\nconnection: close\r\n\r\n";
    let rows = [
        (
            "absolute form",
            format!("GET http://elsewhere/health/live HTTP/1.1\r\n{close}"),
            "200",
        ),
        (
            "asterisk form",
            format!("OPTIONS * HTTP/1.1\r\n{close}"),
            "404",
        ),
        (
            "a tunnel",
            format!("CONNECT elsewhere:443 HTTP/1.1\r\n{close}"),
            "404",
        ),
        (
            "an unknown method",
            format!("BREW /health/live HTTP/1.1\r\n{close}"),
            "405",
        ),
        (
            "TRACE",
            format!("TRACE /health/live HTTP/1.1\r\n{close}"),
            "405",
        ),
        (
            "a method that is no token",
            format!("G@T /health HTTP/1.1\r\n{close}"),
            "400",
        ),
        (
            "a path that is none",
            format!("GET health HTTP/1.1\r\n{close}"),
            "404",
        ),
        (
            "an upgrade",
            "GET /health/live HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade, close\r\nhost: x\r\n\r\n".to_owned(),
            "200",
        ),
        (
            "a thousand headers",
            format!(
                "GET /health/live HTTP/1.1\r\n{}{close}",
                "x: y\r\n".repeat(1000)
            ),
            "431",
        ),
        (
            "a header of 200 KB",
            format!(
                "GET /health/live HTTP/1.1\r\nx: {}\r\n{close}",
                "y".repeat(200_000)
            ),
            "431",
        ),
    ];
    for (name, bytes, status) in rows {
        let mut client = Raw::connect(gateway.address()).await;

        // A refusal may come before the last byte is sent.
        let _ = client.try_send(bytes.as_bytes()).await;
        let answered = within(client.rest()).await;

        assert!(
            answered.starts_with(&format!("HTTP/1.1 {status} ")),
            "{name}: {answered}"
        );
    }
    assert_eq!(upstream.request_count(), 0);
    assert_eq!(gateway.chat(&hello()).await.status, 200);
}

#[tokio::test]
async fn a_request_that_does_not_name_one_host_is_refused() {
    let (gateway, _upstream) = serve().await;
    for hosts in ["", "host: x\r\nhost: x\r\n", "host: a b@c/\r\n"] {
        let mut client = Raw::connect(gateway.address()).await;

        let line = "GET /health/live HTTP/1.1\r\nconnection: close\r\n";
        client.send(format!("{line}{hosts}\r\n")).await;

        let answer = client.answer().await;
        assert_eq!(
            answer.error(),
            "400 invalid_request_error/invalid_host",
            "{hosts}"
        );
    }
}

#[tokio::test]
async fn a_client_that_stops_anywhere_in_its_request_is_let_go() {
    let (gateway, upstream) = serve().await;
    let request = smuggled();
    for length in [0, 1, 10, 40, 90, request.len() - 20, request.len() - 1] {
        let mut client = Raw::connect(gateway.address()).await;
        client.send(&request.as_bytes()[..length]).await;

        // Half-open: nothing more comes, and no end either.
        let answered = within(client.rest()).await;

        assert!(
            answered.is_empty() || answered.starts_with("HTTP/1.1 408 "),
            "after {length}: {answered}"
        );
    }
    assert_eq!(upstream.request_count(), 0);
    assert_eq!(gateway.chat(&hello()).await.status, 200);
}

/// A connection of HTTP/2 that has begun.
async fn http2(gateway: &Gateway) -> Raw {
    let mut client = Raw::connect(gateway.address()).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.send(frame(SETTINGS, 0, 0, &[])).await;
    client
}

/// `GET /health/live`, in HPACK's static table and literals.
const ASK: &[u8] = b"\x82\x86\x44\x0c/health/live\x41\x01x";

/// Sends the same over and over; returns whether the gateway ended the connection.
async fn ends(client: &mut Raw, mut bytes: impl FnMut(u32) -> Vec<u8>) -> bool {
    for round in 0..20_000 {
        if client.try_send(&bytes(round)).await.is_err() {
            return true;
        }
    }
    timeout(Duration::from_secs(2), client.ended())
        .await
        .is_ok()
}

#[tokio::test]
async fn a_flood_of_http2_frames_ends_its_connection_only() {
    let (gateway, upstream) = serve().await;

    let mut rapid = http2(&gateway).await;
    let reset = ends(&mut rapid, |round| {
        let stream = round * 2 + 1;
        let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, ASK);
        bytes.extend(frame(RESET, 0, stream, &[0, 0, 0, 8]));
        bytes
    });
    assert!(reset.await, "rapid resets");

    let mut endless = http2(&gateway).await;
    endless.send(frame(HEADERS, END_STREAM, 1, ASK)).await;
    let continued = ends(&mut endless, |_| {
        frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b")
    });
    assert!(continued.await, "continuations");

    let mut pushing = http2(&gateway).await;
    let pushed = ends(&mut pushing, |_| frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2]));
    assert!(pushed.await, "promises");

    assert_eq!(gateway.chat(&hello()).await.status, 200);
    assert_eq!(upstream.request_count(), 1);
}
