//! One settlement of a request: its line, the ledger, metrics and its user's limit say the same.

use berry_testkit::{Behaviour, Protocol, Upstream};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::ledger_cut::{TEXT, count_and_fail_over, events};
use crate::support::{
    Client, Process, Setup, TOKEN, chat, hello, hello_stream, request, scratch, within,
};

async fn start(setup: Setup) -> (Process, Client, TempDir) {
    let user = "tags = [\"admin\"]\nrate_limit = { tokens_per_minute = 1000000 }";
    let setup = setup.user(user).more("[usage]\ndatabase = \"usage.db\"");
    let folder = scratch(&[("config.toml", &setup.toml())]);
    let process = Process::start(folder.path(), &[], &[]).await;
    let client = Client::connect(process.address()).await;
    (process, client, folder)
}

fn over(upstream: &Upstream, protocol: Protocol) -> Setup {
    Setup::over(upstream).option(&format!("backend_type = \"{}\"", name(protocol)))
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::OpenAi => "openai",
        Protocol::Azure => "azure",
        Protocol::Claude => "claude",
        Protocol::Gemini => "gemini",
    }
}

async fn get(client: &mut Client, path: &str) -> String {
    let headers = [("x-api-key", TOKEN)];
    let answer = client.send(request(Method::GET, path, &headers, "")).await;
    answer.text().to_owned()
}

async fn json_of(client: &mut Client, path: &str) -> Value {
    serde_json::from_str(&get(client, path).await).unwrap()
}

/// Returns the sums of the ledger.
async fn kept(client: &mut Client) -> Value {
    json_of(client, "/admin/usage").await["total"].take()
}

/// Returns what metrics say of all tokens in this direction.
async fn metered(client: &mut Client, direction: &str) -> u64 {
    let page = get(client, "/prometheus").await;
    let series = page.lines().filter(|line| {
        line.starts_with("backend_tokens_total") && line.contains(&format!("\"{direction}\""))
    });
    let values = series.map(|line| line.rsplit_once(' ').unwrap().1);
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}

/// What one request has used.
#[derive(Debug, PartialEq, Eq)]
struct Used {
    input: u64,
    output: u64,
    estimated: bool,
}

/// Waits for the line of the only request, and returns what it has used, whoever is asked.
async fn used(process: &mut Process, client: &mut Client) -> Used {
    let line = process.logged("Backend selected").await;
    let fields = &line["fields"];
    let used = Used {
        input: fields["tokens_in"]
            .as_u64()
            .unwrap_or_else(|| panic!("{line}")),
        output: fields["tokens_out"].as_u64().unwrap(),
        estimated: fields["estimated"] == true,
    };
    let kept = within(async {
        loop {
            let kept = kept(client).await;
            if kept["requests"] == 1 {
                return kept;
            }
        }
    })
    .await;
    let in_ledger = Used {
        input: kept["input_tokens"].as_u64().unwrap(),
        output: kept["output_tokens"].as_u64().unwrap(),
        estimated: kept["estimated"] == 1,
    };
    assert_eq!(in_ledger, used, "{line}");
    let limit = json_of(client, "/admin/rate-limit-usage?user_id=ada").await;
    let tokens = &limit["usage"]["tokens_this_minute"];
    assert_eq!(*tokens, used.input + used.output, "{line}");
    let counted = [
        metered(client, "input").await,
        metered(client, "output").await,
    ];
    assert_eq!(counted, [used.input, used.output], "{line}");
    used
}

/// Returns about how many tokens a request has.
fn tokens_of(body: &Value) -> u64 {
    body.to_string().len().div_ceil(4) as u64
}

#[tokio::test]
async fn what_failed_attempts_had_counted_is_in_all_sums() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let setup = Setup::new()
        .provider("claude", &first)
        .option("backend_type = \"claude\"")
        .provider("openai", &second);
    let (mut process, mut client, _folder) = start(setup).await;
    count_and_fail_over(&first, &second);

    client.send(chat(hello_stream().to_string())).await;

    let expected = Used {
        input: 51_000,
        output: 101,
        estimated: true,
    };
    assert_eq!(used(&mut process, &mut client).await, expected);
}

/// A whole answer with these counts of tokens read and written.
fn answer(protocol: Protocol, read: &Value, written: &Value) -> Value {
    match protocol {
        Protocol::OpenAi | Protocol::Azure => json!({
            "choices": [{"index": 0, "message": {"content": TEXT}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": read, "completion_tokens": written},
        }),
        Protocol::Claude => json!({
            "id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn",
            "usage": {"input_tokens": read, "output_tokens": written},
        }),
        Protocol::Gemini => json!({
            "candidates": [{"content": {"role": "model", "parts": [{"text": TEXT}]},
                "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": read, "candidatesTokenCount": written},
        }),
    }
}

/// The same as a stream. Claude counts what it has read at its beginning; Gemini counts all the time.
fn stream(protocol: Protocol, read: &Value, written: &Value) -> Behaviour {
    let mut whole = answer(protocol, read, written);
    match protocol {
        Protocol::OpenAi | Protocol::Azure => {
            let mut said = json!({"choices": whole["choices"]});
            said["choices"][0]["delta"] = said["choices"][0]["message"].take();
            whole["choices"] = json!([]);
            events(&[said, whole, "[DONE]".into()])
        }
        Protocol::Claude => events(&[
            json!({"type": "message_start", "message": {"id": "m",
                "usage": {"input_tokens": read, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0,
                "content_block": {"type": "text", "text": TEXT}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": written}}),
            json!({"type": "message_stop"}),
        ]),
        Protocol::Gemini => {
            let mut first = answer(protocol, &5.into(), &1.into());
            first["candidates"][0]["finishReason"].take();
            whole["candidates"][0]["content"]["parts"][0]["text"] = "".into();
            events(&[first, whole])
        }
    }
}

#[tokio::test]
async fn what_is_no_count_is_estimated() {
    let texts = TEXT.len().div_ceil(4) as u64;
    for protocol in [Protocol::OpenAi, Protocol::Claude, Protocol::Gemini] {
        for (read, written) in [
            (json!("many"), json!(7)),
            (json!(-5), json!(7)),
            (json!(5), json!(2.5)),
            (json!(5), json!(1e30)),
            (json!(5), json!(900_000_000)),
        ] {
            for body in [hello(), hello_stream()] {
                let upstream = Upstream::builder().protocol(protocol).start().await;
                let (mut process, mut client, _folder) = start(over(&upstream, protocol)).await;
                upstream.set(if body["stream"] == true {
                    stream(protocol, &read, &written)
                } else {
                    Behaviour::json(answer(protocol, &read, &written))
                });

                let answer = client.send(chat(body.to_string())).await;

                let case = format!("{} {read} {written} {body}", name(protocol));
                assert_eq!(answer.status, 200, "{case} {}", answer.text());
                let found = used(&mut process, &mut client).await;
                assert_eq!(
                    (found.input, found.estimated),
                    (tokens_of(&body), true),
                    "{case}"
                );
                assert!(
                    (texts..texts + 4).contains(&found.output),
                    "{case} {found:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_event_that_is_too_long_to_be_held_is_in_the_estimate() {
    let upstream = Upstream::start().await;
    let (mut process, client, _folder) = start(Setup::over(&upstream)).await;
    let said = TEXT.repeat(20_000);
    let begun = |text: &str| json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    upstream.set(events(&[begun(TEXT), begun(&said)]).hang_after(2));

    let mut stream = client.open(chat(hello_stream().to_string())).await;
    stream.event().await;
    stream.event().await;
    drop(stream);

    let mut client = Client::connect(process.address()).await;
    let found = used(&mut process, &mut client).await;
    let expected = (said.len() + TEXT.len()) as u64 / 4;
    assert!(
        found.estimated && found.output.abs_diff(expected) < 4,
        "{found:?}"
    );
}

#[tokio::test]
async fn what_is_refused_before_anybody_is_asked_is_not_in_the_ledger() {
    let upstream = Upstream::start().await;
    let setup = Setup::over(&upstream).settings("max_retries = 0");
    let (mut process, mut client, _folder) = start(setup).await;
    for (member, value, status) in [
        ("backend", "nope", 404),
        ("model", "nope", 404),
        ("backend", "", 404),
        ("stream", "nope", 400),
    ] {
        let mut body = hello();
        body[member] = value.into();
        let answer = client.send(chat(body.to_string())).await;
        assert_eq!(answer.status, status, "{member}");
        process.logged("Request finished").await;
    }
    // Somebody was asked.
    upstream.set(Behaviour::status(500));
    let answer = client.send(chat(hello().to_string())).await;
    assert_eq!(answer.status, 502);

    let line = process.logged("Backend selected").await;
    assert_eq!(line["fields"]["status"], 502);
    let kept = within(async {
        loop {
            let kept = kept(&mut client).await;
            if kept["requests"] != 0 {
                return kept;
            }
        }
    })
    .await;
    assert_eq!((&kept["requests"], &kept["failed"]), (&1.into(), &1.into()));
}
