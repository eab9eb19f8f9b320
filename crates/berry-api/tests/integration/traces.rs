//! What a collector of traces gets.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use http::HeaderValue;
use serde_json::{Value, json};

use crate::support::{
    Collector, Gateway, Request, Setup, TOKEN, Traced, chat, get, hello, hello_stream,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f0670000a902b7";
const CHAT: &str = "POST /v1/chat/completions";
const ATTEMPT: &str = "chat upstream-model";

/// A gateway over these providers that is traced.
fn traced(setup: Setup, collector: &Collector) -> Gateway {
    setup.more(&collector.telemetry()).start()
}

/// A chat request with these headers.
fn with(headers: &[(&'static str, &str)]) -> Request {
    let mut request = chat(hello().to_string());
    for &(name, value) in headers {
        let value = HeaderValue::try_from(value).unwrap();
        request.headers_mut().append(name, value);
    }
    request
}

#[tokio::test]
async fn a_request_and_its_attempt_are_spans_with_what_is_known_of_them() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let setup = Setup::over(&upstream).more("[usage]\ndatabase = \"\"");
    let telemetry = format!("{}service_name = \"gateway\"", collector.telemetry());
    let gateway = setup.more(&telemetry).start();

    let answer = gateway.chat(&hello()).await;

    let spans = collector.spans(2).await;
    let usage = &answer.json()["usage"];
    let (request, attempt) = (Traced::find(&spans, CHAT), Traced::find(&spans, ATTEMPT));
    assert_eq!(spans.len(), 2);
    assert_eq!((request.span.kind, attempt.span.kind), (2, 3));
    assert_eq!(request.span.trace_id, attempt.span.trace_id);
    assert!(request.span.parent_span_id.is_empty());
    assert_eq!(attempt.span.parent_span_id, request.span.span_id);
    assert!(request.span.start_time_unix_nano <= attempt.span.start_time_unix_nano);
    assert!(attempt.span.end_time_unix_nano <= request.span.end_time_unix_nano);
    assert!(!request.is_error() && !attempt.is_error());
    assert_eq!(request.attribute("error.type"), &Value::Null);
    for (name, value) in [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/v1/chat/completions")),
        ("http.response.status_code", json!(200)),
        ("user.id", json!("ada")),
        ("berry.request_id", json!(answer.header("x-request-id"))),
        ("berry.model", json!("test-model")),
        ("berry.strategy", json!("failover")),
        ("berry.attempts", json!(1)),
    ] {
        assert_eq!(request.attribute(name), &value, "{name}");
    }
    assert!(request.attribute("berry.first_byte_ms").as_f64() > Some(0.0));
    assert!(request.attribute("berry.overhead_ms").as_f64() > Some(0.0));
    let address = upstream.address();
    for (name, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("openai")),
        ("gen_ai.request.model", json!("upstream-model")),
        ("gen_ai.request.stream", json!(false)),
        ("gen_ai.usage.input_tokens", usage["prompt_tokens"].clone()),
        (
            "gen_ai.usage.output_tokens",
            usage["completion_tokens"].clone(),
        ),
        ("gen_ai.usage.cache_read.input_tokens", json!(0)),
        ("gen_ai.usage.cache_creation.input_tokens", json!(0)),
        ("gen_ai.usage.reasoning.output_tokens", json!(0)),
        ("berry.provider", json!("only")),
        ("server.address", json!(address.ip().to_string())),
        ("server.port", json!(address.port())),
        ("http.response.status_code", json!(200)),
        ("http.request.resend_count", Value::Null),
    ] {
        assert_eq!(attempt.attribute(name), &value, "{name}");
    }
    assert_eq!(request.resource["service.name"], "gateway");
    assert_eq!(
        request.resource["service.version"],
        env!("CARGO_PKG_VERSION")
    );
}

#[tokio::test]
async fn the_upstream_is_told_of_the_attempt_it_serves() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let gateway = traced(Setup::over(&upstream), &collector);
    let ours = format!("00-{TRACE}-{SPAN}-01");

    gateway
        .send(with(&[("traceparent", &ours), ("tracestate", "a=1")]))
        .await;
    gateway.send(with(&[("tracestate", "b=2")])).await;

    let spans = collector.spans(4).await;
    let [continued, begun] = [0, 1].map(|index| upstream.requests()[index].headers.clone());
    let told = |headers: &http::HeaderMap| headers["traceparent"].to_str().unwrap().to_owned();
    let attempts: Vec<_> = spans
        .iter()
        .filter(|traced| traced.span.name == ATTEMPT)
        .collect();
    for (headers, flags) in [(&continued, "01"), (&begun, "03")] {
        let is_told = attempts.iter().any(|attempt| {
            let (trace, span) = attempt.ids();
            told(headers) == format!("00-{trace}-{span}-{flags}")
        });
        assert!(is_told, "{headers:?}");
    }
    assert!(told(&continued).contains(TRACE));
    assert_eq!(continued["tracestate"], "a=1");
    // A state without a parent belongs to nobody.
    assert!(!begun.contains_key("tracestate"));
    let request = spans
        .iter()
        .find(|traced| traced.span.name == CHAT && traced.ids().0 == TRACE)
        .unwrap();
    assert_eq!(
        request.span.parent_span_id,
        [0x00, 0xf0, 0x67, 0x00, 0x00, 0xa9, 0x02, 0xb7]
    );
    assert_eq!(request.span.trace_state, "a=1");
    assert_eq!(request.span.flags & 0x200, 0x200, "the parent is remote");
}

#[tokio::test]
async fn a_header_that_is_configured_wins_over_the_attempts() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let setup = Setup::over(&upstream).option("headers = { traceparent = \"mine\" }");
    let gateway = traced(setup, &collector);

    gateway.chat(&hello()).await;

    assert_eq!(upstream.requests()[0].headers["traceparent"], "mine");
}

#[tokio::test]
async fn whoever_begins_a_trace_decides_whether_it_is_recorded() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let telemetry = format!("{}sample_ratio = 0", collector.telemetry());
    let gateway = Setup::over(&upstream).more(&telemetry).start();
    let unsampled = format!("00-{TRACE}-{SPAN}-00");
    let sampled = format!("00-{TRACE}-{SPAN}-01");

    gateway.send(with(&[("traceparent", &unsampled)])).await;
    gateway.send(with(&[])).await;
    gateway.send(with(&[("traceparent", &sampled)])).await;

    let spans = collector.spans(2).await;
    assert_eq!(spans.len(), 2);
    assert_eq!(Traced::find(&spans, CHAT).ids().0, TRACE);
    // What is not recorded here goes on as it came.
    let requests = upstream.requests();
    assert_eq!(requests[0].headers["traceparent"], unsampled);
    assert!(!requests[1].headers.contains_key("traceparent"));
}

#[tokio::test]
async fn a_share_of_the_traces_that_begin_here_is_recorded() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let telemetry = format!("{}sample_ratio = 0.5", collector.telemetry());
    let mut gateway = Setup::over(&upstream).more(&telemetry).start();

    gateway.chat_often(200, &hello()).await;
    gateway.shut_down();
    gateway.stopped().await;

    let recorded = collector.received().len() / 2;
    assert!((60..140).contains(&recorded), "{recorded}");
}

#[tokio::test]
async fn every_attempt_is_a_span_and_says_how_it_failed() {
    let behaviours = [
        Behaviour::status(503),
        Behaviour::status(429),
        Behaviour::garbage(),
    ];
    let mut setup = Setup::new();
    let mut upstreams = Vec::new();
    for (id, behaviour) in ["a", "b", "c"].into_iter().zip(behaviours) {
        let upstream = Upstream::builder().behaviour(behaviour).start().await;
        setup = setup.provider(id, &upstream);
        upstreams.push(upstream);
    }
    let (last, collector) = (Upstream::start().await, Collector::start().await);
    let setup = setup.dead_provider("d").provider("e", &last);
    let setup = setup.settings("max_retries = 4\nmax_internal_retries = 4");
    let gateway = traced(setup, &collector);

    assert_eq!(gateway.chat(&hello_stream()).await.status, 200);

    let spans = collector.spans(6).await;
    let request = Traced::find(&spans, CHAT);
    assert!(!request.is_error());
    assert_eq!(request.attribute("berry.attempts"), 5);
    let attempts: Vec<_> = spans
        .iter()
        .filter(|traced| traced.span.name == ATTEMPT)
        .collect();
    let seen: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            assert_eq!(attempt.span.parent_span_id, request.span.span_id);
            assert_eq!(attempt.attribute("gen_ai.request.stream"), true);
            json!([
                attempt.attribute("berry.provider"),
                attempt.attribute("http.request.resend_count"),
                attempt.attribute("http.response.status_code"),
                attempt.attribute("error.type"),
                attempt.is_error(),
            ])
        })
        .collect();
    assert_eq!(
        json!(seen),
        json!([
            ["a", null, 503, "server", true],
            ["b", 1, 429, "rate_limited", true],
            ["c", 2, null, "protocol", true],
            ["d", 3, null, "connect", true],
            ["e", 4, 200, null, false],
        ])
    );
    for pair in attempts.windows(2) {
        assert!(pair[0].span.end_time_unix_nano <= pair[1].span.start_time_unix_nano);
    }
}

#[tokio::test]
async fn a_stream_is_traced_until_it_ends() {
    let words = ["one ", "two ", "three "];
    let pace = Duration::from_millis(50);
    let streaming = Behaviour::text_stream(words, pace);
    let upstream = Upstream::builder().behaviour(streaming).start().await;
    let collector = Collector::start().await;
    let gateway = traced(Setup::over(&upstream), &collector);

    gateway.stream(&hello_stream()).await.rest().await;

    let spans = collector.spans(2).await;
    let attempt = Traced::find(&spans, ATTEMPT);
    let length = attempt.span.end_time_unix_nano - attempt.span.start_time_unix_nano;
    assert!(length >= 2 * 50_000_000, "{length}");
    assert_eq!(attempt.attribute("gen_ai.request.stream"), true);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_of_both_spans() {
    let words = ["one ", "two ", "three "];
    let breaking = Behaviour::text_stream(words, Duration::ZERO).truncate_after(400);
    let upstream = Upstream::builder().behaviour(breaking).start().await;
    let collector = Collector::start().await;
    let gateway = traced(Setup::over(&upstream), &collector);

    gateway.stream(&hello_stream()).await.rest().await;

    let spans = collector.spans(2).await;
    let (request, attempt) = (Traced::find(&spans, CHAT), Traced::find(&spans, ATTEMPT));
    assert_eq!(attempt.attribute("error.type"), "protocol");
    assert_eq!(request.attribute("error.type"), "502");
    assert!(request.is_error() && attempt.is_error());
}

#[tokio::test]
async fn a_client_that_leaves_is_no_error() {
    let words = ["one ", "two ", "three "];
    let hanging = Behaviour::text_stream(words, Duration::ZERO).hang_after(3);
    let upstream = Upstream::builder().behaviour(hanging).start().await;
    let collector = Collector::start().await;
    let gateway = traced(Setup::over(&upstream), &collector);
    let mut answer = gateway.stream(&hello_stream()).await;
    answer.event().await;

    drop(answer);

    let spans = collector.spans(2).await;
    assert_eq!(
        Traced::find(&spans, CHAT).attribute("berry.client_left"),
        true
    );
    assert!(!spans.iter().any(Traced::is_error));
}

#[tokio::test]
async fn what_nobody_answers_is_an_error_and_what_a_client_gets_wrong_is_none() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::status(500))
        .start()
        .await;
    let collector = Collector::start().await;
    let gateway = traced(
        Setup::over(&upstream).settings("max_retries = 0"),
        &collector,
    );

    assert_eq!(gateway.chat(&hello()).await.status, 502);
    upstream.set(Behaviour::status(400));
    assert_eq!(gateway.chat(&hello()).await.status, 400);
    assert_eq!(gateway.chat(&json!({"model": "none"})).await.status, 404);
    assert_eq!(gateway.get("/v1/models").await.status, 200);

    let spans = collector.spans(6).await;
    let seen: Vec<_> = spans
        .iter()
        .map(|traced| {
            let status = traced.attribute("http.response.status_code");
            let kind = traced.attribute("error.type");
            json!([traced.span.name, status, kind, traced.is_error()])
        })
        .collect();
    assert_eq!(
        json!(seen),
        json!([
            [CHAT, 502, "502", true],
            [ATTEMPT, 500, "server", true],
            [CHAT, 400, null, false],
            [ATTEMPT, 400, "400", true],
            [CHAT, 404, null, false],
            ["GET /v1/models", 200, null, false],
        ])
    );
}

#[tokio::test]
async fn pages_of_the_gateways_own_and_unknown_ones_are_not_traced() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let mut gateway = traced(Setup::over(&upstream), &collector);
    let pages = [
        "/",
        "/health",
        "/health/ready",
        "/v1/health",
        "/metrics",
        "/prometheus",
        "/v2",
    ];

    for page in pages {
        gateway.send(get(page)).await;
    }
    gateway.get("/models").await;
    gateway.shut_down();
    gateway.stopped().await;

    let spans = collector.received();
    let names: Vec<_> = spans.iter().map(|traced| &*traced.span.name).collect();
    assert_eq!(names, ["GET /models"]);
}

#[tokio::test]
async fn prompts_tokens_and_keys_are_not_traced() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let mut gateway = traced(Setup::over(&upstream), &collector);
    let canary =
        json!({"model": "test-model", "messages": [{"role": "user", "content": "canary"}]});

    gateway.chat(&canary).await;
    gateway.shut_down();
    gateway.stopped().await;

    for request in collector.upstream().requests() {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        for secret in ["canary", TOKEN, "key-of-only"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}
