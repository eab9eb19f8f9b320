//! What an upstream may do to HTTP, byte by byte, and that no client sees it.
//!
//! Each row is played by a socket of its own. A row either fails, and the request is answered by
//! another backend, or is odd but lawful, and the answer passes.

use std::time::Duration;

use berry_testkit::Upstream;
use tokio::time::Instant;

use crate::support::{Script, Setup, Then, error_event, hello, hello_stream, within};

const JSON: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"odd"},"finish_reason":"stop"}]}"#;

fn sized(head: &str) -> String {
    format!(
        "{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{JSON}",
        JSON.len()
    )
}

/// Answers that are not sound. `$OK` is a status line, `$HEAD` has a content type as well, `$SIZE` is
/// the body's; `$HALF` a part of it.
const BROKEN: &[(&str, &str, Then)] = &[
    ("closed before a byte", "", Then::Close),
    ("reset before a byte", "", Then::Reset),
    ("closed in the status line", "HTTP/1.1 2", Then::Close),
    ("reset in the status line", "HTTP/1.1 2", Then::Reset),
    ("closed in the head", "$HEAD", Then::Close),
    ("reset in the head", "$HEAD", Then::Reset),
    ("silent in the head", "$HEAD", Then::Hold),
    (
        "silent in the body",
        "$HEADcontent-length: $SIZE\r\n\r\n$HALF",
        Then::Hold,
    ),
    (
        "length not reached",
        "$HEADcontent-length: $SIZE\r\n\r\n$HALF",
        Then::Close,
    ),
    (
        "reset in the body",
        "$HEADcontent-length: $SIZE\r\n\r\n$HALF",
        Then::Reset,
    ),
    (
        "chunks without their end",
        "$CHUNKS$HEX\r\n$JSON\r\n",
        Then::Close,
    ),
    ("a chunk cut short", "$CHUNKS$HEX\r\n$HALF", Then::Close),
    (
        "a chunk of no size",
        "$CHUNKSzz\r\n$JSON\r\n0\r\n\r\n",
        Then::Close,
    ),
    (
        "a chunk of too great a size",
        "$CHUNKSfffffffffffffffff\r\n$JSON",
        Then::Close,
    ),
    (
        "two lengths",
        "$HEADcontent-length: 5\r\ncontent-length: 6\r\n\r\n$JSON",
        Then::Close,
    ),
    (
        "a length beside chunks",
        "$HEADcontent-length: $SIZE\r\ntransfer-encoding: chunked\r\n\r\n$HEX\r\n$JSON\r\n0\r\n\r\n",
        Then::Close,
    ),
    (
        "a coding unasked",
        "$HEADtransfer-encoding: gzip\r\n\r\n$JSON",
        Then::Close,
    ),
    (
        "a header in two lines",
        "$HEADx-folded: a\r\n b\r\ncontent-length: $SIZE\r\n\r\n$JSON",
        Then::Close,
    ),
    (
        "a blank before a colon",
        "$HEADcontent-length : $SIZE\r\n\r\n$JSON",
        Then::Close,
    ),
    (
        "a length below nothing",
        "$HEADcontent-length: -1\r\n\r\n$JSON",
        Then::Close,
    ),
    (
        "a length that is too short",
        "$HEADcontent-length: 40\r\n\r\n$JSON",
        Then::Close,
    ),
    (
        "compressed",
        "$HEADcontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x0b\x08\x00",
        Then::Close,
    ),
    ("no body", "$HEADcontent-length: 0\r\n\r\n", Then::Close),
    ("no content", "HTTP/1.1 204 No Content\r\n\r\n", Then::Close),
    ("not HTTP", "SSH-2.0-OpenSSH_9.6\r\n", Then::Close),
    ("HTTP/2 unasked", "\0\0\0\x04\0\0\0\0\0", Then::Close),
    (
        "a header without an end",
        "$OKx-padding: $LONG",
        Then::Close,
    ),
    ("headers without an end", "$OK$MANY", Then::Close),
    (
        "hints without an end",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        Then::Repeat,
    ),
    ("bytes without an end", "$LONG", Then::Repeat),
    (
        "a switch of protocols",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        Then::Close,
    ),
];

/// Returns a row of [`BROKEN`] in full.
fn in_full(bytes: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let size = JSON.len();
    bytes
        .replace(
            "$CHUNKS",
            &format!("{head}transfer-encoding: chunked\r\n\r\n"),
        )
        .replace("$HEAD", head)
        .replace("$OK", "HTTP/1.1 200 OK\r\n")
        .replace("$LONG", &"x".repeat(100_000))
        .replace("$MANY", &"x: y\r\n".repeat(200))
        .replace("$SIZE", &size.to_string())
        .replace("$HEX", &format!("{size:x}"))
        .replace("$HALF", &JSON[..40])
        .replace("$JSON", JSON)
}

#[tokio::test]
async fn a_whole_answer_that_is_not_sound_is_asked_of_another_backend() {
    let spare = Upstream::start().await;
    for &(name, bytes, then) in BROKEN {
        let upstream = Script::start(in_full(bytes), then).await;
        let gateway = Setup::new()
            .provider_at("odd", &upstream.url())
            .provider("spare", &spare)
            .settings(
                "request_timeout_seconds = 1\njson_timeout_seconds = 1\nstream_idle_timeout_seconds = 1",
            )
            .start();

        let answer = within(gateway.chat(&hello())).await;

        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert!(
            answer.said().ends_with("hello"),
            "{name}: {}",
            answer.text()
        );
    }
}

/// What makes it one is its status; the rest of it would be read for the log.
#[tokio::test]
async fn a_failure_whose_body_does_not_come_does_not_keep_its_request_waiting() {
    let spare = Upstream::start().await;
    for status in [
        "500 Oh",
        "503 Busy",
        "429 Slow Down",
        "401 Who",
        "404 Where",
    ] {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 100\r\n\r\n{{");
        let upstream = Script::start(head, Then::Hold).await;
        let gateway = Setup::new()
            .provider_at("odd", &upstream.url())
            .provider("spare", &spare)
            .start();
        let asked = Instant::now();

        let answer = within(gateway.chat(&hello())).await;

        assert_eq!(answer.status, 200, "{status}: {}", answer.text());
        let waited = asked.elapsed();
        assert!(waited < Duration::from_secs(3), "{status}: {waited:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_odd_but_lawful_passes() {
    let size = JSON.len();
    let chunks = JSON.chars().map(|c| format!("1;name=value\r\n{c}\r\n"));
    let bytewise = chunks.collect::<Vec<_>>().concat();
    let rows: Vec<(&str, String)> = vec![
        (
            "HTTP/1.0, ended by the connection",
            format!("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{JSON}"),
        ),
        (
            "ended by the connection",
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{JSON}"),
        ),
        (
            "hints before it",
            sized("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n"),
        ),
        (
            "told to continue unasked",
            sized("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
        ),
        ("no reason", sized("HTTP/1.1 200\r\n")),
        ("an odd reason", sized("HTTP/1.1 200 \u{fc}\u{fc}\r\n")),
        (
            "one chunk a byte, extensions and trailers",
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{bytewise}0\r\nx-trailer: 1\r\n\r\n"
            ),
        ),
        (
            "bytes behind the end",
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n{JSON}HTTP/1.1 500 Surprise\r\n\r\n"
            ),
        ),
    ];
    for (name, bytes) in rows {
        let upstream = Script::start(bytes, Then::Close).await;
        let gateway = Setup::new()
            .provider_at("odd", &upstream.url())
            .settings("max_retries = 0")
            .start();

        // The second time a connection may be in use that has more to say than it was asked.
        for round in ["first", "second"] {
            let answer = within(gateway.chat(&hello())).await;
            assert_eq!(answer.status, 200, "{name}, {round}: {}", answer.text());
            assert_eq!(answer.said(), "odd", "{name}, {round}");
        }
    }
}

/// One event of a stream.
fn event(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

#[tokio::test]
async fn a_stream_that_goes_wrong_after_content_ends_as_an_error_and_counts_once() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    let content = event(r#"{"role":"assistant","content":"one"}"#, "null");
    let finish = event("{}", "\"stop\"");
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let start = format!("{head}{chunked}{}", chunk(&content));
    let rows: Vec<(&str, String, Then, &str)> = vec![
        ("dies", start.clone(), Then::Close, "upstream_error"),
        ("is reset", start.clone(), Then::Reset, "upstream_error"),
        ("stalls", start.clone(), Then::Hold, "upstream_timeout"),
        (
            "ends without a finish",
            format!("{start}0\r\n\r\n"),
            Then::Close,
            "upstream_error",
        ),
        (
            "sends garbage for an event",
            format!("{start}{}0\r\n\r\n", chunk("data: <html>\n\n")),
            Then::Close,
            "upstream_error",
        ),
        (
            "sends garbage for a chunk",
            format!("{start}zz\r\n"),
            Then::Close,
            "upstream_error",
        ),
        (
            "breaks within an event",
            format!("{start}{}", chunk(&finish[..30])),
            Then::Close,
            "upstream_error",
        ),
        (
            "ends with its connection before its finish",
            format!("{head}\r\n{content}"),
            Then::Close,
            "upstream_error",
        ),
    ];
    for (name, bytes, then, code) in rows {
        let upstream = Script::start(bytes, then).await;
        let gateway = Setup::new()
            .provider_at("odd", &upstream.url())
            .settings("stream_idle_timeout_seconds = 1")
            .start();

        let seen = within(gateway.stream(&hello_stream()).await.rest()).await;

        assert!(seen.starts_with(&content), "{name}: {seen}");
        let last = seen.trim_end().rsplit("\n\n").next().unwrap();
        let (error, _) = error_event(&format!("{last}\n\n"));
        assert_eq!(error, format!("server_error/{code}"), "{name}");
        assert!(!seen.contains("[DONE]"), "{name}: {seen}");
        let health = gateway.get("/health").await.json();
        let counts = &health["providers"]["odd"];
        assert_eq!(counts["total_requests"], 1, "{name}");
        assert_eq!(counts["failed_requests"], 1, "{name}");
    }
}

#[tokio::test]
async fn a_stream_that_says_nothing_before_content_is_left_in_time() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let role = event(r#"{"role":"assistant"}"#, "null");
    let upstream = Script::start(format!("{head}{role}"), Then::Hold).await;
    let spare = Upstream::start().await;
    let gateway = Setup::new()
        .provider_at("odd", &upstream.url())
        .provider("spare", &spare)
        .settings("json_timeout_seconds = 1")
        .start();

    let seen = within(gateway.stream(&hello_stream()).await.rest()).await;

    assert!(seen.ends_with("data: [DONE]\n\n"), "{seen}");
    assert_eq!(spare.request_count(), 1);
}
