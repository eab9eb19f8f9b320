//! An answer that is none is never passed off as one: it is asked of another endpoint, or the client is
//! told, and it counts once.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use tokio::time::Instant;

use crate::support::{Gateway, Script, Setup, Then, error_event, hello, hello_stream, within};

const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const HELLO: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n";
const STOP: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const PING: &str = ": ping\n\n";

/// What the client must see of an event that tells of an error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The event itself: its programs look for such.
    Itself,
    /// One of ours in its place.
    Ours,
}

/// Ways in which upstreams say within a stream that it has failed.
const ERRORS: &[(&str, Seen)] = &[
    (
        "data: {\"error\":{\"message\":\"x\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n",
        Seen::Itself,
    ),
    ("data: {\"error\":\"x\"}\n\n", Seen::Itself),
    ("data: {\"code\":500,\"message\":\"x\"}\n\n", Seen::Ours),
    ("data: {\"detail\":\"x\"}\n\n", Seen::Ours),
    (
        "data: {\"object\":\"error\",\"message\":\"x\",\"code\":500}\n\n",
        Seen::Ours,
    ),
    (
        "data: {\"type\":\"error\",\"message\":\"x\"}\n\n",
        Seen::Ours,
    ),
    ("event: error\ndata: {\"message\":\"x\"}\n\n", Seen::Ours),
    ("event: error\ndata: overloaded\n\n", Seen::Ours),
    (
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"error\"}]}\n\n",
        Seen::Ours,
    ),
];

/// A gateway whose first provider behaves oddly; the other one is asked when that is noticed in time.
async fn serve(odd: Behaviour, settings: &str) -> (Gateway, [Upstream; 2]) {
    let odd = Upstream::builder().behaviour(odd).start().await;
    let spare = Upstream::start().await;
    let gateway = Setup::over_two(&odd, &spare).settings(settings).start();
    (gateway, [odd, spare])
}

fn stream<'a>(chunks: impl IntoIterator<Item = &'a str>) -> Behaviour {
    let chunks: Vec<_> = chunks.into_iter().map(str::to_owned).collect();
    Behaviour::stream(chunks, Duration::ZERO)
}

/// Sends the beginning, and then the same over and over for longer than any test takes.
fn endless(beginning: &str, again: &str) -> Behaviour {
    let beginning = std::iter::once(beginning.to_owned());
    let again = std::iter::repeat_n(again.to_owned(), 500);
    Behaviour::stream(beginning.chain(again), Duration::from_millis(50))
}

async fn seen(gateway: &Gateway) -> String {
    within(async { gateway.stream(&hello_stream()).await.rest().await }).await
}

/// Returns how many requests have been counted of the first provider, and how many of them failed.
async fn counted(gateway: &Gateway) -> [u64; 2] {
    let health = gateway.get("/health").await.json();
    ["total_requests", "failed_requests"]
        .map(|count| health["providers"]["first"][count].as_u64().unwrap())
}

/// Asserts that a stream ends with one error event of ours.
fn ends_with_error(seen: &str, code: &str) {
    let last = seen.trim_end().rsplit("\n\n").next().unwrap();
    let (error, _) = error_event(&format!("{last}\n\n"));
    assert_eq!(error, format!("server_error/{code}"), "{seen}");
    assert_eq!(seen.matches("\"error\":{").count(), 1, "{seen}");
    assert!(!seen.contains("[DONE]"), "{seen}");
}

#[tokio::test]
async fn an_error_event_before_content_is_made_good_by_another_endpoint() {
    for (event, _) in ERRORS {
        let (gateway, [odd, spare]) = serve(stream([ROLE, event, DONE]), "").await;

        let seen = seen(&gateway).await;

        assert!(
            seen.ends_with(DONE) && !seen.contains(event),
            "{event}: {seen}"
        );
        assert_eq!(
            (odd.request_count(), spare.request_count()),
            (1, 1),
            "{event}"
        );
        assert_eq!(counted(&gateway).await, [1, 1], "{event}");
    }
}

#[tokio::test]
async fn an_error_event_after_content_is_an_error_to_the_client_and_counts_once() {
    for &(event, expected) in ERRORS {
        let (gateway, [odd, spare]) = serve(stream([HELLO, event, STOP, DONE]), "").await;

        let seen = seen(&gateway).await;

        match expected {
            Seen::Itself => assert_eq!(seen, [HELLO, event].concat()),
            Seen::Ours => {
                assert!(seen.starts_with(HELLO) && !seen.contains(event), "{seen}");
                ends_with_error(&seen, "upstream_error");
            }
        }
        assert_eq!(
            (odd.request_count(), spare.request_count()),
            (1, 0),
            "{event}"
        );
        assert_eq!(counted(&gateway).await, [1, 1], "{event}");
    }
}

#[tokio::test]
async fn a_stream_that_finishes_without_done_is_given_it() {
    for end in [STOP, STOP.trim_end()] {
        let (gateway, _upstreams) = serve(stream([HELLO, end]), "").await;

        let seen = seen(&gateway).await;

        assert_eq!(seen, [HELLO, STOP, DONE].concat());
        assert_eq!(counted(&gateway).await, [1, 0]);
    }
}

#[tokio::test]
async fn nothing_is_forwarded_after_done() {
    let (gateway, _upstreams) = serve(stream([HELLO, STOP, DONE, HELLO, PING, DONE]), "").await;

    assert_eq!(seen(&gateway).await, [HELLO, STOP, DONE].concat());
    assert_eq!(counted(&gateway).await, [1, 0]);
}

#[tokio::test]
async fn a_stream_ends_with_its_done_although_the_upstream_keeps_its_body_open() {
    for held_open in [
        stream([HELLO, STOP, DONE]).hang_after(3),
        stream([&*[HELLO, STOP, DONE].concat()]).hang_after(1),
        endless(&[HELLO, STOP, DONE].concat(), PING),
    ] {
        let (gateway, _upstreams) = serve(held_open, "stream_idle_timeout_seconds = 4").await;
        let begun = Instant::now();
        assert_eq!(seen(&gateway).await, [HELLO, STOP, DONE].concat());

        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(2), "{waited:?}");
        assert_eq!(counted(&gateway).await, [1, 0]);
    }
}

#[tokio::test]
async fn a_whole_answer_that_is_none_is_asked_of_another_endpoint() {
    let json = |body: &str| Behaviour::body("application/json", body.to_owned());
    let good = r#"{"choices":[{"index":0,"message":{"content":"odd"},"finish_reason":"stop"}]}"#;
    for behaviour in [
        json("{}"),
        json(r#"{"choices":[]}"#),
        json(r#"{"detail":"x"}"#),
        json(r#"{"object":"error","message":"x","code":500}"#),
        json(&good.replace("stop", "error")),
        json(good).with_status(206),
        json(&"x".repeat(3 * 1024 * 1024)),
        json(&format!("[{good}")),
    ] {
        let (gateway, [odd, spare]) = serve(behaviour.clone(), "").await;

        let answer = gateway.chat(&hello()).await;

        assert_eq!(answer.status, 200, "{behaviour:.100?}");
        assert_ne!(answer.said(), "odd", "{behaviour:.100?}");
        assert_eq!(
            (odd.request_count(), spare.request_count()),
            (1, 1),
            "{behaviour:.100?}"
        );
        assert_eq!(counted(&gateway).await, [1, 1], "{behaviour:.100?}");
    }
}

#[tokio::test]
async fn a_long_answer_that_is_not_whole_breaks_off_and_counts_as_a_failure() {
    let long = "x".repeat(3 * 1024 * 1024);
    let good = format!(r#"{{"choices":[{{"index":0,"message":{{"content":"{long}"}}}}]}}"#);
    let error = format!(r#"{{"echo":"{long}","error":{{"message":"x"}}}}"#);
    for (body, is_whole) in [
        (good.clone(), true),
        (good[..good.len() - 1].to_owned(), false),
        (good[..good.len() - 20].to_owned(), false),
        (format!("{good}x"), false),
        (
            good.replace("}}]}", "},\"finish_reason\":\"error\"}]}"),
            false,
        ),
        (error, false),
    ] {
        let odd = Behaviour::body("application/json", body.clone());
        let (gateway, _upstreams) = serve(odd, "").await;

        let answer = gateway.stream(&hello()).await;
        let (_, ending) = answer.rest_and_ending().await;

        let end = &body[body.len() - 10..];
        assert_eq!(ending.is_ok(), is_whole, "{end}");
        assert_eq!(counted(&gateway).await, [1, u64::from(!is_whole)], "{end}");
    }
}

#[tokio::test]
async fn much_that_is_no_event_of_the_protocol_is_no_content() {
    let events = "http/1.1 200 ok\r\ncontent-type: text/event-stream\r\n\r\n".to_uppercase();
    for noise in ["x", ": ping\n\n", "data: {}\n\n", "retry: 1\n"] {
        let noise = noise.repeat(300 * 1024 / noise.len());
        let odd = Script::start(format!("{events}{noise}"), Then::Hold).await;
        let spare = Upstream::start().await;
        let gateway = Setup::new()
            .provider_at("first", &odd.url())
            .provider("second", &spare)
            .start();

        let seen = seen(&gateway).await;

        assert!(seen.ends_with(DONE), "{noise:.10}");
        assert_eq!(spare.request_count(), 1, "{noise:.10}");
        assert_eq!(counted(&gateway).await, [1, 1], "{noise:.10}");
    }
}

#[tokio::test]
async fn neither_pings_nor_white_space_put_off_the_end_of_the_wait_for_content() {
    for (behaviour, is_stream) in [
        (endless(ROLE, PING), true),
        (endless(ROLE, ROLE), true),
        (endless("data: {\"choices\":[", " "), true),
        (
            endless(" ", " ").header("content-type", "application/json"),
            false,
        ),
    ] {
        let (gateway, [odd, spare]) = serve(behaviour, "json_timeout_seconds = 1").await;

        if is_stream {
            let seen = seen(&gateway).await;
            assert!(seen.ends_with(DONE), "{seen}");
        } else {
            assert_eq!(within(gateway.chat(&hello())).await.status, 200);
        }

        assert_eq!((odd.request_count(), spare.request_count()), (1, 1));
        assert_eq!(counted(&gateway).await, [1, 1]);
    }
}

#[tokio::test]
async fn neither_pings_nor_the_parts_of_an_event_put_off_the_end_of_the_wait_for_the_next() {
    for odd in [
        endless(&[ROLE, HELLO].concat(), PING),
        endless(&[HELLO, "data: {\"choices\":["].concat(), " "),
    ] {
        let (gateway, _upstreams) = serve(odd, "stream_idle_timeout_seconds = 1").await;

        let seen = seen(&gateway).await;

        ends_with_error(&seen, "upstream_timeout");
        assert_eq!(counted(&gateway).await, [1, 1]);
    }
}

#[tokio::test]
async fn events_that_say_nothing_put_off_the_end_of_the_wait_for_content_only_for_a_while() {
    let empty = HELLO.replace("Hello", "");
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n";
    for nothing in [ROLE, &empty, usage] {
        let odd = endless(&[HELLO; 8].concat(), nothing);
        let settings = "json_timeout_seconds = 1\nstream_idle_timeout_seconds = 1";
        let (gateway, _upstreams) = serve(odd, settings).await;

        let seen = seen(&gateway).await;

        ends_with_error(&seen, "upstream_timeout");
        assert_eq!(counted(&gateway).await, [1, 1], "{nothing}");
    }
}

#[tokio::test]
async fn an_event_too_long_to_be_held_is_an_end_only_where_it_is_sound() {
    let long = "x".repeat(200_000);
    let event = |behind: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{long}\"}}{behind}}}]}}\n\n"
        )
    };
    for (behind, is_sound) in [
        (",\"finish_reason\":\"stop\"", true),
        (",\"finish_reason\":\"error\"", false),
        ("<html>", false),
    ] {
        let odd = stream([HELLO, &event(behind), DONE]);
        let (gateway, _upstreams) = serve(odd, "").await;

        let seen = seen(&gateway).await;

        assert_eq!(seen.ends_with(DONE), is_sound, "{behind}");
        assert_eq!(seen.contains("upstream_error"), !is_sound, "{behind}");
        assert_eq!(
            counted(&gateway).await,
            [1, u64::from(!is_sound)],
            "{behind}"
        );
    }
}

#[tokio::test]
async fn a_trickle_does_not_keep_a_long_answer_alive() {
    let begun = format!(
        r#"{{"choices":[{{"message":{{"content":"{}"#,
        "x".repeat(2 << 20)
    );
    let odd = endless(&begun, "x").header("content-type", "application/json");
    let (gateway, _upstreams) = serve(odd, "stream_idle_timeout_seconds = 1").await;

    let answer = gateway.stream(&hello()).await;
    let (_, ending) = within(answer.rest_and_ending()).await;

    assert!(ending.is_err());
    assert_eq!(counted(&gateway).await, [1, 1]);
}
