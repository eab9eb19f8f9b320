//! Failures before content, which no client sees.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::{Value, json};

use crate::support::{Answer, Setup, hello, hello_stream};

const SECOND: Duration = Duration::from_secs(1);

async fn upstream(name: &str, behaviour: Behaviour) -> Upstream {
    let builder = Upstream::builder().name(name).behaviour(behaviour);
    builder.start().await
}

/// Failures that a whole answer and a stream can suffer alike.
fn failures() -> Vec<(&'static str, Behaviour)> {
    let error = json!({"error": {"message": "overloaded", "type": "server_error"}});
    let wait = SECOND * 9;
    let mut failures = vec![
        ("a reset", Behaviour::echo().reset()),
        ("a close", Behaviour::echo().truncate_after(0)),
        ("a reset in the head", Behaviour::echo().reset_after(20)),
        ("garbage", Behaviour::garbage()),
        ("a web page", Behaviour::html(200)),
        ("a web page as an error", Behaviour::html(502)),
        ("a web page as a 400", Behaviour::html(400)),
        ("a web page as a 403", Behaviour::html(403)),
        ("a web page as a 404", Behaviour::html(404)),
        ("an error in a 200", Behaviour::json(error)),
        ("an empty answer", Behaviour::body("application/json", "")),
        ("text", Behaviour::body("text/plain", "hello")),
        ("a list", Behaviour::json(json!([1, 2]))),
        (
            "compression",
            Behaviour::echo().header("content-encoding", "gzip"),
        ),
        (
            "a 429 with a wait",
            Behaviour::status(429).retry_after(wait),
        ),
        (
            "no quota",
            Behaviour::status(429).error_code("insufficient_quota"),
        ),
        (
            "an invalid key",
            Behaviour::status(400).error_code("invalid_api_key"),
        ),
        (
            "a missing model",
            Behaviour::status(400).error_code("model_not_found"),
        ),
    ];
    let statuses = [
        (204, "a 204"),
        (301, "a 301"),
        (304, "a 304"),
        (401, "a 401"),
        (402, "a 402"),
        (403, "a 403"),
        (404, "a 404"),
        (408, "a 408"),
        (409, "a 409"),
        (429, "a 429"),
        (500, "a 500"),
        (502, "a 502"),
        (503, "a 503"),
        (504, "a 504"),
        (529, "a 529"),
    ];
    failures.extend(statuses.map(|(status, name)| (name, Behaviour::status(status))));
    failures
}

/// Expects a request to `first`, which fails so, to be answered by `second`.
async fn moves_on(name: &str, failure: Behaviour, body: &Value) {
    let first = upstream("first", failure).await;
    let second = upstream("second", Behaviour::echo()).await;
    let gateway = Setup::over_two(&first, &second)
        .settings("first_token_timeout_seconds = 1\nstream_idle_timeout_seconds = 1")
        .start();

    let answer = gateway.chat(body).await;

    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    if body["stream"] == true {
        let text = answer.text();
        assert!(text.contains("\"second! \""), "{name}: {text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{name}: {text}");
        assert!(!text.contains("error"), "{name}: {text}");
    } else {
        assert!(answer.said().starts_with("Hello from second!"), "{name}");
    }
    assert_eq!(first.request_count(), 1, "{name}");
    assert_eq!(second.request_count(), 1, "{name}");
}

#[tokio::test]
async fn a_whole_answer_comes_from_another_backend_after_any_failure() {
    for (name, failure) in failures() {
        moves_on(name, failure, &hello()).await;
    }
    for (name, failure) in [
        ("a cut body", Behaviour::echo().truncate_after(200)),
        ("a reset body", Behaviour::echo().reset_after(200)),
        (
            "half an object",
            Behaviour::body("application/json", "{\"choices\":["),
        ),
        ("two objects", Behaviour::body("application/json", "{}{}")),
        (
            "silence in the midst",
            Behaviour::stream(["{\"choices\":["], Duration::ZERO)
                .header("content-type", "application/json")
                .hang_after(1),
        ),
        (
            "a stream",
            Behaviour::stream(["data: {}\n\n"], Duration::ZERO),
        ),
        (
            "text that is not UTF-8",
            Behaviour::body("application/json", &b"{\"choices\":\"\xff\"}"[..]),
        ),
    ] {
        moves_on(name, failure, &hello()).await;
    }
}

#[tokio::test]
async fn a_stream_comes_from_another_backend_after_any_failure_before_content() {
    let stream = |chunks: &[&str]| {
        let chunks: Vec<_> = chunks.iter().map(|&chunk| chunk.to_owned()).collect();
        Behaviour::stream(chunks, Duration::ZERO)
    };
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let unfinished = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\
                      \"finish_reason\":\"\"}]}\n\n";
    let error = "data: {\"error\":{\"message\":\"no\"}}\n\n";
    // Somewhere to break a stream.
    let comment = format!(": {}\n\n", "x".repeat(10_000));
    for (name, failure) in failures() {
        moves_on(name, failure, &hello_stream()).await;
    }
    for (name, failure) in [
        ("no events", stream(&[])),
        ("comments only", stream(&[": hi\n\n", ": hi\n\n"])),
        ("done only", stream(&["data: [DONE]\n\n"])),
        ("an end after the role", stream(&[role])),
        (
            "a reset after the role",
            stream(&[role, role]).reset_after(230),
        ),
        (
            "a reset after a role with an empty finish reason",
            stream(&[unfinished, &comment]).reset_after(5_000),
        ),
        (
            "an end after a role with an empty finish reason",
            stream(&[unfinished]),
        ),
        ("silence after the role", stream(&[role]).hang_after(1)),
        ("an error first", stream(&[error])),
        ("an error after the role", stream(&[role, error])),
        ("an error event", stream(&["event: error\n", error])),
        ("a whole answer", Behaviour::json(json!({"choices": [{}]}))),
        (
            "half an event",
            stream(&[role, "data: {\"choices\":[{\"delta\":{\"content\":\"x"]),
        ),
    ] {
        moves_on(name, failure, &hello_stream()).await;
    }
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_is_passed_over() {
    let second = upstream("second", Behaviour::echo()).await;
    let setup = Setup::new()
        .dead_provider("dead")
        .provider_at("nowhere", "http://no-such-host.invalid/v1")
        .provider("second", &second);

    let answer = setup.start().chat(&hello()).await;

    assert!(answer.said().starts_with("Hello from second!"));
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up_in_time() {
    // The kernel accepts the connection; nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let second = upstream("second", Behaviour::echo()).await;
    let url = format!("https://{}/v1", silent.local_addr().unwrap());
    let gateway = Setup::new()
        .provider_at("silent", &url)
        .provider("second", &second)
        .settings("connect_timeout_seconds = 1")
        .start();

    let answer = gateway.chat(&hello()).await;

    assert!(answer.said().starts_with("Hello from second!"));
}

#[tokio::test]
async fn whole_answers_have_a_time_limit_of_their_own() {
    let only = upstream("only", Behaviour::echo().delay(SECOND * 3 / 2)).await;
    let gateway = Setup::over(&only)
        .settings("json_timeout_seconds = 1\nmax_retries = 0")
        .start();

    let (whole, stream) = (hello(), hello_stream());
    let (whole, stream) = tokio::join!(gateway.chat(&whole), gateway.chat(&stream));

    assert_eq!(whole.error(), "504 server_error/upstream_timeout");
    assert_eq!(stream.status, 200);
}

#[tokio::test]
async fn a_provider_may_have_fewer_retries_than_others() {
    let only = upstream("only", Behaviour::status(500)).await;
    let gateway = Setup::over(&only).option("max_retries = 1").start();

    gateway.chat(&hello()).await;

    assert_eq!(only.request_count(), 2);
}

#[tokio::test]
async fn a_backend_that_hangs_is_left_in_time() {
    let first = upstream("first", Behaviour::echo().hang()).await;
    let second = upstream("second", Behaviour::echo()).await;
    let gateway = Setup::new()
        .provider("first", &first)
        .option("timeout_seconds = 1")
        .provider("second", &second)
        .start();

    let (whole, stream) = (hello(), hello_stream());
    let (whole, stream) = tokio::join!(gateway.chat(&whole), gateway.chat(&stream));

    assert_eq!((whole.status, stream.status), (200, 200));
    assert_eq!(second.request_count(), 2);
    first.wait_for_cancellations(2).await;
}

/// Returns what a client is told when all three backends fail so, and how often each was asked.
async fn told(failures: [Behaviour; 3], settings: &str) -> (Answer, [usize; 3]) {
    let [a, b, c] = failures;
    let (a, b, c) = (
        upstream("a", a).await,
        upstream("b", b).await,
        upstream("c", c).await,
    );
    let gateway = Setup::new()
        .provider("a", &a)
        .provider("b", &b)
        .provider("c", &c)
        .settings(settings)
        .start();
    let answer = gateway.chat(&hello()).await;
    (answer, [&a, &b, &c].map(Upstream::request_count))
}

#[tokio::test]
async fn when_all_are_rate_limited_the_smallest_wait_is_told() {
    let limited = |seconds| Behaviour::status(429).retry_after(SECOND * seconds);

    let (answer, asked) = told([limited(30), limited(7), limited(9)], "").await;

    assert_eq!(answer.error(), "429 rate_limit_error/upstream_rate_limited");
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.header("x-should-retry"), None);
    assert_eq!(asked, [1, 1, 1]);
}

#[tokio::test]
async fn no_client_is_told_to_wait_longer_than_an_hour() {
    let limited = Behaviour::status(429).retry_after(SECOND * 86_400);
    let only = upstream("only", limited).await;
    let gateway = Setup::over(&only).start();

    let limited = gateway.chat(&hello()).await;
    let resting = gateway.chat(&hello()).await;

    assert_eq!(
        limited.error(),
        "429 rate_limit_error/upstream_rate_limited"
    );
    assert_eq!(limited.header("retry-after"), Some("3600"));
    assert_eq!(resting.error(), "503 server_error/no_available_backend");
    let wait: u64 = resting.header("retry-after").unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn when_all_attempts_fail_the_answer_is_a_502_that_is_not_worth_repeating() {
    let statuses = [
        [500, 500, 500],
        [429, 500, 401],
        [401, 402, 404],
        [403, 404, 401],
    ];
    for statuses in statuses {
        let (answer, _) = told(statuses.map(Behaviour::status), "max_retries = 2").await;

        assert_eq!(
            answer.error(),
            "502 server_error/upstream_error",
            "{statuses:?}"
        );
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(answer.header("retry-after"), None);
    }
}

#[tokio::test]
async fn a_timeout_is_followed_by_one_more_attempt_and_told_as_504() {
    let hang = || Behaviour::echo().hang();

    let (answer, asked) = told([hang(), hang(), hang()], "request_timeout_seconds = 1").await;

    assert_eq!(answer.error(), "504 server_error/upstream_timeout");
    assert_eq!(answer.header("x-should-retry"), None);
    assert_eq!(asked, [1, 1, 0]);
}

#[tokio::test]
async fn the_deadline_of_a_request_bounds_all_its_attempts() {
    let slow = || Behaviour::status(500).delay(SECOND * 3 / 4);

    let (answer, asked) = told([slow(), slow(), slow()], "request_deadline_seconds = 1").await;

    assert_eq!(answer.error(), "504 server_error/upstream_timeout");
    assert_eq!(asked, [1, 1, 0]);
}

#[tokio::test]
async fn a_backend_that_hangs_until_the_deadline_is_ejected_for_the_next_request() {
    for body in [hello(), hello_stream()] {
        let first = upstream("first", Behaviour::echo().hang()).await;
        let second = upstream("second", Behaviour::echo()).await;
        let gateway = Setup::over_two(&first, &second)
            .settings("request_deadline_seconds = 1\ncircuit_breaker_failure_threshold = 1")
            .start();

        let late = gateway.chat(&body).await;
        let next = gateway.chat(&body).await;

        assert_eq!(late.error(), "504 server_error/upstream_timeout");
        assert_eq!(next.status, 200, "{}", next.text());
        assert_eq!((first.request_count(), second.request_count()), (1, 1));
        assert_eq!(gateway.backends().await, (1, 2));
    }
}

#[tokio::test]
async fn retries_and_moves_are_bounded_by_the_settings() {
    for (settings, expected) in [
        ("max_retries = 0", [1, 0, 0]),
        ("max_retries = 1", [1, 1, 0]),
        ("max_internal_retries = 0", [1, 0, 0]),
        ("max_internal_retries = 1", [1, 1, 0]),
        ("max_retries = 2", [1, 1, 1]),
    ] {
        let failures = [500, 500, 500].map(Behaviour::status);

        let (answer, asked) = told(failures, settings).await;

        assert_eq!(asked, expected, "{settings}");
        assert_eq!(answer.error(), "502 server_error/upstream_error");
        let tried_all = expected == [1, 1, 1];
        let should_retry = answer.header("x-should-retry");
        assert_eq!(should_retry, tried_all.then_some("false"), "{settings}");
    }
}

#[tokio::test]
async fn a_retry_that_the_budget_denies_leaves_the_failure_as_the_answer() {
    const REQUESTS: usize = 16;
    let mut setup = Setup::new().settings(
        "retry_budget_ratio = 0.0\nmax_retries = 7\nmax_internal_retries = 7\n\
         circuit_breaker_failure_threshold = 1000",
    );
    let mut upstreams = Vec::new();
    for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let failing = upstream(id, Behaviour::status(500)).await;
        setup = setup.provider(id, &failing);
        upstreams.push(failing);
    }
    let gateway = setup.start();

    let answers = gateway.chat_often(REQUESTS, &hello()).await;

    // Each request's first attempt, the first move of all, and the hundred that are always paid.
    let asked: usize = upstreams.iter().map(Upstream::request_count).sum();
    assert_eq!(asked, REQUESTS + 1 + 100);
    let (denied, paid) = answers.split_last().unwrap();
    assert_eq!(denied.error(), "502 server_error/upstream_error");
    assert_eq!(denied.header("x-should-retry"), None);
    assert_eq!(paid[0].header("x-should-retry"), Some("false"));
}

#[tokio::test]
async fn the_only_backend_is_tried_again_after_a_moment() {
    let only = upstream("only", Behaviour::echo()).await;
    let gateway = Setup::over(&only).start();

    for failure in [
        Behaviour::status(500),
        Behaviour::status(429),
        Behaviour::echo().reset(),
    ] {
        only.script([failure]);

        assert_eq!(gateway.chat(&hello()).await.status, 200);
    }

    assert_eq!(only.request_count(), 6);
}

#[tokio::test]
async fn a_short_wait_that_a_provider_asks_for_is_waited() {
    let only = upstream("only", Behaviour::echo()).await;
    let gateway = Setup::over(&only).start();
    for status in [429, 503] {
        only.script([Behaviour::status(status).retry_after(SECOND)]);
        let began = tokio::time::Instant::now();

        let answer = gateway.chat(&hello()).await;

        assert_eq!(answer.status, 200, "{status}");
        assert!(began.elapsed() >= SECOND, "{status}");
    }
}

#[tokio::test]
async fn a_long_wait_that_a_server_error_asks_for_ends_the_request() {
    let failing = Behaviour::status(503).retry_after(SECOND * 60);
    let only = upstream("only", failing).await;

    let answer = Setup::over(&only).start().chat(&hello()).await;

    assert_eq!(answer.error(), "502 server_error/upstream_error");
    assert_eq!(only.request_count(), 1);
}

#[tokio::test]
async fn a_refused_key_and_a_missing_model_are_not_tried_again() {
    for status in [401, 402, 404] {
        let only = upstream("only", Behaviour::status(status)).await;

        let answer = Setup::over(&only).start().chat(&hello()).await;

        assert_eq!(
            answer.error(),
            "502 server_error/upstream_error",
            "{status}"
        );
        assert_eq!(only.request_count(), 1, "{status}");
    }
}

#[tokio::test]
async fn when_every_backend_is_ejected_the_client_is_told_when_to_come_back() {
    for (failure, longest) in [
        (Behaviour::status(401), 60),
        (Behaviour::status(429).retry_after(SECOND * 40), 40),
    ] {
        let only = upstream("only", failure).await;
        let gateway = Setup::over(&only).start();
        gateway.chat(&hello()).await;

        for body in [hello(), hello_stream()] {
            let answer = gateway.chat(&body).await;

            assert_eq!(answer.error(), "503 server_error/no_available_backend");
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=longest).contains(&wait), "{wait}");
        }
        assert_eq!(only.request_count(), 1);
    }
}

#[tokio::test]
async fn a_failed_stream_without_a_comment_is_a_real_status() {
    let only = upstream("only", Behaviour::status(401)).await;

    let answer = Setup::over(&only).start().chat(&hello_stream()).await;

    assert_eq!(answer.error(), "502 server_error/upstream_error");
}
