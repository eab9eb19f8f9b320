//! What a silent stream is told, and what may still happen then.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::{Value, json};

use crate::support::{Gateway, Setup, Streaming, error_event, hello, hello_stream};

const COMMENT: &str = ": keep-alive\n\n";
/// Longer than the silence after which a comment is sent.
const LATE: Duration = Duration::from_millis(1_200);

async fn serve(first: Behaviour, second: Behaviour) -> (Gateway, [Upstream; 2]) {
    let first = Upstream::builder()
        .name("first")
        .behaviour(first)
        .start()
        .await;
    let second = Upstream::builder()
        .name("second")
        .behaviour(second)
        .start()
        .await;
    let gateway = Setup::over_two(&first, &second)
        .settings("stream_keepalive_seconds = 1\nmax_retries = 1")
        .user("tags = [\"debug\"]")
        .start();
    (gateway, [first, second])
}

/// Begins a stream and reads its first comment.
async fn commented(gateway: &Gateway) -> Streaming {
    let mut answer = gateway.stream(&hello_stream()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert!(answer.header("x-request-id").is_some());
    assert_eq!(answer.event().await, COMMENT);
    answer
}

#[tokio::test]
async fn a_stream_is_kept_alive_before_its_upstream_answers() {
    let (gateway, _upstreams) = serve(Behaviour::echo().delay(LATE), Behaviour::echo()).await;

    let rest = commented(&gateway).await.rest().await;

    assert!(rest.starts_with("data: {"), "{rest}");
    assert!(rest.contains("\"first! \""), "{rest}");
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
}

#[tokio::test]
async fn a_stream_is_kept_alive_between_events() {
    let words = ["one ", "two "];
    let stalled = Behaviour::text_stream(words, Duration::ZERO).hang_after(2);
    let (gateway, _upstreams) = serve(stalled, Behaviour::echo()).await;
    let mut answer = gateway.stream(&hello_stream()).await;

    let events = [answer.event().await, answer.event().await];

    assert!(events[1].contains("one "), "{events:?}");
    assert_eq!(answer.event().await, COMMENT);
    assert_eq!(answer.event().await, COMMENT);
}

#[tokio::test]
async fn no_comment_is_put_into_a_torn_event() {
    let content = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    let long = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}",
        "y".repeat(300_000)
    );
    let end = "\"}}]}\n\ndata: [DONE]\n\n".to_owned();
    let chunks = [content.to_owned(), long, end];
    let stream = Behaviour::stream(chunks.clone(), LATE);
    let (gateway, _upstreams) = serve(stream, Behaviour::echo()).await;

    let seen = gateway.stream(&hello_stream()).await.rest().await;

    assert!(seen.replace(COMMENT, "") == chunks.concat());
    assert!(!seen.contains(&format!("y{COMMENT}")));
}

#[tokio::test]
async fn another_backend_may_answer_after_a_comment() {
    let failed = Behaviour::status(500).delay(LATE);
    let (gateway, [_first, second]) = serve(failed, Behaviour::echo()).await;

    let rest = commented(&gateway).await.rest().await;

    assert!(rest.contains("\"second! \""), "{rest}");
    assert!(!rest.contains("error"), "{rest}");
    assert_eq!(second.request_count(), 1);
}

/// Expects both backends' failure to be told so, after a comment.
async fn told(status: u16, expected: &str, told: u64) {
    let failed = || Behaviour::status(status);
    let (gateway, _upstreams) = serve(failed().delay(LATE), failed()).await;

    let rest = commented(&gateway).await.rest().await;

    let (error, status) = error_event(&rest);
    assert_eq!((error.as_str(), status), (expected, Some(told)), "{rest}");
    assert_eq!(rest.matches("data: ").count(), 1, "{rest}");
}

#[tokio::test]
async fn a_failure_after_a_comment_is_one_error_event_with_its_status() {
    tokio::join!(
        told(500, "server_error/upstream_error", 502),
        told(401, "server_error/upstream_error", 502),
        told(429, "rate_limit_error/upstream_rate_limited", 429),
    );
}

#[tokio::test]
async fn an_upstreams_refusal_after_a_comment_is_one_error_event_with_its_status() {
    let refused = Behaviour::status(422)
        .error_code("unprocessable")
        .delay(LATE);
    let (gateway, [_first, second]) = serve(refused, Behaviour::echo()).await;

    let rest = commented(&gateway).await.rest().await;

    let (error, status) = error_event(&rest);
    assert_eq!(error, "invalid_request_error/unprocessable");
    assert_eq!(status, Some(422));
    assert_eq!(rest.matches("data: ").count(), 1, "{rest}");
    assert_eq!(second.request_count(), 0);
}

#[tokio::test]
async fn a_refusal_without_an_error_object_after_a_comment_is_told_in_our_shape() {
    let told = async |refusal: Value| {
        let refused = Behaviour::json(refusal.clone()).with_status(422);
        let (gateway, [_first, second]) = serve(refused.delay(LATE), Behaviour::echo()).await;

        let rest = commented(&gateway).await.rest().await;

        let (error, status) = error_event(&rest);
        assert!(error.starts_with("invalid_request_error/"), "{rest}");
        assert_eq!(status, Some(422), "{refusal}");
        assert_eq!(rest.matches("data: ").count(), 1, "{rest}");
        assert_eq!(second.request_count(), 0, "{refusal}");
    };

    tokio::join!(
        told(json!({"detail": [{"loc": ["body", "messages"], "msg": "field required"}]})),
        told(json!({"error": "text"})),
        told(json!({"error": null})),
        told(json!([1, 2])),
    );
}

#[tokio::test]
async fn a_whole_answer_is_waited_for_in_silence() {
    let (gateway, _upstreams) = serve(Behaviour::echo().delay(LATE), Behaviour::echo()).await;

    let answer = gateway.chat(&hello()).await;

    assert!(answer.said().starts_with("Hello from first!"));
}

#[tokio::test]
async fn zero_turns_comments_off() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().delay(LATE))
        .start()
        .await;
    let gateway = Setup::over(&upstream)
        .settings("stream_keepalive_seconds = 0")
        .start();

    let seen = gateway.stream(&hello_stream()).await.rest().await;

    assert!(!seen.contains(COMMENT), "{seen}");
}
