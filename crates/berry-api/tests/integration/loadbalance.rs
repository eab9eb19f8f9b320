//! Many requests at once, with and without broken backends.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Answer, Client, Gateway, Setup, chat, hello, hello_stream, within};

/// Sends `count` requests, `at_once` of them at a time, each from a connection that is kept.
async fn flood(gateway: &Gateway, count: usize, at_once: usize, body: &Value) -> Vec<Answer> {
    let body = Bytes::from(body.to_string());
    let mut clients = JoinSet::new();
    for client in 0..at_once {
        let (address, body) = (gateway.address(), body.clone());
        let share = count / at_once + usize::from(client < count % at_once);
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut answers = Vec::with_capacity(share);
            for _ in 0..share {
                answers.push(client.send(chat(body.clone())).await);
            }
            answers
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

async fn upstream(name: &str) -> Upstream {
    Upstream::builder().name(name).count_only().start().await
}

/// Sends requests, which must succeed, one after the other until `done`.
async fn ask_until(gateway: &Gateway, done: impl Fn() -> bool) {
    within(async {
        while !done() {
            for answer in gateway.chat_often(10, &hello()).await {
                assert_eq!(answer.status, 200);
            }
        }
    })
    .await;
}

/// Expects a thousand requests, 64 at once, to succeed although one of two backends resets every
/// connection.
async fn a_thousand_succeed(body: Value, is_whole: fn(&Answer) -> bool) {
    const AT_ONCE: usize = 64;
    let (bad, good) = (upstream("bad").await, upstream("good").await);
    bad.set(Behaviour::echo().reset());
    let gateway = Setup::new()
        .provider("bad", &bad)
        .provider("good", &good)
        .strategy("weighted_failover")
        .start();

    let answers = flood(&gateway, 1_000, AT_ONCE, &body).await;

    assert_eq!(answers.len(), 1_000);
    assert!(answers.iter().all(is_whole));
    assert_eq!(good.request_count(), 1_000);
    // Those in flight when the fifth failed were on their way already.
    let asked = bad.request_count();
    assert!((5..5 + AT_ONCE).contains(&asked), "{asked}");
    flood(&gateway, 200, AT_ONCE, &body).await;
    assert_eq!(bad.request_count(), asked);
}

#[tokio::test]
async fn a_thousand_whole_answers_succeed_beside_a_backend_that_resets_every_connection() {
    a_thousand_succeed(hello(), |answer| answer.said().ends_with("hello")).await;
}

#[tokio::test]
async fn a_thousand_streams_succeed_beside_a_backend_that_resets_every_connection() {
    a_thousand_succeed(hello_stream(), |answer| {
        answer.text().ends_with("data: [DONE]\n\n") && !answer.text().contains("error")
    })
    .await;
}

#[tokio::test]
async fn the_bad_backend_is_ejected_after_exactly_five_failures_in_a_row() {
    let (bad, good) = (upstream("bad").await, upstream("good").await);
    bad.set(Behaviour::echo().reset());
    let gateway = Setup::over_two(&bad, &good).start();

    gateway.chat_often(4, &hello()).await;
    assert_eq!(gateway.backends().await, (2, 2));
    gateway.chat_often(40, &hello()).await;

    assert_eq!(gateway.backends().await, (1, 2));
    assert_eq!((bad.request_count(), good.request_count()), (5, 44));
}

#[tokio::test]
async fn a_success_in_between_keeps_a_backend() {
    let (flaky, good) = (upstream("flaky").await, upstream("good").await);
    let gateway = Setup::over_two(&flaky, &good)
        .settings("circuit_breaker_failure_threshold = 2")
        .start();
    flaky.script([500, 200, 500, 200, 500].map(|status| match status {
        200 => Behaviour::echo(),
        _ => Behaviour::status(status),
    }));

    gateway.chat_often(10, &hello()).await;

    assert_eq!(flaky.request_count(), 10);
    assert_eq!(gateway.backends().await, (2, 2));
}

#[tokio::test]
async fn an_ejected_backend_returns_by_a_trial() {
    let (first, second) = (upstream("first").await, upstream("second").await);
    let gateway = Setup::over_two(&first, &second)
        .settings("circuit_breaker_failure_threshold = 1\ncircuit_breaker_timeout_seconds = 1")
        .start();
    first.script([Behaviour::status(500)]);
    gateway.chat(&hello()).await;
    assert_eq!(gateway.backends().await, (1, 2));

    // Every twentieth first pick goes to a backend whose trial is due.
    ask_until(&gateway, || first.request_count() >= 2).await;

    assert_eq!(gateway.backends().await, (2, 2));
    let said = gateway.chat(&hello()).await.said();
    assert!(said.starts_with("Hello from first!"), "{said}");
}

#[tokio::test]
async fn a_rate_limit_with_a_wait_rests_a_backend_for_just_that_long() {
    let (first, second) = (upstream("first").await, upstream("second").await);
    let gateway = Setup::over_two(&first, &second).start();
    first.script([Behaviour::status(429).retry_after(Duration::from_secs(1))]);
    let began = tokio::time::Instant::now();

    ask_until(&gateway, || first.request_count() >= 2).await;

    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(gateway.backends().await, (2, 2));
}

#[tokio::test]
async fn a_cool_down_is_as_long_as_the_provider_says_in_its_own_way() {
    let limited = || Behaviour::status(429);
    let delay = r#"{"error":{"code":429,"details":[{"retryDelay":"38s"}]}}"#;
    let gemini = |body: &str| Behaviour::body("application/json", body.to_owned()).with_status(429);
    for (behaviour, seconds) in [
        (limited().header("retry-after", "50"), 50),
        (limited().header("retry-after-ms", "39001"), 40),
        (
            limited()
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "6m0s")
                .header("x-ratelimit-remaining-tokens", "9000")
                .header("x-ratelimit-reset-tokens", "20m0s"),
            360,
        ),
        (gemini(delay), 38),
        (gemini(&format!("[{delay}]")), 38),
    ] {
        let upstream = upstream("only").await;
        upstream.script([behaviour]);
        let gateway = Setup::over(&upstream).start();

        let (told, refused) = (gateway.chat(&hello()).await, gateway.chat(&hello()).await);

        let wait = |answer: &Answer| {
            answer
                .header("retry-after")
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        assert_eq!((told.status, wait(&told)), (429, seconds));
        assert_eq!(refused.status, 503);
        assert!(
            (seconds - 10..=seconds).contains(&wait(&refused)),
            "{refused:?}"
        );
        assert_eq!(upstream.request_count(), 1);
    }
}

#[tokio::test]
async fn round_robin_is_exactly_even() {
    let upstreams = [
        upstream("a").await,
        upstream("b").await,
        upstream("c").await,
    ];
    let gateway = Setup::new()
        .provider("a", &upstreams[0])
        .provider("b", &upstreams[1])
        .provider("c", &upstreams[2])
        .strategy("round_robin")
        .start();

    flood(&gateway, 300, 10, &hello()).await;

    assert_eq!(upstreams.each_ref().map(Upstream::request_count), [100; 3]);
}

#[tokio::test]
async fn weights_decide_the_shares() {
    let (heavy, light) = (upstream("heavy").await, upstream("light").await);
    let gateway = Setup::new()
        .provider("heavy", &heavy)
        .backend("weight = 3.0")
        .provider("light", &light)
        .strategy("weighted_failover")
        .start();

    flood(&gateway, 1_000, 8, &hello()).await;

    let share = heavy.request_count();
    assert!((680..820).contains(&share), "{share}");
}

#[tokio::test]
async fn failover_follows_priority_and_then_the_order_of_the_file() {
    let upstreams = [
        upstream("a").await,
        upstream("b").await,
        upstream("c").await,
    ];
    let gateway = Setup::new()
        .provider("a", &upstreams[0])
        .backend("priority = 2")
        .provider("b", &upstreams[1])
        .backend("priority = 1")
        .provider("c", &upstreams[2])
        .backend("priority = 1")
        .start();
    upstreams[1].set(Behaviour::status(500));

    gateway.chat_often(4, &hello()).await;
    upstreams[2].set(Behaviour::status(500));
    gateway.chat(&hello()).await;

    assert_eq!(upstreams.each_ref().map(Upstream::request_count), [1, 5, 5]);
}

#[tokio::test]
async fn an_endpoint_that_two_models_share_is_ejected_for_both() {
    let (first, second) = (upstream("first").await, upstream("second").await);
    first.set(Behaviour::status(500));
    let gateway = Setup::over_two(&first, &second)
        .settings("circuit_breaker_failure_threshold = 1")
        .more(
            r#"
            [models.other]
            name = "other"
            strategy = "failover"
            [[models.other.backends]]
            provider = "first"
            model = "upstream-model"
            [[models.other.backends]]
            provider = "second"
            model = "upstream-model"
            "#,
        )
        .start();
    let mut other = hello();
    other["model"] = "other".into();

    gateway.chat(&hello()).await;
    gateway.chat(&other).await;

    assert_eq!((first.request_count(), second.request_count()), (1, 2));
}

#[tokio::test]
async fn a_thousand_streams_at_once_finish_without_an_error() {
    const STREAMS: usize = 1_000;
    let upstream = Upstream::builder()
        .count_only()
        .behaviour(
            Behaviour::echo()
                .chunks(8)
                .chunk_interval(Duration::from_millis(100)),
        )
        .start()
        .await;
    let gateway = Setup::over(&upstream)
        .settings("request_timeout_seconds = 30")
        .start();

    let answers = flood(&gateway, STREAMS, STREAMS, &hello_stream()).await;

    let whole = |answer: &&Answer| answer.text().ends_with("data: [DONE]\n\n");
    assert_eq!(answers.iter().filter(whole).count(), STREAMS);
    assert!(!answers.iter().any(|answer| answer.text().contains("error")));
    assert_eq!(upstream.request_count(), STREAMS);
}

#[tokio::test]
async fn smart_ai_sends_requests_where_they_cost_least() {
    for (lines, unit) in [
        (["request_price = 0.5", "request_price = 0.01"], "requests"),
        (
            [
                "input_price = 30.0\noutput_price = 60.0",
                "input_price = 0.1\noutput_price = 0.4",
            ],
            "tokens",
        ),
    ] {
        let (dear, cheap) = (upstream("dear").await, upstream("cheap").await);
        let gateway = Setup::new()
            .provider("dear", &dear)
            .backend(lines[0])
            .provider("cheap", &cheap)
            .backend(lines[1])
            .strategy("smart_ai")
            .start();

        gateway.chat_often(40, &hello()).await;

        // Looking at the dear one is not affordable yet.
        assert_eq!(
            (dear.request_count(), cheap.request_count()),
            (0, 40),
            "{unit}"
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_loses_what_smart_ai_trusts_it_with() {
    let (first, second) = (upstream("first").await, upstream("second").await);
    let gateway = Setup::over_two(&first, &second)
        .settings("[settings.smart_ai]\nexploration_ratio = 0.0")
        .strategy("smart_ai")
        .start();
    gateway.chat(&hello()).await;
    first.script([Behaviour::status(500), Behaviour::status(500)]);

    for answer in gateway.chat_often(10, &hello()).await {
        assert_eq!(answer.status, 200);
    }

    assert_eq!(first.request_count(), 2);
    assert_eq!(second.request_count(), 10);
}
