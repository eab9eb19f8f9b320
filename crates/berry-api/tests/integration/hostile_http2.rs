//! What an upstream may do with HTTP/2 before and while it answers, in clear text or encrypted.
//!
//! The first connections are played frame by frame; those behind them reach an upstream that is well.

use berry_testkit::Upstream;

use crate::support::frames::{END_STREAM, MAX_STREAMS, data, go_away, head, reset, settings};
use crate::support::{
    CLOAKS, Cloak, END, EVENT, Gateway, JSON, Stage, Step, Then, hello, hello_stream, within,
};

// Codes of errors (RFC 9113, 7).
const NO_ERROR: u8 = 0;
const INTERNAL: u8 = 2;
const REFUSED: u8 = 7;
const CANCEL: u8 = 8;
const CALM: u8 = 11;

/// The highest number of a stream.
const ALL: u32 = u32::MAX >> 1;

/// Says these bytes once the first request has come, which is stream 1.
fn answering(bytes: &[u8], then: Then) -> Vec<Step> {
    let mut play = vec![
        Step::Say(settings(&[])),
        Step::Request,
        Step::Say(bytes.to_vec()),
    ];
    if then == Then::Hold {
        play.push(Step::Hold);
    }
    play
}

/// A stage, and a gateway where its first failure would be its last; behind it is an upstream that is
/// well.
async fn stage(cloak: Cloak, plays: Vec<Vec<Step>>) -> (Stage, Gateway, Upstream) {
    let upstream = Upstream::builder().h2c_only().start().await;
    let stage = Stage::before(&upstream, cloak, plays).await;
    let gateway = stage
        .setup()
        .settings("max_retries = 0\ncircuit_breaker_failure_threshold = 1")
        .settings("connect_timeout_seconds = 1")
        .start();
    (stage, gateway, upstream)
}

#[tokio::test]
async fn a_request_that_an_upstream_never_began_is_sent_again_and_nobodys_failure() {
    let rows = [
        ("goes away", go_away(0, NO_ERROR), Then::Close),
        ("goes away and stays open", go_away(0, NO_ERROR), Then::Hold),
        ("goes away in anger", go_away(0, CALM), Then::Close),
        ("refuses the stream", reset(1, REFUSED), Then::Hold),
    ];
    for cloak in CLOAKS {
        for (name, bytes, then) in &rows {
            let (_stage, gateway, upstream) = stage(cloak, vec![answering(bytes, *then)]).await;

            let answer = within(gateway.chat(&hello())).await;

            let case = format!("{name}, {cloak:?}");
            assert_eq!(answer.status, 200, "{case}: {}", answer.text());
            assert_eq!(gateway.backends().await, (1, 1), "{case}");
            let health = gateway.get("/health").await.json();
            let counts = &health["providers"]["only"];
            assert_eq!(counts["failed_requests"], 0, "{case}");
            assert_eq!(upstream.request_count(), 1, "{case}");
        }
    }
}

#[tokio::test]
async fn what_an_upstream_may_have_begun_is_not_sent_again() {
    let rows = [
        ("goes away after it", go_away(1, INTERNAL), Then::Close),
        ("resets the stream", reset(1, INTERNAL), Then::Hold),
        ("cancels the stream", reset(1, CANCEL), Then::Hold),
        ("closes", Vec::new(), Then::Close),
    ];
    for cloak in CLOAKS {
        for (name, bytes, then) in &rows {
            let (_stage, gateway, upstream) = stage(cloak, vec![answering(bytes, *then)]).await;

            let answer = within(gateway.chat(&hello())).await;

            let error = "502 server_error/upstream_error";
            assert_eq!(answer.error(), error, "{name}, {cloak:?}");
            assert_eq!(upstream.request_count(), 0, "{name}, {cloak:?}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_again_and_again_is_a_failure() {
    for cloak in CLOAKS {
        let refusal = || answering(&go_away(0, NO_ERROR), Then::Close);
        let (_stage, gateway, upstream) = stage(cloak, vec![refusal(), refusal()]).await;

        let answer = within(gateway.chat(&hello())).await;

        assert_eq!(answer.error(), "502 server_error/upstream_error");
        assert_eq!(upstream.request_count(), 0, "{cloak:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_never_says_what_it_is_gets_no_request_and_is_a_failure_in_time() {
    for cloak in CLOAKS {
        let rows = [
            ("says nothing", vec![Step::Hold]),
            ("closes", Vec::new()),
            (
                "allows no stream",
                vec![Step::Say(settings(&[(MAX_STREAMS, 0)])), Step::Hold],
            ),
        ];
        for (name, play) in rows {
            let (stage, gateway, upstream) = stage(cloak, vec![play]).await;

            let answer = within(gateway.chat(&hello())).await;

            assert!(answer.error().contains("server_error/"), "{name}");
            assert_eq!(stage.connection_count(), 1, "{name}, {cloak:?}");
            assert_eq!(upstream.request_count(), 0, "{name}, {cloak:?}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_goes_away_ends_what_it_has_begun_and_gets_nothing_more() {
    for (cloak, last) in [(Cloak::Plain, 1), (Cloak::Plain, ALL), (Cloak::Tls, ALL)] {
        let whole = [
            go_away(last, NO_ERROR),
            head(1, "application/json"),
            data(1, JSON, END_STREAM),
        ];
        let stream = [
            head(1, "text/event-stream"),
            data(1, EVENT, 0),
            go_away(last, NO_ERROR),
            data(1, END, END_STREAM),
        ];
        for (body, bytes) in [(hello(), whole.concat()), (hello_stream(), stream.concat())] {
            let play = answering(&bytes, Then::Hold);
            let (_stage, gateway, upstream) = stage(cloak, vec![play]).await;

            let answer = within(gateway.chat(&body)).await;
            let next = within(gateway.chat(&hello())).await;

            assert!(answer.text().contains("played"), "{}", answer.text());
            assert!(!answer.text().contains("error"), "{}", answer.text());
            assert!(next.said().ends_with("hello"), "{}", next.text());
            assert_eq!(upstream.request_count(), 1);
            assert_eq!(gateway.backends().await, (1, 1));
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_after_content_ends_with_an_error_and_leaves_its_neighbour_alone() {
    let rows = [
        ("resets it", reset(1, INTERNAL)),
        ("cancels it", reset(1, CANCEL)),
        ("refuses it late", reset(1, REFUSED)),
        ("ends it early", data(1, "", END_STREAM)),
    ];
    let begin = |number| [head(number, "text/event-stream"), data(number, EVENT, 0)].concat();
    for cloak in CLOAKS {
        for (name, fault) in &rows {
            let play = vec![
                Step::Say(settings(&[])),
                Step::Request,
                Step::Say(begin(1)),
                Step::Request,
                Step::Say([begin(3), fault.clone(), data(3, END, END_STREAM)].concat()),
                Step::Hold,
            ];
            let (stage, gateway, _upstream) = stage(cloak, vec![play]).await;
            let mut broken = gateway.stream(&hello_stream()).await;
            broken.event().await;
            let whole = gateway.stream(&hello_stream()).await;

            let (broken, whole) = within(async { (broken.rest().await, whole.rest().await) }).await;

            let case = format!("{name}, {cloak:?}");
            assert!(broken.contains("upstream_error"), "{case}: {broken}");
            assert!(!broken.contains("[DONE]"), "{case}: {broken}");
            assert!(whole.ends_with("data: [DONE]\n\n"), "{case}: {whole}");
            assert!(!whole.contains("error"), "{case}: {whole}");
            assert_eq!(stage.connection_count(), 1, "{case}");
        }
    }
}
