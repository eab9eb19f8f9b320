//! What was used and what it cost, as admins read it.

use std::path::Path;
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{
    Answer, Client, Gateway, Process, Setup, TOKEN, chat, get, hello, hello_stream, request,
    scratch, within,
};

const PRICES: &str = "input_price = 2.0\noutput_price = 10.0\ncached_input_price = 0.5";

/// A configuration with a ledger in this folder, and an admin.
fn setup(upstream: &Upstream, folder: &Path) -> Setup {
    let file = folder.join("usage.db");
    Setup::over(upstream)
        .backend(PRICES)
        .user("tags = [\"admin\"]")
        .more(&format!("[usage]\ndatabase = {file:?}"))
}

async fn start() -> (Gateway, Upstream, TempDir) {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let gateway = setup(&upstream, folder.path()).start();
    (gateway, upstream, folder)
}

async fn usage(client: &mut Client, query: &str) -> Answer {
    let path = format!("/admin/usage{query}");
    let headers = [("x-api-key", TOKEN)];
    client.send(request(Method::GET, &path, &headers, "")).await
}

/// Waits until so many requests are in the ledger, and returns their sums.
async fn written(client: &mut Client, requests: u64) -> Value {
    within(async {
        loop {
            let answer = usage(client, "").await;
            if answer.status == 200 && answer.json()["total"]["requests"] == requests {
                return answer.json();
            }
        }
    })
    .await
}

/// An answer that says what it used.
fn counted(usage: &Value) -> Behaviour {
    Behaviour::json(json!({
        "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": usage,
    }))
}

#[tokio::test]
async fn a_request_is_in_the_ledger_with_its_tokens_and_its_cost() {
    let (gateway, upstream, _folder) = start().await;
    upstream.set(counted(&json!({
        "prompt_tokens": 1000, "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 30},
    })));
    gateway.chat(&hello()).await;
    upstream.set(Behaviour::status(400));
    gateway.chat(&hello()).await;
    let mut client = gateway.connect().await;

    let report = written(&mut client, 2).await;

    assert_eq!(report["group_by"], "user");
    let row = &report["rows"][0];
    for (member, expected) in [
        ("user", json!("ada")),
        ("requests", json!(2)),
        ("failed", json!(1)),
        ("estimated", json!(0)),
        ("input_tokens", json!(1000)),
        ("cached_input_tokens", json!(400)),
        ("cache_write_tokens", json!(0)),
        ("output_tokens", json!(100)),
        ("reasoning_tokens", json!(30)),
        // 600 × 2 $ + 400 × 0.5 $ + 100 × 10 $ a million.
        ("cost_usd", json!(0.0024)),
    ] {
        assert_eq!(row[member], expected, "{member}: {row}");
        if member != "user" {
            assert_eq!(report["total"][member], expected, "{member}: {report}");
        }
    }
    assert!(row["average_latency_ms"].as_f64().unwrap() > 0.0, "{row}");
}

#[tokio::test]
async fn the_ledger_is_read_by_user_model_provider_and_day_and_as_csv() {
    let (gateway, upstream, _folder) = start().await;
    upstream.set(counted(
        &json!({"prompt_tokens": 10, "completion_tokens": 1}),
    ));
    gateway.chat(&hello()).await;
    let mut client = gateway.connect().await;
    written(&mut client, 1).await;

    for (group_by, name) in [
        ("user", "ada"),
        ("model", "test-model"),
        ("provider", "only"),
    ] {
        let query = format!("?group_by={group_by}");
        let report = usage(&mut client, &query).await.json();
        assert_eq!(report["rows"][0][group_by], name, "{report}");
    }
    let days = usage(&mut client, "?group_by=day").await.json();
    let day = days["rows"][0]["day"].as_str().unwrap();
    let same = usage(&mut client, &format!("?from={day}&to={day}")).await;
    assert_eq!(same.json()["total"]["requests"], 1);
    let before = usage(&mut client, "?from=2020-01-01&to=2020-01-31").await;
    assert_eq!(before.json()["rows"], json!([]));
    let table = usage(&mut client, "?group_by=model&format=csv").await;
    assert_eq!(
        table.header("content-type"),
        Some("text/csv; charset=utf-8")
    );
    let mut lines = table.text().lines();
    assert_eq!(
        lines.next(),
        Some(
            "model,requests,failed,estimated,input_tokens,cached_input_tokens,\
             cache_write_tokens,output_tokens,reasoning_tokens,cost_usd,average_latency_ms"
        )
    );
    let row = lines.next().unwrap();
    assert!(
        row.starts_with("test-model,1,0,0,10,0,0,1,0,0.00003,"),
        "{row}"
    );
    for query in [
        "?group_by=token",
        "?from=yesterday",
        "?from=2026-01-02&to=2026-01-01",
    ] {
        assert_eq!(usage(&mut client, query).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn streams_that_are_left_or_break_off_are_settled_with_an_estimate() {
    let (gateway, upstream, _folder) = start().await;
    let words = ["one ", "two ", "three "];
    upstream.set(Behaviour::text_stream(words, Duration::ZERO).hang_after(3));
    let mut left = gateway.stream(&hello_stream()).await;
    for _ in 0..3 {
        left.event().await;
    }
    drop(left);
    upstream.set(Behaviour::echo().error_event_after(3));
    gateway.stream(&hello_stream()).await.rest().await;
    let mut client = gateway.connect().await;

    let report = written(&mut client, 2).await;

    let total = &report["total"];
    assert_eq!(total["estimated"], 2, "{total}");
    for member in ["input_tokens", "output_tokens", "cost_usd"] {
        assert!(total[member].as_f64().unwrap() > 0.0, "{member}: {total}");
    }
}

#[tokio::test]
async fn a_stream_that_was_not_asked_to_count_is_counted_all_the_same() {
    let (gateway, upstream, _folder) = start().await;
    let chunk = |choices: Value, usage: Value| {
        format!("data: {}\n\n", json!({"choices": choices, "usage": usage}))
    };
    let text = json!([{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]);
    upstream.set(Behaviour::stream(
        [
            chunk(text, Value::Null),
            chunk(
                json!([]),
                json!({"prompt_tokens": 50, "completion_tokens": 5}),
            ),
            "data: [DONE]\n\n".to_owned(),
        ],
        Duration::ZERO,
    ));

    let seen = gateway.stream(&hello_stream()).await.rest().await;
    let mut client = gateway.connect().await;
    let report = written(&mut client, 1).await;

    assert!(!seen.contains("prompt_tokens"), "{seen}");
    let total = &report["total"];
    assert_eq!(
        (
            &total["input_tokens"],
            &total["output_tokens"],
            &total["estimated"]
        ),
        (&json!(50), &json!(5), &json!(0))
    );
}

#[tokio::test]
async fn without_a_database_there_is_no_ledger() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).user("tags = [\"admin\"]").start();
    let mut client = gateway.connect().await;

    let answer = usage(&mut client, "").await;

    assert_eq!(answer.status, 404);
    assert!(answer.error().contains("no_ledger"), "{}", answer.error());
}

/// A ledger in `file` of a process that a shell has prepared so: five requests are answered, one
/// warning ends with `cause`, so many rows are lost so far, and the end of the process says how many.
async fn holds_nobody_up(preparation: &str, folder: &TempDir, file: &Path, cause: &str, lost: u64) {
    let upstream = Upstream::start().await;
    let toml = Setup::over(&upstream)
        .user("tags = [\"admin\"]")
        .more(&format!("[usage]\ndatabase = {file:?}"))
        .toml();
    std::fs::write(folder.path().join("config.toml"), toml).unwrap();
    let mut process = Process::start_after(preparation, folder.path()).await;
    let mut client = Client::connect(process.address()).await;

    let told = process.logged("telemetry cannot be written").await;
    for _ in 0..5 {
        assert_eq!(client.send(chat(hello().to_string())).await.status, 200);
    }

    assert_eq!(told["fields"]["output"], "usage", "{told}");
    let told = told["fields"]["cause"].as_str().unwrap();
    assert!(told.ends_with(cause), "{told}");
    let pending = 5 - lost;
    let message = format!("wait to be written: {pending}, rows that are lost: {lost}");
    within(async {
        loop {
            let refused = usage(&mut client, "").await;
            assert_eq!(refused.status, 503);
            if refused.text().contains(&message) {
                break;
            }
        }
    })
    .await;
    let page = client.send(get("/prometheus")).await;
    for series in [
        format!("\ntelemetry_lost_total{{output=\"usage\"}} {lost}\n"),
        format!("\nusage_rows_pending {pending}\n"),
    ] {
        assert!(page.text().contains(&series), "{series}: {}", page.text());
    }
    process.signal("TERM").await;
    if lost == 0 {
        let told = process.logged("usage not written").await;
        assert_eq!(told["fields"]["rows"], 5, "{told}");
    }
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn a_file_that_is_no_database_holds_nobody_up_and_is_told_of() {
    let folder = scratch(&[("usage.db", "this is no database, however long it may be")]);
    let file = folder.path().join("usage.db");

    holds_nobody_up("true", &folder, &file, "file is not a database", 5).await;
}

#[tokio::test]
async fn the_database_of_another_program_is_left_alone_and_told_of() {
    let folder = scratch(&[]);
    let file = folder.path().join("notes.db");
    let other = rusqlite::Connection::open(&file).unwrap();
    other
        .execute_batch("CREATE TABLE request (text TEXT)")
        .unwrap();
    drop(other);
    let before = std::fs::read(&file).unwrap();

    let cause = "another program: give `[usage] database` a file of its own";
    holds_nobody_up("true", &folder, &file, cause, 5).await;

    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_place_where_nobody_can_write_holds_nobody_up_and_is_told_of() {
    // The kernel lets nobody make files there, whoever asks.
    let file = Path::new("/sys/usage.db");

    holds_nobody_up(
        "true",
        &scratch(&[]),
        file,
        "unable to open database file: /sys/usage.db",
        0,
    )
    .await;
}

#[tokio::test]
async fn a_file_that_cannot_grow_holds_nobody_up_and_is_told_of() {
    let folder = scratch(&[]);
    let file = folder.path().join("usage.db");

    // A write beyond the limit fails as on a disk that is full.
    holds_nobody_up(
        "trap '' XFSZ && ulimit -f 1",
        &folder,
        &file,
        "disk I/O error",
        0,
    )
    .await;
}

#[tokio::test]
async fn whoever_starts_the_process_may_name_a_ledger_where_the_file_does_not() {
    for (configured, kept) in [("", true), ("[usage]\ndatabase = \"\"", false)] {
        let upstream = Upstream::start().await;
        let setup = Setup::over(&upstream).user("tags = [\"admin\"]");
        let toml = setup.more(configured).toml();
        let folder = scratch(&[("config.toml", &toml)]);
        let environment = [("USAGE_DATABASE", "named.db")];
        let process = Process::start(folder.path(), &[], &environment).await;
        let mut client = Client::connect(process.address()).await;

        let reloaded = request(
            Method::POST,
            "/admin/reload-config",
            &[("x-api-key", TOKEN)],
            "",
        );
        let reloaded = client.send(reloaded).await.status;
        let answer = usage(&mut client, "").await;

        assert_eq!(reloaded, 200);
        assert_eq!(answer.status, if kept { 200 } else { 404 });
        assert_eq!(folder.path().join("named.db").exists(), kept);
    }
}

#[tokio::test]
async fn a_killed_process_loses_a_batch_at_most_and_a_told_one_nothing() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[]);
    let setup = setup(&upstream, folder.path());
    std::fs::write(folder.path().join("config.toml"), setup.toml()).unwrap();
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let mut client = Client::connect(process.address()).await;
    let mut ended = Vec::new();
    for _ in 0..200 {
        client.send(chat(hello().to_string())).await;
        ended.push(Instant::now());
    }
    process.signal("KILL").await;
    let killed = Instant::now();
    assert_eq!(process.ended().await, None);

    let mut process = Process::start(folder.path(), &[], &[]).await;
    let mut client = Client::connect(process.address()).await;
    let left = usage(&mut client, "").await.json();
    let left = left["total"]["requests"].as_u64().unwrap();
    let batch = Duration::from_millis(100);
    let due = ended.iter().filter(|ended| killed - **ended > batch);
    assert!((due.count() as u64..=200).contains(&left), "{left}");
    client.send(chat(hello().to_string())).await;
    process.signal("TERM").await;
    process.ended().await;
    // Whoever copies the file has everything.
    assert!(!folder.path().join("usage.db-wal").exists());

    let process = Process::start(folder.path(), &[], &[]).await;
    let mut client = Client::connect(process.address()).await;
    written(&mut client, left + 1).await;
}

#[tokio::test]
async fn rows_are_kept_for_as_many_days_as_configured() {
    for (days, kept) in [(2, false), (4, true)] {
        let upstream = Upstream::start().await;
        let folder = scratch(&[]);
        let setup = setup(&upstream, folder.path()).more(&format!("retention_days = {days}"));
        std::fs::write(folder.path().join("config.toml"), setup.toml()).unwrap();
        ask_once(folder.path()).await;
        let file = rusqlite::Connection::open(folder.path().join("usage.db")).unwrap();
        file.execute("UPDATE request SET at = at - 3 * 86400000", [])
            .unwrap();

        ask_once(folder.path()).await;

        let count = "SELECT count(*) FROM request";
        let rows: i64 = file.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1 + i64::from(kept), "{days}");
    }
}

/// Serves one request and ends, with everything in the ledger.
async fn ask_once(folder: &Path) {
    let mut process = Process::start(folder, &[], &[]).await;
    let mut client = Client::connect(process.address()).await;
    client.send(chat(hello().to_string())).await;
    process.signal("TERM").await;
    process.ended().await;
}
