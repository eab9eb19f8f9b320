//! How much a user may send, and what is said about it.

use std::fs;
use std::ops::RangeInclusive;
use std::time::Duration;

use berry_testkit::{Behaviour, Protocol, Upstream};
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    Answer, Client, Gateway, Setup, Streaming, TOKEN, chat, get, hello, hello_stream, request,
    within,
};

const REACHED: &str = "429 rate_limit_error/rate_limit_exceeded";

/// A gateway whose user has these limits and is an admin, which lifts none of them.
fn limited(upstream: &Upstream, limits: &str) -> Setup {
    Setup::over(upstream)
        .settings("max_retries = 0")
        .user(&format!(
            "tags = [\"admin\", \"unlimited\"]\nrate_limit = {{ {limits} }}"
        ))
}

async fn echo(limits: &str) -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    (limited(&upstream, limits).start(), upstream)
}

/// Returns what has been counted of the user.
async fn usage(gateway: &Gateway) -> Value {
    let answer = gateway.get("/admin/rate-limit-usage?user_id=ada").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["usage"].take()
}

async fn counted(gateway: &Gateway, member: &str) -> u64 {
    usage(gateway).await[member].as_u64().unwrap()
}

/// Returns the limit and the rest of `requests` or `tokens`.
fn quota(answer: &Answer, of: &str) -> Option<(u32, u32)> {
    let number = |name: &str| {
        let value = answer.header(&format!("x-ratelimit-{name}-{of}"))?;
        Some(value.parse().expect("a number"))
    };
    Some((number("limit")?, number("remaining")?))
}

/// Returns the seconds until all is there again; of durations below an hour.
fn reset(answer: &Answer, of: &str) -> u64 {
    let reset = answer.header(&format!("x-ratelimit-reset-{of}"));
    let reset = reset.unwrap().strip_suffix('s').expect("seconds");
    let (minutes, seconds) = reset.split_once('m').unwrap_or(("0", reset));
    minutes.parse::<u64>().unwrap() * 60 + seconds.parse::<u64>().unwrap()
}

fn wait(answer: &Answer) -> u64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

/// A wait until what was sent a moment ago is forgotten.
const A_MINUTE: RangeInclusive<u64> = 30..=61;

/// Opens so many requests at once, each on a connection of its own.
async fn open_at_once(gateway: &Gateway, count: usize, body: &Value) -> Vec<Streaming> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(gateway.connect().await);
    }
    let open = |client: Client| client.open(chat(body.to_string()));
    clients
        .into_iter()
        .map(open)
        .collect::<JoinSet<_>>()
        .join_all()
        .await
}

fn passed(answers: &[Streaming]) -> usize {
    let passed = answers.iter().filter(|answer| answer.status == 200);
    assert!(
        answers
            .iter()
            .all(|answer| [200, 429].contains(&answer.status))
    );
    passed.count()
}

#[tokio::test]
async fn of_thirty_requests_at_once_exactly_five_pass() {
    for window in ["minute", "hour", "day"] {
        let (gateway, upstream) = echo(&format!("requests_per_{window} = 5")).await;

        let answers = open_at_once(&gateway, 30, &hello()).await;

        assert_eq!(passed(&answers), 5, "{window}");
        assert_eq!(upstream.request_count(), 5);
        let member = format!("requests_this_{window}");
        assert_eq!(counted(&gateway, &member).await, 5);
    }
}

#[tokio::test]
async fn of_thirty_requests_at_once_five_run_until_their_answers_have_ended() {
    let stalled = Behaviour::text_stream(["one ", "two "], Duration::ZERO).hang_after(2);
    let upstream = Upstream::builder().behaviour(stalled).start().await;
    let gateway = limited(&upstream, "max_concurrent_requests = 5").start();

    let mut answers = open_at_once(&gateway, 30, &hello_stream()).await;

    assert_eq!(passed(&answers), 5);
    assert_eq!(upstream.request_count(), 5);
    assert_eq!(counted(&gateway, "concurrent_requests").await, 5);
    let refused = gateway.chat(&hello()).await;
    assert_eq!((refused.error(), wait(&refused)), (REACHED.to_owned(), 1));
    assert_eq!(quota(&refused, "requests"), Some((5, 0)));
    answers.clear();
    within(upstream.wait_for_cancellations(5)).await;
    upstream.set(Behaviour::echo());
    within(async { while counted(&gateway, "concurrent_requests").await > 0 {} }).await;
    assert_eq!(gateway.chat(&hello()).await.status, 200);
}

#[tokio::test]
async fn an_answer_that_is_read_to_its_end_frees_its_place_for_the_next() {
    for body in [hello(), hello_stream()] {
        let (gateway, _upstream) = echo("max_concurrent_requests = 1").await;

        let answers = gateway.chat_often(50, &body).await;

        assert!(answers.iter().all(|answer| answer.status == 200));
    }
}

#[tokio::test]
async fn whoever_is_limited_is_told_how_much_is_left() {
    let (gateway, _upstream) = echo("requests_per_minute = 2, requests_per_day = 9").await;
    let unknown = json!({"model": "no-such-model", "messages": []});

    for (answer, expected) in [
        (gateway.get("/v1/models").await, (2, 2)),
        (gateway.chat(&hello()).await, (2, 1)),
        (gateway.chat(&unknown).await, (2, 1)),
        (gateway.send(chat("no JSON")).await, (2, 1)),
        (gateway.get("/v1/models/test-model").await, (2, 1)),
        (gateway.chat(&hello_stream()).await, (2, 0)),
        (gateway.chat(&hello()).await, (2, 0)),
    ] {
        assert_eq!(quota(&answer, "requests"), Some(expected), "{answer:?}");
        assert_eq!(quota(&answer, "tokens"), None);
    }
    let refused = gateway.chat(&hello()).await;
    assert_eq!(refused.error(), REACHED);
    assert!(refused.text().contains("2 requests per minute"));
    assert!(A_MINUTE.contains(&wait(&refused)), "{refused:?}");
    assert!(wait(&refused) <= reset(&refused, "requests"));
    assert!(A_MINUTE.contains(&reset(&refused, "requests")));
}

#[tokio::test]
async fn whoever_is_not_limited_is_told_nothing() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();

    let answer = gateway.chat(&hello()).await;

    let mut names = answer.headers.keys();
    assert!(names.all(|name| !name.as_str().starts_with("x-ratelimit")));
}

#[tokio::test]
async fn what_is_rejected_does_not_count() {
    let (gateway, upstream) = echo("requests_per_minute = 1, tokens_per_minute = 1000").await;
    let stranger = [("authorization", "Bearer no-such-token")];
    let mut elsewhere = hello();
    elsewhere["backend"] = "no-such-provider".into();

    for (request, status) in [
        (chat("no JSON"), 400),
        (chat(r#"{"model":"no-such-model"}"#), 404),
        (chat(elsewhere.to_string()), 404),
        (get("/v1/chat/completions"), 405),
        (
            request(Method::POST, "/v1/chat/completions", &stranger, "{}"),
            401,
        ),
    ] {
        assert_eq!(gateway.send(request).await.status, status);
    }

    assert_eq!(gateway.chat(&hello()).await.status, 200);
    let once = usage(&gateway).await;
    for _ in 0..5 {
        assert_eq!(gateway.chat(&hello()).await.error(), REACHED);
    }
    assert_eq!(usage(&gateway).await, once);
    assert_eq!(upstream.request_count(), 1);
}

#[tokio::test]
async fn what_fails_before_content_is_refunded() {
    let breaks = Behaviour::text_stream(["one "], Duration::ZERO).reset_after(10);

    for behaviour in [Behaviour::status(500), Behaviour::garbage(), breaks] {
        let limits = "requests_per_minute = 1, tokens_per_minute = 1000";
        let (gateway, upstream) = echo(limits).await;
        upstream.set(behaviour.clone());

        for body in [hello(), hello_stream()] {
            let answer = gateway.chat(&body).await;

            assert_eq!(answer.status, 502, "{behaviour:?}");
            assert_eq!(quota(&answer, "requests"), Some((1, 1)));
            assert_eq!(quota(&answer, "tokens"), Some((1000, 1000)));
        }
        assert_eq!(counted(&gateway, "requests_this_day").await, 0);
        upstream.set(Behaviour::echo());
        assert_eq!(gateway.chat(&hello()).await.status, 200);
    }
}

#[tokio::test]
async fn what_fails_after_a_comment_is_refunded() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::status(500).delay(Duration::from_millis(1_200)))
        .start()
        .await;
    let gateway = limited(&upstream, "requests_per_minute = 1")
        .settings("stream_keepalive_seconds = 1")
        .start();

    let answer = gateway.chat(&hello_stream()).await;

    assert!(answer.text().starts_with(": keep-alive"), "{answer:?}");
    assert_eq!(counted(&gateway, "requests_this_minute").await, 0);
}

#[tokio::test]
async fn a_request_that_the_upstream_refuses_counts_without_tokens() {
    let (gateway, upstream) = echo("requests_per_minute = 2, tokens_per_minute = 1000").await;
    upstream.set(Behaviour::status(400));

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.status, 400);
    assert_eq!(quota(&answer, "requests"), Some((2, 1)));
    assert_eq!(quota(&answer, "tokens"), Some((1000, 1000)));
}

#[tokio::test]
async fn tokens_are_settled_with_what_the_upstream_counted() {
    for (protocol, name) in [
        (Protocol::OpenAi, "openai"),
        (Protocol::Claude, "claude"),
        (Protocol::Gemini, "gemini"),
    ] {
        let upstream = Upstream::builder().protocol(protocol).start().await;
        let setup = limited(&upstream, "tokens_per_minute = 1000");
        let gateway = setup.option(&format!("backend_type = \"{name}\"")).start();

        let whole = gateway.chat(&hello()).await.json();
        let mut used = whole["usage"]["total_tokens"].as_u64().unwrap();
        assert_eq!(
            counted(&gateway, "tokens_this_minute").await,
            used,
            "{name}"
        );

        let mut asking = hello_stream();
        asking["stream_options"] = json!({"include_usage": true});
        let asked = gateway.chat(&asking).await;
        let (_, total) = asked.text().rsplit_once("\"total_tokens\":").unwrap();
        let digits: String = total.chars().take_while(char::is_ascii_digit).collect();
        let total: u64 = digits.parse().unwrap();
        used += total;
        assert_eq!(
            counted(&gateway, "tokens_this_minute").await,
            used,
            "{name}"
        );

        let stream = gateway.chat(&hello_stream()).await;
        assert!(!stream.text().contains("total_tokens"), "nobody asked");
        used += total;
        assert_eq!(
            counted(&gateway, "tokens_this_minute").await,
            used,
            "{name}"
        );
    }
}

#[tokio::test]
async fn tokens_of_every_operation_count() {
    for (path, more, used) in [
        ("/v1/completions", json!({"prompt": "x"}), 5),
        ("/v1/embeddings", json!({"input": ["a", "b"]}), 2),
        ("/v1/responses", json!({"input": "x"}), 10),
        ("/v1/responses", json!({"input": "x", "stream": true}), 10),
    ] {
        let (gateway, _upstream) = echo("tokens_per_minute = 1000").await;
        let mut body = more;
        body["model"] = "test-model".into();
        let headers = [("x-api-key", TOKEN)];

        let ask = request(Method::POST, path, &headers, body.to_string());
        let answer = gateway.send(ask).await;

        assert_eq!(answer.status, 200, "{path}");
        let tokens = counted(&gateway, "tokens_this_minute").await;
        assert_eq!(tokens, used, "{path} {}", answer.text());
    }
}

#[tokio::test]
async fn tokens_that_nobody_counts_are_estimated() {
    let word = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";
    let silent = Behaviour::stream([word, word, word, "data: [DONE]\n\n"], Duration::ZERO);
    let upstream = Upstream::builder().behaviour(silent.clone()).start().await;
    let gateway = limited(&upstream, "tokens_per_minute = 1000").start();
    let input = hello_stream().to_string().len().div_ceil(4) as u64;

    let answer = gateway.chat(&hello_stream()).await;
    assert_eq!(answer.status, 200);
    let whole = counted(&gateway, "tokens_this_minute").await;
    assert_eq!(whole, input + 4);

    upstream.set(silent.hang_after(2));
    let mut left = gateway.stream(&hello_stream()).await;
    left.event().await;
    left.event().await;
    drop(left);
    within(async { while counted(&gateway, "concurrent_requests").await > 0 {} }).await;
    let both = counted(&gateway, "tokens_this_minute").await;
    assert_eq!(both, whole + input + 2);
}

#[tokio::test]
async fn who_has_used_their_tokens_has_to_wait() {
    let usage = json!({"prompt_tokens": 60, "completion_tokens": 60});
    let choices = json!([{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]);
    let answer = Behaviour::json(json!({"choices": choices, "usage": usage}));
    let upstream = Upstream::builder().behaviour(answer).start().await;
    let gateway = limited(&upstream, "tokens_per_minute = 200").start();

    for left in [80, 0] {
        let answer = gateway.chat(&hello()).await;
        assert_eq!(answer.status, 200);
        let answer = gateway.get("/v1/models").await;
        assert_eq!(quota(&answer, "tokens"), Some((200, left)));
    }
    let refused = gateway.chat(&hello()).await;
    assert_eq!(refused.error(), REACHED);
    assert!(refused.text().contains("200 tokens per minute"));
    assert!(A_MINUTE.contains(&wait(&refused)), "{refused:?}");
    assert_eq!(quota(&refused, "tokens"), Some((200, 0)));
    assert_eq!(upstream.request_count(), 2);
}

#[tokio::test]
async fn a_request_of_more_tokens_than_a_minute_may_have_is_refused_for_good() {
    let (gateway, upstream) = echo("tokens_per_minute = 200").await;
    let mut long = hello();
    long["messages"][0]["content"] = "x".repeat(1_000).into();

    let refused = gateway.chat(&long).await;

    assert_eq!(refused.error(), REACHED);
    assert!(refused.text().contains("make it shorter"), "{refused:?}");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(wait(&refused), 60);
    assert_eq!(quota(&refused, "tokens"), Some((200, 200)));
    assert_eq!(upstream.request_count(), 0);
    assert_eq!(gateway.chat(&hello()).await.status, 200);
}

#[tokio::test]
async fn a_reload_changes_the_limits_and_forgets_nothing() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let write = |limits| fs::write(&path, limited(&upstream, limits).toml()).unwrap();
    write("requests_per_minute = 2");
    let gateway = Gateway::start_from(&path);
    assert_eq!(gateway.chat(&hello()).await.status, 200);
    assert_eq!(gateway.chat(&hello()).await.status, 200);

    write("requests_per_minute = 3");
    assert_eq!(gateway.reload().await.status, 200);
    let third = gateway.chat(&hello()).await;
    assert_eq!(
        (third.status, quota(&third, "requests")),
        (200, Some((3, 0)))
    );

    write("requests_per_minute = 1");
    assert_eq!(gateway.reload().await.status, 200);
    let refused = gateway.chat(&hello()).await;
    assert_eq!(refused.error(), REACHED);
    assert_eq!(quota(&refused, "requests"), Some((1, 0)));
    assert_eq!(counted(&gateway, "requests_this_minute").await, 3);
}

#[tokio::test]
async fn an_admin_sees_what_a_user_has_sent() {
    let upstream = Upstream::start().await;
    let gateway = limited(
        &upstream,
        "requests_per_hour = 7, max_concurrent_requests = 3",
    )
    .more("[users.eve]\ntoken = \"token-of-eve-0123456789\"")
    .start();
    gateway.chat(&hello()).await;

    let answer = gateway.get("/admin/rate-limit-usage?user_id=ada").await;
    let mut answer = answer.json();

    assert!(answer["usage"]["tokens_this_minute"].take().as_u64() > Some(0));
    let timestamp = answer["timestamp"].take();
    assert!(timestamp.as_str().unwrap().ends_with('Z'));
    assert_eq!(
        answer,
        json!({
            "user_id": "ada",
            "usage": {
                "requests_this_minute": 1,
                "requests_this_hour": 1,
                "requests_this_day": 1,
                "tokens_this_minute": null,
                "concurrent_requests": 0,
            },
            "limits": {
                "requests_per_minute": null,
                "requests_per_hour": 7,
                "requests_per_day": null,
                "tokens_per_minute": null,
                "max_concurrent_requests": 3,
            },
            "timestamp": null,
        })
    );
    let other = gateway.get("/admin/rate-limit-usage?user_id=eve").await;
    assert_eq!(other.json()["usage"]["requests_this_day"], 0);
    for (query, refusal) in [
        (
            "",
            "400 invalid_request_error/missing_required_parameter user_id",
        ),
        (
            "?user_id=",
            "404 invalid_request_error/user_not_found user_id",
        ),
        (
            "?user_id=Ada",
            "404 invalid_request_error/user_not_found user_id",
        ),
        (
            &format!("?user_id={TOKEN}"),
            "404 invalid_request_error/user_not_found user_id",
        ),
    ] {
        let answer = gateway
            .get(&format!("/admin/rate-limit-usage{query}"))
            .await;
        assert_eq!(answer.error(), refusal, "{query}");
    }
}

#[tokio::test]
async fn more_requests_than_the_gateway_may_have_are_shed_and_its_own_pages_are_not() {
    let stalled = Behaviour::text_stream(["one ", "two "], Duration::ZERO).hang_after(2);
    let upstream = Upstream::builder().behaviour(stalled).start().await;
    let gateway = limited(&upstream, "requests_per_minute = 9")
        .settings("max_inflight_requests = 2")
        .start();
    let open = [
        gateway.stream(&hello_stream()).await,
        gateway.stream(&hello_stream()).await,
    ];

    let shed = gateway.chat(&hello()).await;

    assert_eq!(shed.error(), "503 server_error/overloaded");
    assert_eq!(wait(&shed), 1);
    assert_eq!(quota(&shed, "requests"), Some((9, 7)));
    for page in ["/health", "/v1/models", "/metrics", "/admin/system-stats"] {
        assert_eq!(gateway.get(page).await.status, 200, "{page}");
    }
    drop(open);
    within(upstream.wait_for_cancellations(2)).await;
    upstream.set(Behaviour::echo());
    within(async { while gateway.chat(&hello()).await.status != 200 {} }).await;
}
