//! Streams of events: byte for byte, and how they break.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Gateway, Setup, error_event, hello_stream};

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

async fn serve(behaviour: Behaviour) -> (Gateway, Upstream) {
    let upstream = Upstream::builder().behaviour(behaviour).start().await;
    let setup = Setup::over(&upstream).settings(
        "max_retries = 0\nstream_idle_timeout_seconds = 1\ncircuit_breaker_failure_threshold = 1",
    );
    (setup.start(), upstream)
}

fn stream<'a>(chunks: impl IntoIterator<Item = &'a str>) -> Behaviour {
    let chunks: Vec<_> = chunks.into_iter().map(str::to_owned).collect();
    Behaviour::stream(chunks, Duration::ZERO)
}

/// Returns 10 kB of nothing: somewhere to break a stream, after the events before it have arrived.
fn long_comment() -> String {
    format!(": {}\n\n", "x".repeat(10_000))
}

/// Streams once and returns everything the client saw before the end.
async fn seen(gateway: &Gateway) -> String {
    gateway.stream(&hello_stream()).await.rest().await
}

#[tokio::test]
async fn a_stream_arrives_byte_for_byte() {
    let chunks = [ROLE, HELLO, STOP, DONE];
    let (gateway, _upstream) = serve(stream(chunks)).await;

    let answer = gateway.stream(&hello_stream()).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(answer.rest().await, chunks.concat());
    assert_eq!(gateway.backends().await, (1, 1));
}

#[tokio::test]
async fn odd_framings_arrive_byte_for_byte_however_they_are_cut() {
    let odd = "\u{feff}: a comment\r\n\r\nevent: message\r\nid: 7\r\nretry: 10\r\n\
               data: {\"choices\":\r\ndata: [{\"delta\":{\"content\":\"caf\u{e9} \u{1f600}\"}}]}\r\n\r\n\
               data:{\"choices\":[],\"usage\":null}\r\r\n: ping\n\ndata\n\n\
               data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let (gateway, upstream) = serve(Behaviour::echo()).await;

    for cut in 0..odd.len() {
        let (head, tail) = odd.as_bytes().split_at(cut);
        let chunks = [head, tail].map(<[u8]>::to_vec);
        let chunks = chunks.into_iter().filter(|chunk| !chunk.is_empty());
        upstream.set(Behaviour::stream(chunks, Duration::ZERO));

        assert_eq!(seen(&gateway).await, odd, "cut at {cut}");
    }
}

#[tokio::test]
async fn every_event_is_passed_on_at_once() {
    let words = ["a ", "b ", "c ", "d "];
    let (gateway, upstream) = serve(Behaviour::echo()).await;

    for sent in 2..=words.len() {
        upstream.set(Behaviour::text_stream(words, Duration::ZERO).hang_after(sent));
        let mut answer = gateway.stream(&hello_stream()).await;

        for _ in 0..sent {
            answer.event().await;
        }
    }
}

#[tokio::test]
async fn a_paced_stream_arrives_whole() {
    let pace = Duration::from_millis(20);
    let (gateway, _upstream) = serve(Behaviour::echo().chunks(64).chunk_interval(pace)).await;

    let seen = seen(&gateway).await;

    // The role, 64 pieces, the finish reason, the end.
    assert_eq!(seen.matches("data: ").count(), 67);
    assert!(seen.ends_with(DONE));
}

#[tokio::test]
async fn usage_is_passed_on_where_it_was_asked_for() {
    let (gateway, upstream) = serve(Behaviour::echo()).await;
    let mut body = hello_stream();
    body["stream_options"] = json!({"include_usage": true});

    let seen = gateway.stream(&body).await.rest().await;

    assert!(seen.contains("\"total_tokens\":"), "{seen}");
    let forwarded = String::from_utf8(upstream.requests()[0].body.to_vec()).unwrap();
    assert!(forwarded.contains("\"include_usage\":true"));
}

#[tokio::test]
async fn a_stream_that_breaks_after_content_ends_with_one_error_event() {
    let pieces = || stream([ROLE, HELLO, "data: {\"choices\":[{\"del"]);
    let with_more = || stream([ROLE, HELLO, &long_comment(), STOP]);
    let upstream = "server_error/upstream_error";
    for (name, behaviour, expected) in [
        ("closed between events", stream([ROLE, HELLO]), upstream),
        ("closed within an event", pieces(), upstream),
        ("reset", with_more().reset_after(5_000), upstream),
        ("truncated", with_more().truncate_after(5_000), upstream),
        (
            "garbage",
            stream([ROLE, HELLO, "data: <html>\n\n"]),
            upstream,
        ),
        (
            "silence",
            stream([ROLE, HELLO, STOP]).hang_after(2),
            "server_error/upstream_timeout",
        ),
        (
            "silence within an event",
            pieces().hang_after(3),
            "server_error/upstream_timeout",
        ),
    ] {
        let (gateway, _upstream) = serve(behaviour).await;

        let seen = seen(&gateway).await;

        let error = seen.strip_prefix(&[ROLE, HELLO].concat());
        let error = error.unwrap_or_else(|| panic!("{name}: {seen}"));
        assert_eq!(error.matches("data: ").count(), 1, "{name}: {seen}");
        assert!(error.ends_with("\n\n"), "{name}: {seen}");
        assert_eq!(error_event(error).0, expected, "{name}");
        assert_eq!(gateway.backends().await, (0, 1), "{name}");
    }
}

#[tokio::test]
async fn an_end_counts_only_when_every_choice_has_finished() {
    let choice =
        |index: u8, rest: &str| format!("data: {{\"choices\":[{{\"index\":{index},{rest}}}]}}\n\n");
    let text = "\"delta\":{\"content\":\"x\"},\"finish_reason\":null";
    let stop = "\"delta\":{},\"finish_reason\":\"stop\"";
    let one_stopped = [choice(0, text), choice(1, text), choice(0, stop)].concat();
    let still_talking = [&one_stopped[..], &choice(1, text)].concat();
    for chunks in [&one_stopped, &still_talking] {
        for (name, behaviour) in [
            ("an end", stream([&chunks[..]])),
            (
                "a reset",
                stream([&chunks[..], &long_comment()]).reset_after(5_000),
            ),
        ] {
            let (gateway, _upstream) = serve(behaviour).await;
            let mut body = hello_stream();
            body["n"] = json!(2);

            let seen = gateway.stream(&body).await.rest().await;

            let error = seen.strip_prefix(&chunks[..]);
            let error = error.unwrap_or_else(|| panic!("{name}: {seen}"));
            assert_eq!(
                error_event(error).0,
                "server_error/upstream_error",
                "{name}"
            );
            assert_eq!(gateway.backends().await, (0, 1), "{name}");
        }
    }
}

#[tokio::test]
async fn a_stream_ends_well_when_every_choice_has_finished() {
    let stop = |index: u8| {
        format!("data: {{\"choices\":[{{\"index\":{index},\"finish_reason\":\"stop\"}}]}}\n\n")
    };
    let both = "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"},\
                {\"index\":1,\"finish_reason\":\"length\"}]}\n\n";
    for chunks in [[HELLO, &stop(1), &stop(0)].concat(), [HELLO, both].concat()] {
        let (gateway, _upstream) = serve(stream([&chunks[..]])).await;

        assert_eq!(seen(&gateway).await, chunks + DONE);
        assert_eq!(gateway.backends().await, (1, 1));
    }
}

#[tokio::test]
async fn an_empty_finish_reason_is_no_end() {
    let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"\"}]}\n\n";
    for behaviour in [
        stream([piece, piece]),
        stream([piece, piece, &long_comment()]).reset_after(5_000),
    ] {
        let (gateway, _upstream) = serve(behaviour).await;

        let seen = seen(&gateway).await;

        let error = seen.strip_prefix(&[piece, piece].concat());
        let error = error.unwrap_or_else(|| panic!("{seen}"));
        assert_eq!(error_event(error).0, "server_error/upstream_error");
        assert_eq!(gateway.backends().await, (0, 1));
    }
}

#[tokio::test]
async fn a_reset_between_the_finish_reason_and_done_is_an_error() {
    let behaviour = stream([HELLO, STOP, &long_comment(), DONE]).reset_after(5_000);
    let (gateway, _upstream) = serve(behaviour).await;

    let seen = seen(&gateway).await;

    let error = seen.strip_prefix(&[HELLO, STOP].concat());
    let error = error.unwrap_or_else(|| panic!("{seen}"));
    assert_eq!(error_event(error).0, "server_error/upstream_error");
}

#[tokio::test]
async fn events_without_data_pass_untouched() {
    for heartbeat in [
        "data:\n\n",
        "data: \n\n",
        "data\n\n",
        "event: ping\ndata:\n\n",
    ] {
        let chunks = [
            heartbeat, ROLE, heartbeat, HELLO, heartbeat, STOP, heartbeat, DONE,
        ];
        let (gateway, _upstream) = serve(stream(chunks)).await;

        assert_eq!(seen(&gateway).await, chunks.concat());
        assert_eq!(gateway.backends().await, (1, 1), "{heartbeat:?}");
    }
}

#[tokio::test]
async fn a_key_in_what_is_too_long_to_be_held_is_hidden_and_a_picture_passes() {
    const KEY: &str = "sk-live-0123456789abcdef";
    let (long, picture) = ("x".repeat(200_000), "QmVycnkg".repeat(1 << 17));
    let comment = format!(": {long}{KEY}\n\n");
    let quoting = format!("data: {{\"choices\":[],\"a\":\"{long}{KEY}{long}\"}}\n\n");
    let picture =
        format!("data: {{\"choices\":[{{\"delta\":{{\"images\":[\"{picture}\"]}}}}]}}\n\n");
    let error = format!("data: {{\"error\":{{\"message\":\"{long}key-of-only{long}{KEY}\"}}}}\n\n");
    let chunks = [HELLO, &comment, &quoting, &picture, &error];
    let upstream = Upstream::builder().behaviour(stream(chunks)).start().await;
    let gateway = Setup::over(&upstream)
        .option(&format!("headers = {{ X-Key = \"{KEY}\" }}"))
        .start();

    let seen = seen(&gateway).await;

    let (quoting, error) = (
        quoting.replace(KEY, "***"),
        error.replace(KEY, "***").replace("key-of-only", "***"),
    );
    assert!(seen == [HELLO, ":\n\n", &quoting, &picture, &error].concat());
}

#[tokio::test]
async fn an_upstreams_own_error_event_is_the_only_one() {
    let (gateway, upstream) = serve(Behaviour::echo().error_event_after(3)).await;

    let seen = seen(&gateway).await;

    assert_eq!(seen.matches("\"error\"").count(), 1, "{seen}");
    assert!(!seen.contains("[DONE]"), "{seen}");
    let last = seen.trim_end().rsplit("\n\n").next().unwrap();
    assert_eq!(error_event(last).0, "server_error/null");
    assert_eq!(gateway.backends().await, (0, 1));
    assert_eq!(upstream.request_count(), 1);
}

#[tokio::test]
async fn a_torn_event_never_glues_to_the_error_event() {
    let long = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}",
        "x".repeat(400_000)
    );
    let (gateway, _upstream) = serve(stream([HELLO, &long])).await;

    let seen = seen(&gateway).await;

    let (_, last) = seen.trim_end().rsplit_once("\n\n").expect("two events");
    assert_eq!(error_event(last).0, "server_error/upstream_error");
    assert_eq!(seen.matches("\"error\"").count(), 1);
}

#[tokio::test]
async fn a_long_event_that_proves_garbage_never_glues_to_the_error_event() {
    let long = format!("data: {{\"choices\":\"{}\n\n", "x".repeat(400_000));
    let (gateway, _upstream) = serve(stream([HELLO, &long, STOP, DONE])).await;

    let seen = seen(&gateway).await;

    let (_, last) = seen.trim_end().rsplit_once("\n\n").expect("two events");
    assert_eq!(error_event(last).0, "server_error/upstream_error");
}

#[tokio::test]
async fn a_line_that_is_no_event_is_never_passed_off_as_an_answer() {
    let (gateway, _upstream) = serve(stream([HELLO, "<html>busy</html>\n\n", STOP, DONE])).await;

    let seen = seen(&gateway).await;

    let last = seen.trim_end().rsplit("\n\n").next().unwrap();
    assert_eq!(error_event(last).0, "server_error/upstream_error");
    assert!(!seen.contains("busy"), "{seen}");
}

#[tokio::test]
async fn a_break_after_content_counts_as_one_failure() {
    let upstream = Upstream::builder()
        .behaviour(stream([ROLE, HELLO]))
        .start()
        .await;
    let gateway = Setup::over(&upstream)
        .settings("circuit_breaker_failure_threshold = 2")
        .start();

    seen(&gateway).await;

    assert_eq!(gateway.backends().await, (1, 1));
    assert_eq!(upstream.request_count(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_at_done_has_had_a_whole_answer() {
    let (gateway, upstream) = serve(stream([HELLO, STOP, DONE]).hang_after(3)).await;
    let mut answer = gateway.stream(&hello_stream()).await;
    while answer.event().await != DONE {}

    drop(answer);

    upstream.wait_for_cancellations(1).await;
    assert_eq!(gateway.backends().await, (1, 1));
}

#[tokio::test]
async fn what_comes_before_content_is_held_and_released_with_it() {
    let chunks = [": hello\n\n", ROLE, "event: ping\n\n", HELLO];
    let (gateway, _upstream) = serve(stream(chunks).hang_after(4)).await;
    let mut answer = gateway.stream(&hello_stream()).await;

    for chunk in chunks {
        assert_eq!(answer.event().await, chunk);
    }
}

#[tokio::test]
async fn no_more_than_64_kib_are_held_before_content() {
    let role = [ROLE, &long_comment()].concat();
    let (gateway, _upstream) = serve(stream([role.as_str(); 7]).hang_after(7)).await;

    let mut answer = gateway.stream(&hello_stream()).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.event().await, ROLE);
}

#[tokio::test]
async fn nothing_is_told_before_content() {
    let (gateway, _upstream) = serve(stream([ROLE, ROLE]).hang_after(2)).await;

    let body = hello_stream();
    let waiting = gateway.stream(&body);

    let waited = timeout(Duration::from_millis(300), waiting).await;
    assert!(waited.is_err());
}
