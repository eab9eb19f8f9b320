//! What an upstream may do to HTTP, byte by byte, and that no client sees it.
//!
//! Each row is played by a socket of its own. A row either fails, and the request is answered by
//! another backend, or is odd but lawful, and the answer passes.

use berry_testkit::Upstream;

use crate::support::{Script, Setup, Then, error_event, hello, hello_stream, within};

const JSON: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"odd"},"finish_reason":"stop"}]}"#;

fn sized(head: &str) -> String {
    format!(
        "{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{JSON}",
        JSON.len()
    )
}

#[tokio::test]
async fn a_whole_answer_that_is_not_sound_is_asked_of_another_backend() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let half = &JSON[..40];
    let size = JSON.len();
    let rows: Vec<(&str, String, Then)> = vec![
        ("closed before a byte", String::new(), Then::Close),
        ("reset before a byte", String::new(), Then::Reset),
        (
            "closed in the status line",
            "HTTP/1.1 2".into(),
            Then::Close,
        ),
        ("reset in the status line", "HTTP/1.1 2".into(), Then::Reset),
        ("closed in the head", json.into(), Then::Close),
        ("reset in the head", json.into(), Then::Reset),
        ("silent in the head", json.into(), Then::Hold),
        (
            "silent in the body",
            format!("{json}content-length: {size}\r\n\r\n{half}"),
            Then::Hold,
        ),
        (
            "length not reached",
            format!("{json}content-length: {size}\r\n\r\n{half}"),
            Then::Close,
        ),
        (
            "reset in the body",
            format!("{json}content-length: {size}\r\n\r\n{half}"),
            Then::Reset,
        ),
        (
            "chunks without their end",
            format!("{json}transfer-encoding: chunked\r\n\r\n{size:x}\r\n{JSON}\r\n"),
            Then::Close,
        ),
        (
            "a chunk cut short",
            format!("{json}transfer-encoding: chunked\r\n\r\n{size:x}\r\n{half}"),
            Then::Close,
        ),
        (
            "a chunk of no size",
            format!("{json}transfer-encoding: chunked\r\n\r\nzz\r\n{JSON}\r\n0\r\n\r\n"),
            Then::Close,
        ),
        (
            "a chunk of too great a size",
            format!("{json}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{JSON}"),
            Then::Close,
        ),
        (
            "two lengths",
            format!("{json}content-length: 5\r\ncontent-length: 6\r\n\r\n{JSON}"),
            Then::Close,
        ),
        (
            "a length below nothing",
            format!("{json}content-length: -1\r\n\r\n{JSON}"),
            Then::Close,
        ),
        (
            "a length that is too short",
            format!("{json}content-length: 40\r\n\r\n{JSON}"),
            Then::Close,
        ),
        (
            "compressed against our word",
            format!("{json}content-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\u{b}\x08\x00"),
            Then::Close,
        ),
        (
            "no body",
            format!("{json}content-length: 0\r\n\r\n"),
            Then::Close,
        ),
        (
            "no content",
            "HTTP/1.1 204 No Content\r\n\r\n".into(),
            Then::Close,
        ),
        ("not HTTP", "SSH-2.0-OpenSSH_9.6\r\n".into(), Then::Close),
        (
            "HTTP/2 unasked",
            "\0\0\0\u{4}\0\0\0\0\0".into(),
            Then::Close,
        ),
        (
            "a header without an end",
            format!("{ok}x-padding: {}", "x".repeat(100_000)),
            Then::Close,
        ),
        (
            "headers without an end",
            format!("{ok}{}", "x: y\r\n".repeat(200)),
            Then::Close,
        ),
        (
            "informational answers without an end",
            "HTTP/1.1 103 Early Hints\r\n\r\n".into(),
            Then::Repeat,
        ),
        ("bytes without an end", "x".repeat(1000), Then::Repeat),
        (
            "a switch of protocols",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".into(),
            Then::Close,
        ),
    ];
    let spare = Upstream::start().await;
    for (name, bytes, then) in rows {
        let upstream = Script::start(bytes, then).await;
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

#[tokio::test]
async fn an_answer_that_is_odd_but_lawful_passes() {
    let size = JSON.len();
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
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\nx-trailer: 1\r\n\r\n",
                JSON.chars()
                    .map(|c| format!("1;name=value\r\n{c}\r\n"))
                    .collect::<String>()
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
