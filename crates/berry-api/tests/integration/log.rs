//! What the real binary logs, and what it never does.

use std::net::TcpListener;
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Client, Process, Raw, Setup, chat, get, hello, hello_stream, request, run, scratch,
};

const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";

/// Runs the binary with this configuration and connects to it.
async fn start(setup: &Setup) -> (Process, Client, TempDir) {
    let folder = scratch(&[("config.toml", &setup.toml())]);
    let process = Process::start(folder.path(), &[], &[]).await;
    let client = Client::connect(process.address()).await;
    (process, client, folder)
}

#[tokio::test]
async fn a_head_that_becomes_no_request_is_counted_and_warned_of() {
    let upstream = Upstream::start().await;
    let (mut process, mut client, _folder) = start(&Setup::over(&upstream)).await;
    let mut raw = Raw::connect(process.address()).await;

    let head = format!("GET /v1/models HTTP/1.1\r\nx: {}\r\n", "y".repeat(200_000));
    // It is refused before all of it is sent.
    let _ = raw.try_send(head.as_bytes()).await;
    let line = process.logged("request refused unread").await;
    let page = client.send(get("/prometheus")).await;

    assert_eq!(line["level"], "WARN");
    let fields = &line["fields"];
    assert_eq!(
        (&fields["status"], &fields["refused"]),
        (&431.into(), &1.into())
    );
    assert_eq!(fields["peer"], "127.0.0.1");
    let counted = "\nrefused_heads_total{status=\"431\"} 1\n";
    assert!(page.text().contains(counted), "{}", page.text());
}

#[tokio::test]
async fn a_request_is_one_line_when_it_ends() {
    let upstream = Upstream::start().await;
    let (mut process, mut client, _folder) = start(&Setup::over(&upstream)).await;
    let mut request = chat(hello().to_string());
    request
        .headers_mut()
        .insert("x-request-id", "mine".parse().unwrap());

    client.send(request).await;
    let line = process.logged("Backend selected").await;

    assert_eq!(line["level"], "INFO");
    assert_eq!(line["target"], "berry_api::loadbalance");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    let fields = &line["fields"];
    for (name, value) in [
        ("event", "selected backend"),
        ("request_id", "mine"),
        ("user_id", "ada"),
        ("model", "test-model"),
        ("provider", "only"),
        ("backend", "only:upstream-model"),
        ("strategy", "failover"),
    ] {
        assert_eq!(fields[name], value, "{line}");
    }
    assert_eq!(
        (&fields["status"], &fields["attempts"]),
        (&200.into(), &1.into())
    );
    for name in ["latency_ms", "first_byte_ms", "tokens_in", "tokens_out"] {
        assert!(fields[name].is_number(), "{name}: {line}");
    }
}

#[tokio::test]
async fn every_request_leaves_one_line_of_the_same_target() {
    let upstream = Upstream::start().await;
    let (mut process, mut client, _folder) = start(&Setup::over(&upstream)).await;
    upstream.script([Behaviour::echo(), Behaviour::status(401)]);
    let hello = || chat(hello().to_string());

    let requests = [
        (200, hello()),
        (502, hello()),
        (503, hello()),
        (400, chat("{")),
        (404, chat(r#"{"model":"no-such"}"#)),
        (
            401,
            request(Method::POST, "/v1/chat/completions", &[], "{}"),
        ),
        (405, get("/v1/chat/completions")),
        (404, get("/v1/nothing")),
        (404, get("/nowhere")),
        (200, get("/v1/models")),
        (200, get("/health/live")),
    ];
    for (number, (status, mut request)) in requests.into_iter().enumerate() {
        let id = format!("request-{number}");
        request
            .headers_mut()
            .insert("x-request-id", id.parse().unwrap());

        client.send(request).await;
        let line = process.logged_request().await;

        assert_eq!(line["target"], "berry_api::loadbalance", "{line}");
        assert_eq!(line["fields"]["request_id"], id, "{line}");
        assert_eq!(line["fields"]["status"], status, "{line}");
        assert!(line["fields"]["latency_ms"].is_number(), "{line}");
    }
}

#[tokio::test]
async fn the_line_of_a_refused_request_names_the_user_and_the_model() {
    let upstream = Upstream::start().await;
    let setup = Setup::over(&upstream).user("rate_limit = { requests_per_minute = 1 }");
    let (mut process, mut client, _folder) = start(&setup).await;
    let unknown = chat(r#"{"model":"no-such"}"#);
    let stranger = request(Method::POST, "/v1/chat/completions", &[], "{}");

    for (request, status, user, model) in [
        (unknown, 404, json!("ada"), Value::Null),
        (
            chat(hello().to_string()),
            200,
            json!("ada"),
            json!("test-model"),
        ),
        (
            chat(hello().to_string()),
            429,
            json!("ada"),
            json!("test-model"),
        ),
        (stranger, 401, Value::Null, Value::Null),
    ] {
        client.send(request).await;
        let line = process.logged_request().await;

        let fields = &line["fields"];
        assert_eq!(fields["status"], status, "{line}");
        assert_eq!(
            (&fields["user_id"], &fields["model"]),
            (&user, &model),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noted_and_no_failure() {
    let upstream = Upstream::start().await;
    let (mut process, client, _folder) = start(&Setup::over(&upstream)).await;
    let words = ["one ", "two "];
    upstream.script([
        Behaviour::text_stream(words, Duration::ZERO).hang_after(2),
        Behaviour::echo().hang(),
    ]);

    let mut stream = client.open(chat(hello_stream().to_string())).await;
    stream.event().await;
    drop(stream);
    let midway = process.logged_request().await;
    let mut client = Client::connect(process.address()).await;
    tokio::select! {
        _ = client.exchange(chat(hello().to_string())) => panic!("an answer"),
        () = upstream.wait_for_requests(2) => {}
    }
    drop(client);
    let early = process.logged_request().await;

    for (line, status) in [(midway, 200), (early, 499)] {
        let fields = &line["fields"];
        assert_eq!(line["level"], "INFO", "{line}");
        assert_eq!(fields["status"], status, "{line}");
        assert_eq!(fields["client_left"], true, "{line}");
        assert_eq!(fields["failure"], Value::Null, "{line}");
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_a_failure_and_no_client_has_left() {
    let upstream = Upstream::start().await;
    let (mut process, mut client, _folder) = start(&Setup::over(&upstream)).await;
    let large = json!({"choices": [{}], "text": "x".repeat(3 << 20)});
    for (body, behaviour) in [
        (hello_stream(), Behaviour::stream([HELLO], Duration::ZERO)),
        (hello_stream(), Behaviour::echo().error_event_after(3)),
        (hello(), Behaviour::json(large).truncate_after(2 << 20)),
    ] {
        upstream.script([behaviour]);

        let broken = client.open(chat(body.to_string())).await;
        // A whole answer can only break off.
        let _ = broken.rest_and_ending().await;
        let line = process.logged_request().await;
        client = Client::connect(process.address()).await;

        assert!(line["fields"]["failure"].is_string(), "{line}");
        assert_eq!(line["fields"]["client_left"], Value::Null, "{line}");
    }
    client.send(chat(hello().to_string())).await;
    let whole = process.logged_request().await;
    assert_eq!(whole["fields"]["failure"], Value::Null, "{whole}");
    assert_eq!(whole["fields"]["client_left"], Value::Null, "{whole}");
}

#[tokio::test]
async fn a_stream_that_is_cut_off_after_the_grace_leaves_its_line() {
    let upstream = Upstream::start().await;
    let words = ["one ", "two "];
    upstream.set(Behaviour::text_stream(words, Duration::ZERO).hang_after(2));
    let setup = Setup::over(&upstream).settings("shutdown_grace_seconds = 1");
    let (mut process, client, _folder) = start(&setup).await;
    let mut stream = client.open(chat(hello_stream().to_string())).await;
    stream.event().await;

    process.signal("TERM").await;
    let line = process.logged_request().await;

    assert_eq!(line["message"], "Backend selected");
    assert_eq!(line["fields"]["provider"], "only", "{line}");
    assert_eq!(line["fields"]["client_left"], Value::Null, "{line}");
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn the_end_of_a_rest_is_announced_when_the_backend_is_used_again() {
    let upstream = Upstream::start().await;
    let (mut process, mut client, _folder) = start(&Setup::over(&upstream)).await;
    upstream.script([Behaviour::status(429).retry_after(Duration::from_secs(1))]);

    // The request itself waits for the end of the rest.
    let answer = client.send(chat(hello().to_string())).await;
    let lines = process.logged_until_request().await;

    assert_eq!(answer.status, 200);
    let changes = lines
        .iter()
        .filter(|line| line["message"] == "endpoint state changed");
    let changes: Vec<_> = changes
        .map(|line| (&line["fields"]["from"], &line["fields"]["to"]))
        .collect();
    let (closed, open) = (json!("closed"), json!("open"));
    assert_eq!(changes, [(&closed, &open), (&open, &closed)], "{lines:?}");
}

#[tokio::test]
async fn the_choice_of_a_backend_is_logged_with_who_made_it() {
    let upstream = Upstream::start().await;
    let (mut process, mut client, _folder) = start(&Setup::over(&upstream)).await;
    let mut body = hello();
    body["backend"] = "only".into();

    client.send(chat(body.to_string())).await;
    let line = process.logged("backend chosen by the request").await;

    assert_eq!(line["fields"]["user_id"], "ada");
    assert_eq!(line["fields"]["backend"], "only");
}

#[tokio::test]
async fn an_answer_of_our_own_that_is_a_5xx_is_logged_as_an_error() {
    let upstream = Upstream::start().await;
    upstream.set(Behaviour::status(401));
    let (mut process, mut client, _folder) = start(&Setup::over(&upstream)).await;

    client.send(chat(hello().to_string())).await;
    client.send(chat(hello().to_string())).await;
    let asked = process.logged("Backend selected").await;
    let ejected = process.logged("Request finished").await;

    for (line, status) in [(asked, 502), (ejected, 503)] {
        assert_eq!(line["level"], "ERROR", "{line}");
        assert_eq!(line["fields"]["status"], status, "{line}");
        assert!(line["fields"]["latency_ms"].is_number(), "{line}");
    }
}

#[tokio::test]
async fn a_refused_credential_is_logged_without_the_token() {
    let upstream = Upstream::start().await;
    let (mut process, mut client, _folder) = start(&Setup::over(&upstream)).await;
    let mut request = get("/v1/models");
    let token = "Bearer a-wrong-token-with-secrets";
    request
        .headers_mut()
        .insert("authorization", token.parse().unwrap());

    client.send(request).await;
    let line = process.logged("Authentication failed").await;

    assert_eq!(line["level"], "WARN");
    assert_eq!(line["fields"]["peer"], "127.0.0.1");
    assert!(line["fields"]["reason"].is_string(), "{line}");
    assert!(!line.to_string().contains("secrets"), "{line}");
}

#[tokio::test]
async fn logs_go_to_stdout_as_text_and_to_a_file_as_json() {
    let toml = "[users.ada]\ntoken = \"short\"\n[telemetry]\nlog_file = \"configured.log\"\n";
    let folder = scratch(&[("config.toml", toml)]);
    // A port that is taken ends the process after its warnings have been logged.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let bind = ("BIND_ADDRESS", address.as_str());

    let configured = run(folder.path(), &[], &[bind]).await;
    let overruled = run(folder.path(), &[], &[bind, ("LOG_FILE", "logs/own.log")]).await;

    let texts = ["configured.log", "logs/own.log"].map(|name| {
        let text = std::fs::read_to_string(folder.path().join(name));
        text.unwrap_or_else(|error| panic!("{name}: {error}"))
    });
    for (finished, text) in [configured, overruled].iter().zip(&texts) {
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), finished.stdout.lines().count(), "{text}");
        let (made, others): (Vec<_>, Vec<_>) = lines
            .iter()
            .partition(|line| line["message"] == "folder made");
        assert!(others.iter().all(|line| line["level"] == "WARN"), "{text}");
        let made: Vec<_> = made.iter().map(|line| &line["fields"]["folder"]).collect();
        let is_own = text == &texts[1];
        assert_eq!(made, if is_own { &["logs"][..] } else { &[] }, "{text}");
        assert!(finished.stdout.contains(" WARN "), "{}", finished.stdout);
        assert!(
            !finished.stdout.contains(['{', '\x1b']),
            "{}",
            finished.stdout
        );
    }
}

/// What must not be found in any log.
const SECRETS: [&str; 4] = [
    "canary-prompt",
    "canary-answer",
    "key-of-only",
    "token-of-ada",
];

#[tokio::test]
async fn prompts_answers_keys_tokens_and_addresses_are_in_no_log() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[("config.toml", &Setup::over(&upstream).toml())]);
    let environment = [("RUST_LOG", "debug"), ("LOG_FILE", "all.log")];
    let mut process = Process::start(folder.path(), &[], &environment).await;
    let mut client = Client::connect(process.address()).await;
    let secret = "{\"error\":{\"message\":\"canary-answer\"}}";
    let body = |stream: bool| {
        let mut body = if stream { hello_stream() } else { hello() };
        body["messages"][0]["content"] = "canary-prompt".into();
        body.to_string()
    };

    for behaviour in [
        Behaviour::echo(),
        Behaviour::echo().reset(),
        Behaviour::echo().reset_after(300),
        Behaviour::body("application/json", secret),
        Behaviour::body("application/json", "canary-answer"),
        Behaviour::stream(["data: canary-answer\n\n"], Duration::ZERO),
        Behaviour::stream([format!("data: {secret}\n\n")], Duration::ZERO),
        Behaviour::status(400).error_code("canary-answer"),
        Behaviour::garbage(),
    ] {
        upstream.set(behaviour);
        for stream in [false, true] {
            client.send(chat(body(stream))).await;
        }
    }
    client
        .send(chat(body(false).replacen('{', "{\"model\":1,", 1)))
        .await;
    client.send(chat(body(false) + "x")).await;
    process.signal("TERM").await;
    process.ended().await;

    let log = std::fs::read_to_string(folder.path().join("all.log")).unwrap();
    assert!(log.contains("attempt failed"), "{log}");
    let address = upstream.address().to_string();
    for secret in SECRETS.into_iter().chain([&*address]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
