//! What answers cost whose end nobody counted: they were left, they broke, or no count was in them.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::{Value, json};

use super::ledger_cost::{Tokens, Written, ask, rows, setup};
use crate::support::{Gateway, Setup, chat, hello, hello_stream, scratch};

/// Says for each token of a text that long that it was written.
pub(crate) const TEXT: &str = "Air scatters blue light more than red.";

/// A provider's stream that has not ended, and the tokens it has counted by then.
struct Begun {
    provider: &'static str,
    events: Vec<Value>,
    counted: Tokens,
}

/// Some upstreams send a running total with every chunk, Claude counts what it read at the beginning.
fn begun() -> Vec<Begun> {
    let tokens = |uncached, cache_read, visible, reasoning| Tokens {
        uncached,
        cache_read,
        cache_write: 0,
        visible,
        reasoning,
    };
    let text = json!({"type": "text_delta", "text": TEXT});
    vec![
        Begun {
            provider: "openai",
            events: vec![json!({
                "choices": [{"index": 0, "delta": {"content": TEXT}, "finish_reason": null}],
                "usage": {"prompt_tokens": 5000, "completion_tokens": 300},
            })],
            counted: tokens(5000, 0, 300, 0),
        },
        Begun {
            provider: "claude",
            events: vec![
                json!({"type": "message_start", "message": {
                    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
                    "usage": {"input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 1},
                }}),
                json!({"type": "content_block_start", "index": 0,
                    "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": text}),
            ],
            // Of what was written it has said nothing yet.
            counted: tokens(100, 1000, i64::try_from(TEXT.len().div_ceil(4)).unwrap(), 0),
        },
        Begun {
            provider: "gemini",
            events: vec![json!({
                "candidates": [{"content": {"parts": [{"text": TEXT}], "role": "model"}, "index": 0}],
                "usageMetadata": {
                    "promptTokenCount": 5000, "candidatesTokenCount": 300, "thoughtsTokenCount": 900,
                },
            })],
            counted: tokens(5000, 0, 300, 900),
        },
    ]
}

pub(crate) fn events(events: &[Value]) -> Behaviour {
    let events: Vec<_> = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    Behaviour::stream(events, Duration::ZERO)
}

/// Has Claude count what it read and end before any content, and OpenAI answer.
pub(crate) fn count_and_fail_over(first: &Upstream, second: &Upstream) {
    first.set(events(&[json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "usage": {"input_tokens": 50_000, "output_tokens": 1},
    }})]));
    second.set(events(&[
        json!({
            "choices": [{"index": 0, "delta": {"content": TEXT}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
        }),
        Value::from("[DONE]"),
    ]));
}

#[tokio::test]
async fn streams_that_are_left_or_break_cost_what_was_counted_by_then() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    let gateway = setup(&upstream, &database).start();
    let mut expected: Vec<(&str, Written)> = Vec::new();

    for begun in begun() {
        let mut body = hello_stream();
        body["backend"] = begun.provider.into();
        let written = (begun.counted, Some(begun.counted.cost()), true);

        // The upstream ends in the middle.
        upstream.set(events(&begun.events));
        gateway.stream(&body).await.rest().await;
        expected.push((begun.provider, written));
        rows(&database, expected.len()).await;

        // What was being sent when its connection was closed is lost, but nothing before.
        upstream.set(events(&begun.events).hang_after(begun.events.len()));
        let mut left = gateway.stream(&body).await;
        while !left.event().await.contains(TEXT) {}
        drop(left);
        expected.push((begun.provider, written));
        rows(&database, expected.len()).await;
    }

    let found = rows(&database, expected.len()).await;
    for ((provider, expected), found) in expected.into_iter().zip(found) {
        assert_eq!(found, expected, "{provider}");
    }
    // Both of each are in the metrics, too.
    for begun in begun() {
        let Tokens {
            uncached,
            cache_read,
            visible,
            reasoning,
            ..
        } = begun.counted;
        let (read, written) = (2 * (uncached + cache_read), 2 * (visible + reasoning));
        let counted = metered(&gateway, begun.provider).await;
        assert_eq!(
            (counted.0, counted.1),
            (read, written),
            "{}",
            begun.provider
        );
        let nanodollars = counted.2 * 1e9;
        let expected = 2.0 * as_float(begun.counted.cost());
        assert!((nanodollars - expected).abs() < 1.0, "{}", begun.provider);
    }
}

fn as_float(number: i64) -> f64 {
    number.to_string().parse().unwrap()
}

/// Returns the tokens in and out, and the dollars, that metrics say of a provider.
async fn metered(gateway: &Gateway, provider: &str) -> (i64, i64, f64) {
    let page = gateway.get("/prometheus").await;
    let number = |series: &str, label: &str| {
        let of_provider = format!("provider=\"{provider}\"");
        let lines = page.text().lines();
        let mut found = lines.filter(|line| {
            line.starts_with(series) && line.contains(&of_provider) && line.contains(label)
        });
        let value = found.next().and_then(|line| line.rsplit(' ').next());
        value
            .unwrap_or_else(|| panic!("no {series}: {}", page.text()))
            .to_owned()
    };
    (
        number("backend_tokens_total", "\"input\"").parse().unwrap(),
        number("backend_tokens_total", "\"output\"")
            .parse()
            .unwrap(),
        number("backend_cost_usd_total", "").parse().unwrap(),
    )
}

#[tokio::test]
async fn a_stream_that_breaks_behind_its_count_is_counted() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    let gateway = setup(&upstream, &database).start();
    let chunk = |delta: Value, reason: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let usage = |read, written| json!({"choices": [], "usage": {"prompt_tokens": read, "completion_tokens": written}});
    let sent = [
        chunk(json!({"content": TEXT}), Value::Null),
        chunk(json!({}), "stop".into()),
        usage(5000, 300),
        // Some have nothing to say at the end, and say that.
        usage(0, 0),
    ];
    let mut body = hello_stream();
    body["backend"] = "openai".into();
    let counted = Tokens {
        uncached: 5000,
        cache_read: 0,
        cache_write: 0,
        visible: 300,
        reasoning: 0,
    };

    body["stream_options"] = json!({"include_usage": true});

    // What follows makes no sense.
    let garbage = Value::from("no event");
    upstream.set(events(&[&sent[..], &[garbage]].concat()));
    gateway.stream(&body).await.rest().await;
    rows(&database, 1).await;
    // The client has seen what it came for.
    upstream.set(events(&sent).hang_after(sent.len()));
    let mut left = gateway.stream(&body).await;
    while !left.event().await.contains("5000") {}
    drop(left);

    for (tokens, cost, estimated) in rows(&database, 2).await {
        assert_eq!(
            (tokens, cost, estimated),
            (counted, Some(counted.cost()), false)
        );
    }
}

#[tokio::test]
async fn a_long_answer_without_a_count_costs_what_its_text_is_worth() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    let gateway = setup(&upstream, &database).start();
    let said = TEXT.repeat(60_000);
    let message = json!({"role": "assistant", "content": said});
    upstream.set(Behaviour::json(json!({
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    })));
    let mut body = hello();
    body["backend"] = "openai".into();

    gateway.chat(&body).await;

    let written = rows(&database, 1).await;
    let (tokens, cost, estimated) = written[0];
    assert_eq!(tokens.visible, i64::try_from(said.len() / 4).unwrap());
    assert_eq!((cost, estimated), (Some(tokens.cost()), true));
}

#[tokio::test]
async fn what_claude_keeps_for_an_hour_costs_more() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    let gateway = setup(&upstream, &database).start();
    upstream.set(Behaviour::json(json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 10, "output_tokens": 1,
            "cache_creation_input_tokens": 300, "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        },
    })));
    let mut body = hello();
    body["backend"] = "claude".into();

    gateway.chat(&body).await;

    let (tokens, cost, _) = rows(&database, 1).await[0];
    assert_eq!((tokens.uncached, tokens.cache_write), (10, 300));
    // 200 × 0.6 × 3.125 $ a million more than by the price of all that was put there.
    assert_eq!(cost, Some(tokens.cost() + 375_000));
}

#[tokio::test]
async fn what_only_reads_costs_its_total() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    let gateway = setup(&upstream, &database).start();
    let body =
        json!({"model": "test-model", "query": "q", "documents": ["a"], "backend": "openai"});
    upstream.set(Behaviour::json(json!({
        "results": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 700},
    })));

    ask(&gateway, "/v1/rerank", &body).await;

    let (tokens, cost, estimated) = rows(&database, 1).await[0];
    assert_eq!((tokens.uncached, tokens.visible), (700, 0));
    assert_eq!((cost, estimated), (Some(tokens.cost()), false));
}

#[tokio::test]
async fn what_was_counted_before_any_content_is_paid() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    // Each attempt is paid.
    let setup = setup(&upstream, &database).settings("max_retries = 1");
    let gateway = setup.start();
    let role = json!({
        "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": null}],
        "usage": {"prompt_tokens": 5000, "completion_tokens": 300},
    });
    let mut expected: Vec<Written> = Vec::new();

    for mut begun in begun() {
        match begun.provider {
            "openai" => begun.events = vec![role.clone()],
            "claude" => {
                begun.events.truncate(1);
                begun.counted.visible = 1;
            }
            // Gemini has nothing to say before its text.
            _ => continue,
        }
        let mut body = hello_stream();
        body["backend"] = begun.provider.into();

        upstream.set(events(&begun.events));
        gateway.stream(&body).await.rest().await;

        let Tokens {
            uncached,
            cache_read,
            cache_write,
            visible,
            reasoning,
        } = begun.counted;
        let twice = Tokens {
            uncached: 2 * uncached,
            cache_read: 2 * cache_read,
            cache_write: 2 * cache_write,
            visible: 2 * visible,
            reasoning: 2 * reasoning,
        };
        expected.push((twice, Some(twice.cost()), true));
        rows(&database, expected.len()).await;
    }

    assert_eq!(rows(&database, expected.len()).await, expected);
}

#[tokio::test]
async fn an_answer_without_a_count_costs_what_its_text_is_worth() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    let gateway = setup(&upstream, &database).start();
    let said = TEXT.repeat(100);
    let message = json!({"role": "assistant", "content": said});
    let chunk = json!({"choices": [{"index": 0, "delta": message, "finish_reason": null}]});
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let response = json!({"type": "response.output_text.delta", "delta": said});
    let responded = json!({"type": "response.completed", "response": {"id": "resp_1"}});
    let mut answers = Vec::new();
    for (path, body, answer) in [
        (
            "/v1/chat/completions",
            hello(),
            Behaviour::json(json!({
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            })),
        ),
        (
            "/v1/chat/completions",
            hello_stream(),
            Behaviour::stream(
                [format!("data: {chunk}\n\ndata: {end}\n\ndata: [DONE]\n\n")],
                Duration::ZERO,
            ),
        ),
        (
            "/v1/responses",
            json!({"model": "test-model", "input": "hello"}),
            Behaviour::json(json!({
                "id": "resp_1", "object": "response", "error": null,
                "output": [{"type": "message", "content": [{"type": "output_text", "text": said}]}],
            })),
        ),
        (
            "/v1/responses",
            json!({"model": "test-model", "input": "hello", "stream": true}),
            events(&[response, responded]),
        ),
        (
            "/v1/embeddings",
            json!({"model": "test-model", "input": "hello"}),
            Behaviour::json(json!({"object": "list", "data": [{"embedding": [0.5, 0.25]}]})),
        ),
    ] {
        upstream.set(answer);
        let mut body = body.clone();
        body["backend"] = "openai".into();
        ask(&gateway, path, &body).await;
        answers.push((path, body));
    }

    let found = rows(&database, answers.len()).await;
    let worth = i64::try_from(said.len() / 4).unwrap();
    for ((path, body), (tokens, cost, estimated)) in answers.iter().zip(found) {
        let input = i64::try_from(body.to_string().len().div_ceil(4)).unwrap();
        // Embeddings write nothing.
        let output = if path.ends_with("embeddings") {
            0
        } else {
            worth
        };
        assert_eq!(
            (tokens.uncached, tokens.visible),
            (input, output),
            "{path} {body}"
        );
        assert_eq!((cost, estimated), (Some(tokens.cost()), true), "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_was_not_whole_costs_what_was_written_of_it() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    let gateway = setup(&upstream, &database).start();
    let mut body = hello_stream();
    body["backend"] = "openai".into();
    let words = ["one ", "two ", "three "];
    upstream.set(Behaviour::text_stream(words, Duration::ZERO).hang_after(3));
    let mut left = gateway.stream(&body).await;
    left.event().await;
    left.event().await;
    drop(left);
    rows(&database, 1).await;
    upstream.set(Behaviour::text_stream(words, Duration::ZERO).error_event_after(3));
    gateway.stream(&body).await.rest().await;
    rows(&database, 2).await;
    upstream.set(Behaviour::status(400));
    gateway.chat(&body).await;

    let written = rows(&database, 3).await;

    for (tokens, cost, estimated) in &written[..2] {
        // A token for every four bytes that were sent.
        let input = i64::try_from(body.to_string().len().div_ceil(4)).unwrap();
        assert_eq!(tokens.uncached, input);
        assert!((2..=6).contains(&tokens.visible), "{tokens:?}");
        assert_eq!((*cost, *estimated), (Some(tokens.cost()), true));
    }
    let (tokens, cost, estimated) = written[2];
    assert_eq!((tokens.cost(), cost, estimated), (0, Some(0), false));
}

#[tokio::test]
async fn what_a_failed_attempt_had_counted_is_paid_where_it_was_counted() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    let setup = Setup::new()
        .provider("claude", &first)
        .option("backend_type = \"claude\"")
        .backend("input_price = 3.0\noutput_price = 15.0")
        .provider("openai", &second)
        .backend("input_price = 2.0\noutput_price = 10.0");
    let ledger = format!("[usage]\ndatabase = {database:?}");
    let gateway = setup.more(&ledger).start();
    count_and_fail_over(&first, &second);

    gateway.stream(&hello_stream()).await.rest().await;

    let (tokens, cost, estimated) = rows(&database, 1).await[0];
    assert_eq!((tokens.uncached, tokens.visible), (51_000, 101));
    // 50,000 × 3 $ + 15 $ there, and 1,000 × 2 $ + 100 × 10 $ here, a million.
    let (there, here) = (150_015_000, 3_000_000);
    assert_eq!((cost, estimated), (Some(there + here), true));
    for (provider, read, written, cost) in
        [("claude", 50_000, 1, there), ("openai", 1_000, 100, here)]
    {
        let counted = metered(&gateway, provider).await;
        assert_eq!((counted.0, counted.1), (read, written), "{provider}");
        let nanodollars = counted.2 * 1e9;
        assert!((nanodollars - as_float(cost)).abs() < 1.0, "{provider}");
    }
}

#[tokio::test]
async fn who_leaves_before_there_is_an_answer_pays_for_what_was_asked() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    let gateway = setup(&upstream, &database).start();
    let mut body = hello();
    body["backend"] = "openai".into();
    upstream.set(Behaviour::echo().hang());

    let mut client = gateway.connect().await;
    tokio::select! {
        _ = client.exchange(chat(body.to_string())) => panic!("an answer"),
        () = upstream.wait_for_requests(1) => {}
    }
    drop(client);

    let (tokens, cost, estimated) = rows(&database, 1).await[0];
    let input = i64::try_from(body.to_string().len().div_ceil(4)).unwrap();
    assert_eq!((tokens.uncached, tokens.visible), (input, 0));
    assert_eq!((cost, estimated), (Some(tokens.cost()), true));
}
