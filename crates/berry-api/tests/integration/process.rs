//! The real binary while it runs: environment, logs, signals.

use std::net::TcpListener;
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::{
    Client, Process, Proxy, Setup, chat, get, hello, hello_stream, run, scratch, within,
};

async fn folder() -> (TempDir, Upstream) {
    let upstream = Upstream::start().await;
    let toml = Setup::over(&upstream).toml();
    (scratch(&[("config.toml", &toml)]), upstream)
}

#[tokio::test]
async fn both_signals_drain_and_exit_0() {
    for name in ["TERM", "INT"] {
        let (folder, upstream) = folder().await;
        upstream.set(Behaviour::echo().chunk_interval(Duration::from_millis(50)));
        let mut process = Process::start(folder.path(), &[], &[]).await;
        let client = Client::connect(process.address()).await;
        let mut stream = client.open(chat(hello_stream().to_string())).await;
        stream.event().await;

        process.signal(name).await;
        process.logged("draining").await;
        let rest = stream.rest().await;

        assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
        process.logged("stopped").await;
        assert_eq!(process.ended().await, Some(0), "{name}");
    }
}

#[tokio::test]
async fn a_drain_ends_with_its_grace_and_exits_0() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().hang())
        .start()
        .await;
    let toml = Setup::over(&upstream)
        .settings("shutdown_grace_seconds = 1")
        .toml();
    let folder = scratch(&[("config.toml", &toml)]);
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let mut client = Client::connect(process.address()).await;
    let request = client.exchange(chat(hello().to_string()));

    let (answer, code) = tokio::join!(request, async {
        upstream.wait_for_requests(1).await;
        process.signal("TERM").await;
        process.ended().await
    });

    assert!(answer.is_err());
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_clear_line() {
    let (folder, _upstream) = folder().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let finished = run(folder.path(), &[], &[("BIND_ADDRESS", &address)]).await;

    assert_eq!(finished.code, Some(1));
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    let expected = format!("error: cannot listen on `{address}`: ");
    assert!(
        finished.stderr.starts_with(&expected),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn the_environment_wins_over_the_files_address() {
    let upstream = Upstream::start().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let toml = Setup::over(&upstream)
        .more(&format!(
            "[server]\nbind_address = \"{}\"",
            taken.local_addr().unwrap()
        ))
        .toml();
    let folder = scratch(&[("config.toml", &toml)]);

    let of_the_file = run(folder.path(), &[], &[]).await;
    let process = Process::start(folder.path(), &[], &[]).await;

    assert_eq!(of_the_file.code, Some(1), "{}", of_the_file.stderr);
    assert_ne!(process.address(), taken.local_addr().unwrap());
}

#[tokio::test]
async fn a_variable_of_the_wrong_form_is_one_clear_line() {
    let (folder, _upstream) = folder().await;

    for (name, value) in [
        ("BIND_ADDRESS", "localhost"),
        ("BIND_ADDRESS", "127.0.0.1:99999"),
        ("MAX_CONNECTIONS", "many"),
        ("MAX_CONNECTIONS", "0"),
        ("LOG_FORMAT", "xml"),
        ("LOG_FILE", "/dev/null/x"),
        ("RUST_LOG", "berry=loud"),
    ] {
        let finished = run(
            folder.path(),
            &[],
            &[("BIND_ADDRESS", "127.0.0.1:0"), (name, value)],
        )
        .await;

        assert_eq!(finished.code, Some(1), "{name}={value}");
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
        assert!(
            finished.stderr.starts_with("error: "),
            "{}",
            finished.stderr
        );
        let names_it = [name, value]
            .iter()
            .any(|part| finished.stderr.contains(part));
        assert!(names_it, "{}", finished.stderr);
    }
}

#[tokio::test]
async fn max_connections_is_the_cap() {
    let (folder, _upstream) = folder().await;
    let process = Process::start(folder.path(), &[], &[("MAX_CONNECTIONS", "1")]).await;
    let mut first = Client::connect(process.address()).await;
    assert_eq!(first.send(get("/health/live")).await.status, 200);
    let mut second = Client::connect(process.address()).await;
    let waiting = second.exchange(get("/health/live"));
    tokio::pin!(waiting);

    let early = timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err());
    drop(first);

    assert_eq!(within(waiting).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_is_one_line_when_it_ends() {
    let (folder, _upstream) = folder().await;
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let mut client = Client::connect(process.address()).await;
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
async fn the_choice_of_a_backend_is_logged_with_who_made_it() {
    let (folder, _upstream) = folder().await;
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let mut client = Client::connect(process.address()).await;
    let mut body = hello();
    body["backend"] = "only".into();

    client.send(chat(body.to_string())).await;
    let line = process.logged("backend chosen by the request").await;

    assert_eq!(line["fields"]["user_id"], "ada");
    assert_eq!(line["fields"]["backend"], "only");
}

#[tokio::test]
async fn an_answer_of_our_own_that_is_a_5xx_is_logged_as_an_error() {
    let (folder, upstream) = folder().await;
    upstream.set(Behaviour::status(401));
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let mut client = Client::connect(process.address()).await;

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
    let (folder, _upstream) = folder().await;
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let mut client = Client::connect(process.address()).await;
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
        assert!(lines.iter().all(|line| line["level"] == "WARN"), "{text}");
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
async fn prompts_answers_keys_and_tokens_are_in_no_log() {
    let (folder, upstream) = folder().await;
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
    for secret in SECRETS {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[tokio::test]
async fn the_environments_proxy_is_used_unless_it_is_excluded() {
    let upstream = Upstream::start().await;
    let with = Setup::over(&upstream)
        .toml()
        .replace("proxy_url = \"none\"\n", "");
    let without = Setup::over(&upstream).toml();
    for (toml, name, no_proxy, expected) in [
        (&with, "HTTP_PROXY", "", 1),
        (&with, "http_proxy", "", 1),
        (&with, "HTTP_PROXY", "127.0.0.1", 0),
        (&with, "HTTPS_PROXY", "", 0),
        (&without, "HTTP_PROXY", "", 0),
    ] {
        let proxy = Proxy::start().await;
        let url = format!("http://{}", proxy.address());
        let folder = scratch(&[("config.toml", toml)]);
        let environment = [(name, url.as_str()), ("NO_PROXY", no_proxy)];
        let process = Process::start(folder.path(), &[], &environment).await;
        let mut client = Client::connect(process.address()).await;

        let answer = client.send(chat(hello().to_string())).await;

        assert_eq!(answer.status, 200);
        assert_eq!(proxy.heads().len(), expected, "{name} {no_proxy}");
    }
}
