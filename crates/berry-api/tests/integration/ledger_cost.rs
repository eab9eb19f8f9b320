//! What recorded answers of every protocol cost, against sums made by hand.

use std::path::Path;
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::support::{Gateway, Setup, TOKEN, hello, hello_stream, request, scratch, within};

/// In billionths of a dollar for a token: 2.50 $, 1.25 $, 3.125 $ and 10 $ a million.
const INPUT: i64 = 2_500;
const CACHED: i64 = 1_250;
const CACHE_WRITE: i64 = 3_125;
const OUTPUT: i64 = 10_000;
const PRICES: &str = "input_price = 2.5\ncached_input_price = 1.25\ncache_write_price = 3.125\n\
    output_price = 10.0";

/// The tokens of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) uncached: i64,
    pub(super) cache_read: i64,
    pub(super) cache_write: i64,
    pub(super) visible: i64,
    pub(super) reasoning: i64,
}

impl Tokens {
    fn input(self) -> i64 {
        self.uncached + self.cache_read + self.cache_write
    }

    fn output(self) -> i64 {
        self.visible + self.reasoning
    }

    pub(super) fn cost(self) -> i64 {
        let input = self.uncached * INPUT;
        let cache = self.cache_read * CACHED + self.cache_write * CACHE_WRITE;
        input + cache + self.output() * OUTPUT
    }
}

/// One kind of answer: who gives it, how it is asked for, and which tokens it tells apart.
struct Kind {
    name: &'static str,
    provider: &'static str,
    path: &'static str,
    request: Value,
    answer: fn(Tokens) -> Behaviour,
    /// What the protocol has words for.
    told: fn(Tokens) -> Tokens,
}

fn events<const N: usize>(events: [Value; N]) -> Behaviour {
    let events = events.map(|event| format!("data: {event}\n\n"));
    let done = ["data: [DONE]\n\n".to_owned()];
    Behaviour::stream(events.into_iter().chain(done), Duration::ZERO)
}

fn named<const N: usize>(events: [Value; N]) -> Behaviour {
    let events = events.map(|event| {
        let name = event["type"].as_str().unwrap();
        format!("event: {name}\ndata: {event}\n\n")
    });
    Behaviour::stream(events, Duration::ZERO)
}

fn openai_usage(tokens: Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.input(),
        "completion_tokens": tokens.output(),
        "total_tokens": tokens.input() + tokens.output(),
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    })
}

fn response(tokens: Tokens) -> Value {
    json!({
        "id": "resp_1", "object": "response", "status": "completed", "error": null, "output": [],
        "usage": {
            "input_tokens": tokens.input(),
            "output_tokens": tokens.output(),
            "input_tokens_details": {"cached_tokens": tokens.cache_read},
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        },
    })
}

fn claude_usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.uncached,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation_input_tokens": tokens.cache_write,
        "output_tokens": tokens.output(),
    })
}

fn gemini(tokens: Tokens) -> Value {
    json!({
        "candidates": [{
            "content": {"parts": [{"text": "hi"}], "role": "model"},
            "index": 0, "finishReason": "STOP",
        }],
        "usageMetadata": {
            "promptTokenCount": tokens.input(),
            "cachedContentTokenCount": tokens.cache_read,
            "candidatesTokenCount": tokens.visible,
            "thoughtsTokenCount": tokens.reasoning,
            "totalTokenCount": tokens.input() + tokens.output(),
        },
    })
}

/// OpenAI does not say what was put into its cache; neither does Gemini.
fn without_writes(tokens: Tokens) -> Tokens {
    Tokens {
        uncached: tokens.uncached + tokens.cache_write,
        cache_write: 0,
        ..tokens
    }
}

/// Claude does not say what was thought.
fn without_reasoning(tokens: Tokens) -> Tokens {
    Tokens {
        visible: tokens.output(),
        reasoning: 0,
        ..tokens
    }
}

/// Embeddings write nothing.
fn only_input(tokens: Tokens) -> Tokens {
    Tokens {
        uncached: tokens.input(),
        cache_read: 0,
        cache_write: 0,
        visible: 0,
        reasoning: 0,
    }
}

const CHAT: &str = "/v1/chat/completions";

fn chats() -> Vec<Kind> {
    let kind = |name, path, request, answer, told| Kind {
        name,
        provider: "openai",
        path,
        request,
        answer,
        told,
    };
    vec![
        kind(
            "chat",
            CHAT,
            hello(),
            |tokens| {
                Behaviour::json(json!({
                    "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
                    "usage": openai_usage(tokens),
                }))
            },
            without_writes,
        ),
        kind(
            "streamed chat",
            CHAT,
            hello_stream(),
            |tokens| {
                let text =
                    json!([{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]);
                events([
                    json!({"choices": text, "usage": null}),
                    json!({"choices": [], "usage": openai_usage(tokens)}),
                ])
            },
            without_writes,
        ),
    ]
}

fn other_operations() -> Vec<Kind> {
    let kind = |name, path, request, answer, told| Kind {
        name,
        provider: "openai",
        path,
        request,
        answer,
        told,
    };
    vec![
        kind(
            "completion",
            "/v1/completions",
            json!({"model": "test-model", "prompt": "hello"}),
            |tokens| {
                Behaviour::json(json!({
                    "choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}],
                    "usage": openai_usage(tokens),
                }))
            },
            without_writes,
        ),
        kind(
            "response",
            "/v1/responses",
            json!({"model": "test-model", "input": "hello"}),
            |tokens| Behaviour::json(response(tokens)),
            without_writes,
        ),
        kind(
            "streamed response",
            "/v1/responses",
            json!({"model": "test-model", "input": "hello", "stream": true}),
            |tokens| {
                named([
                    json!({"type": "response.created", "response": {"id": "resp_1"}}),
                    json!({"type": "response.output_text.delta", "delta": "hi"}),
                    json!({"type": "response.completed", "response": response(tokens)}),
                ])
            },
            without_writes,
        ),
        kind(
            "embedding",
            "/v1/embeddings",
            json!({"model": "test-model", "input": "hello"}),
            |tokens| {
                Behaviour::json(json!({
                    "object": "list",
                    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
                    "usage": {"prompt_tokens": tokens.input(), "total_tokens": tokens.input()},
                }))
            },
            only_input,
        ),
    ]
}

fn foreign_chats() -> Vec<Kind> {
    let kind = |name, provider, request, answer, told| Kind {
        name,
        provider,
        path: CHAT,
        request,
        answer,
        told,
    };
    vec![
        kind(
            "Claude's message",
            "claude",
            hello(),
            |tokens| {
                Behaviour::json(json!({
                    "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                    "content": [{"type": "text", "text": "hi"}],
                    "stop_reason": "end_turn", "stop_sequence": null,
                    "usage": claude_usage(tokens),
                }))
            },
            without_reasoning,
        ),
        kind(
            "Claude's stream",
            "claude",
            hello_stream(),
            |tokens| {
                let begun = Tokens {
                    visible: 1,
                    reasoning: 0,
                    ..tokens
                };
                named([
                    json!({"type": "message_start", "message": {
                        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                        "content": [], "stop_reason": null, "usage": claude_usage(begun),
                    }}),
                    json!({"type": "content_block_start", "index": 0,
                    "content_block": {"type": "text", "text": ""}}),
                    json!({"type": "content_block_delta", "index": 0,
                    "delta": {"type": "text_delta", "text": "hi"}}),
                    json!({"type": "content_block_stop", "index": 0}),
                    json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                    "usage": {"output_tokens": tokens.output()}}),
                    json!({"type": "message_stop"}),
                ])
            },
            without_reasoning,
        ),
        kind(
            "Gemini's answer",
            "gemini",
            hello(),
            |tokens| Behaviour::json(gemini(tokens)),
            without_writes,
        ),
        kind(
            "Gemini's stream",
            "gemini",
            hello_stream(),
            |tokens| {
                let event = format!("data: {}\r\n\r\n", gemini(tokens));
                Behaviour::stream([event], Duration::ZERO)
            },
            without_writes,
        ),
    ]
}

/// Small, large, cached, thoughtful.
const TOKENS: [Tokens; 4] = [
    Tokens {
        uncached: 1,
        cache_read: 0,
        cache_write: 0,
        visible: 1,
        reasoning: 0,
    },
    Tokens {
        uncached: 123_456,
        cache_read: 0,
        cache_write: 0,
        visible: 7_890,
        reasoning: 0,
    },
    Tokens {
        uncached: 10,
        cache_read: 90_001,
        cache_write: 333,
        visible: 77,
        reasoning: 0,
    },
    Tokens {
        uncached: 2_000,
        cache_read: 512,
        cache_write: 0,
        visible: 300,
        reasoning: 45_678,
    },
];

/// A row of the ledger: its tokens, its cost, and whether they are an estimate.
pub(super) type Written = (Tokens, Option<i64>, bool);

/// Waits until so many rows are written, and returns them in their order.
pub(super) async fn rows(database: &Path, count: usize) -> Vec<Written> {
    let read = || {
        let file = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let query =
            "SELECT uncached, cache_read, cache_write, visible, reasoning, nanodollars, estimated
            FROM request ORDER BY number";
        let mut query = file.prepare(query)?;
        let rows = query.query_map([], |row| {
            let tokens = Tokens {
                uncached: row.get(0)?,
                cache_read: row.get(1)?,
                cache_write: row.get(2)?,
                visible: row.get(3)?,
                reasoning: row.get(4)?,
            };
            Ok((tokens, row.get(5)?, row.get(6)?))
        });
        rows?.collect::<rusqlite::Result<Vec<Written>>>()
    };
    within(async {
        loop {
            // The gateway may be about to make the file.
            if let Ok(rows) = read()
                && rows.len() >= count
            {
                return rows;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

pub(super) async fn ask(gateway: &Gateway, path: &str, body: &Value) {
    let headers = [("x-api-key", TOKEN), ("content-type", "application/json")];
    let sent = request(Method::POST, path, &headers, body.to_string());
    let answer = gateway.send(sent).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

/// Serves a provider of each protocol, with a ledger.
pub(super) fn setup(upstream: &Upstream, database: &Path) -> Setup {
    let protocols = ["openai", "claude", "gemini"];
    let setup = protocols.iter().fold(Setup::new(), |setup, protocol| {
        let kind = format!("backend_type = \"{protocol}\"");
        let setup = setup.provider(protocol, upstream);
        setup.option(&kind).backend(PRICES)
    });
    setup.more(&format!("[usage]\ndatabase = {database:?}"))
}

#[tokio::test]
async fn forty_recorded_answers_cost_what_a_hand_makes_of_them() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let database = folder.path().join("usage.db");
    let gateway = setup(&upstream, &database).start();
    let mut expected = Vec::new();
    let kinds = [chats(), other_operations(), foreign_chats()];
    for kind in kinds.into_iter().flatten() {
        for tokens in TOKENS {
            upstream.set((kind.answer)(tokens));
            let mut body = kind.request.clone();
            body["backend"] = kind.provider.into();

            ask(&gateway, kind.path, &body).await;

            let told = (kind.told)(tokens);
            expected.push((kind.name, (told, Some(told.cost()), false)));
        }
    }

    let written = rows(&database, expected.len()).await;

    assert_eq!(expected.len(), 40);
    for ((name, expected), written) in expected.into_iter().zip(written) {
        assert_eq!(written, expected, "{name}");
    }
}
