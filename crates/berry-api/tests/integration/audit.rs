//! Who did what, for auditors.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Client, Gateway, Process, Raw, Request, Setup, TOKEN, chat, get, hello, hello_stream, request,
    scratch, within,
};

/// Users who are no admins, one of whom may use no model that there is.
const OTHERS: &str = "[users.bob]\ntoken = \"token-of-bob-0123456789\"\ntags = [\"basic\"]\n\
                      [users.eve]\ntoken = \"token-of-eve-0123456789\"\nallowed_models = [\"none\"]\n";

/// A folder with a configuration whose audit log is `audit.jsonl` in it, and that log's path.
fn folder(setup: Setup) -> (TempDir, String) {
    let folder = scratch(&[]);
    let log = folder.path().join("audit.jsonl").display().to_string();
    let setup = setup
        .settings(&format!("audit_log = \"{log}\""))
        .user("tags = [\"admin\"]")
        .more(OTHERS);
    fs::write(folder.path().join("config.toml"), setup.toml()).unwrap();
    (folder, log)
}

fn serve(folder: &TempDir) -> Gateway {
    Gateway::start_from(&folder.path().join("config.toml"))
}

/// Reads the events once there are so many.
async fn events(log: &str, count: usize) -> Vec<Value> {
    within(async {
        loop {
            let text = fs::read_to_string(log).unwrap_or_default();
            if text.lines().count() >= count {
                return text
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Returns what an event says, but for its time and its request's id.
fn told(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or("-");
    let [user, action, resource, result, address] =
        ["user_id", "action", "resource", "result", "ip_address"].map(text);
    format!("{user} | {action} | {resource} | {result} | {address}")
}

fn with_token(method: Method, path: &str, token: &str) -> Request {
    request(method, path, &[("x-api-key", token)], "")
}

fn asking(body: &Value, token: &str) -> Request {
    let headers = [("x-api-key", token)];
    request(
        Method::POST,
        "/v1/chat/completions",
        &headers,
        body.to_string(),
    )
}

#[tokio::test]
async fn everything_a_known_or_refused_client_does_is_one_line() {
    let upstream = Upstream::start().await;
    let (folder, log) = folder(Setup::over(&upstream));
    let gateway = serve(&folder);
    let bob = "token-of-bob-0123456789";
    let mut chosen = hello();
    chosen["backend"] = "only".into();
    let unknown = json!({"model": "no\nsuch"});

    for (request, expected) in [
        (
            with_token(Method::GET, "/v1/models", "wrong-token"),
            &["- | authenticate | GET /v1/models | unknown token | 127.0.0.1"][..],
        ),
        (
            with_token(Method::GET, "/health", "wrong-token"),
            &["- | authenticate | GET /health | unknown token | 127.0.0.1"],
        ),
        (
            request(Method::GET, "/admin/system-stats", &[], ""),
            &["- | authenticate | GET /admin/system-stats | no credential | 127.0.0.1"],
        ),
        (request(Method::GET, "/health", &[], ""), &[]),
        (
            with_token(Method::GET, "/admin/system-stats", bob),
            &["bob | admin | GET /admin/system-stats | 403 | 127.0.0.1"],
        ),
        (
            with_token(Method::GET, "/admin/system-stats", TOKEN),
            &["ada | admin | GET /admin/system-stats | 200 | 127.0.0.1"],
        ),
        (
            with_token(Method::GET, "/v1/models?x=y", bob),
            &["bob | request | GET /v1/models | 200 | 127.0.0.1"],
        ),
        (
            asking(&hello(), bob),
            &[
                "bob | request | POST /v1/chat/completions test-model only:upstream-model | 200 | 127.0.0.1",
            ],
        ),
        (
            asking(&hello_stream(), bob),
            &[
                "bob | request | POST /v1/chat/completions test-model only:upstream-model | 200 | 127.0.0.1",
            ],
        ),
        (
            asking(&chosen, bob),
            &[
                "bob | choose_backend | POST /v1/chat/completions test-model only:upstream-model | 200 | 127.0.0.1",
                "bob | request | POST /v1/chat/completions test-model only:upstream-model | 200 | 127.0.0.1",
            ],
        ),
        (
            asking(&unknown, bob),
            &["bob | request | POST /v1/chat/completions | 404 | 127.0.0.1"],
        ),
        (
            asking(&hello(), "token-of-eve-0123456789"),
            &["eve | request | POST /v1/chat/completions test-model | 403 | 127.0.0.1"],
        ),
    ] {
        fs::write(&log, "").unwrap();
        gateway.send(request).await;
        // A line of its own shows that what was before it has been written.
        gateway
            .send(with_token(Method::GET, "/v1/models/end", TOKEN))
            .await;

        let seen = events(&log, expected.len() + 1).await;

        let (_end, seen) = seen.split_last().unwrap();
        assert_eq!(seen.iter().map(told).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn what_is_done_to_which_stored_response_is_said() {
    let upstream = Upstream::start().await;
    let (folder, log) = folder(Setup::over(&upstream));
    let gateway = serve(&folder);
    for (method, path) in [
        (Method::GET, "/v1/responses/resp_1"),
        (Method::DELETE, "/v1/responses/resp_1"),
        (Method::POST, "/v1/responses/resp_1/cancel"),
        (Method::GET, "/v1/responses/resp_1/input_items"),
    ] {
        fs::write(&log, "").unwrap();

        let asked = format!("{path}?x=y");
        gateway
            .send(with_token(method.clone(), &asked, TOKEN))
            .await;

        let lines = events(&log, 1).await;
        let expected = format!(
            "ada | request | {method} {path} test-model only:upstream-model | 404 | 127.0.0.1"
        );
        assert_eq!(told(&lines[0]), expected);
    }
}

#[tokio::test]
async fn an_event_says_when_and_to_which_request_it_belongs() {
    let (folder, log) = folder(Setup::new());
    let gateway = serve(&folder);
    let headers = [("x-request-id", "mine")];

    let answer = gateway
        .send(request(Method::GET, "/v1/models", &headers, ""))
        .await;

    assert_eq!(answer.header("x-request-id"), Some("mine"));
    let event = events(&log, 1).await.remove(0);
    assert_eq!(event["request_id"], "mine");
    let timestamp = event["timestamp"].as_str().unwrap();
    assert!(timestamp.parse::<jiff::Timestamp>().is_ok() && timestamp.ends_with('Z'));
    let mut members: Vec<_> = event.as_object().unwrap().keys().collect();
    members.sort();
    let all = "action ip_address request_id resource result timestamp user_id";
    assert_eq!(members, all.split(' ').collect::<Vec<_>>());
}

#[tokio::test]
async fn the_address_is_the_clients_also_behind_a_proxy_that_is_trusted() {
    let (folder, log) = folder(Setup::new().settings("trusted_proxies = [\"127.0.0.0/8\"]"));
    let gateway = serve(&folder);
    let headers = [("x-api-key", TOKEN), ("x-forwarded-for", "192.0.2.7")];

    gateway
        .send(request(Method::GET, "/v1/models", &headers, ""))
        .await;

    assert_eq!(events(&log, 1).await[0]["ip_address"], "192.0.2.7");
}

#[tokio::test]
async fn reloads_are_events_and_the_last_of_a_log_that_is_switched_off() {
    let (folder, log) = folder(Setup::new());
    let file = folder.path().join("config.toml");
    let gateway = serve(&folder);
    let valid = fs::read_to_string(&file).unwrap();

    gateway.reload().await;
    fs::write(&file, "nonsense").unwrap();
    gateway.reload().await;
    fs::write(&file, valid.replace("audit_log", "#")).unwrap();
    gateway.reload().await;

    let seen = events(&log, 5).await;
    let reloads = seen.iter().filter(|event| event["action"] == "reload");
    let results: Vec<_> = reloads
        .map(|event| event["result"].as_str().unwrap())
        .collect();
    let [first, wrong, last] = results[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(
        (first, last),
        ("admin: generation 2", "admin: generation 3")
    );
    assert!(wrong.starts_with("admin: "), "{wrong}");
    assert_eq!(seen.last().unwrap()["result"], last);
}

#[tokio::test]
async fn an_admin_who_asks_for_a_reload_is_named_also_where_they_leave() {
    let (folder, log) = folder(Setup::new());
    let gateway = serve(&folder);
    let mut admin = Raw::connect(gateway.address()).await;

    admin
        .send(format!(
            "POST /admin/reload-config HTTP/1.1\r\nhost: x\r\nx-api-key: {TOKEN}\r\n\
             x-request-id: mine\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
    drop(admin);

    let events = events(&log, 2).await;
    let mut told: Vec<_> = events.iter().map(told).collect();
    told.sort();
    let file = folder.path().join("config.toml");
    let expected = [
        "ada | admin | POST /admin/reload-config | 499 | 127.0.0.1".to_owned(),
        format!(
            "ada | reload | {} | admin: generation 2 | 127.0.0.1",
            file.display()
        ),
    ];
    assert_eq!(told, expected);
    assert!(events.iter().all(|event| event["request_id"] == "mine"));
}

#[tokio::test]
async fn a_log_that_goes_on_elsewhere_says_so() {
    let (folder, log) = folder(Setup::new());
    let file = folder.path().join("config.toml");
    let gateway = serve(&folder);
    let elsewhere = format!("{log}.2");
    let moved = fs::read_to_string(&file).unwrap().replace(&log, &elsewhere);

    fs::write(&file, moved).unwrap();
    gateway.reload().await;

    for log in [&log, &elsewhere] {
        let event = events(log, 1).await.remove(0);
        assert_eq!(event["result"], "admin: generation 2");
    }
}

#[tokio::test]
async fn the_log_is_its_owners_and_goes_on_in_a_new_file_after_a_hang_up() {
    let (folder, log) = folder(Setup::new());
    let moved = format!("{log}.1");
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let mut client = Client::connect(process.address()).await;

    for (number, config) in [None, Some("nonsense")].into_iter().enumerate() {
        client.send(get("/v1/models")).await;
        events(&log, 1).await;
        fs::rename(&log, &moved).unwrap();
        if let Some(config) = config {
            fs::write(folder.path().join("config.toml"), config).unwrap();
        }

        process.signal("HUP").await;
        let message = [
            "Configuration reloaded successfully",
            "Failed to reload configuration",
        ];
        process.logged(message[number]).await;
        let path = format!("/v1/models/{number}");
        client.send(get(&path)).await;

        let before = fs::read_to_string(&moved).unwrap();
        assert!(!before.contains(&path), "{before}");
        let after = events(&log, 2).await;
        assert_eq!(after[0]["action"], "reload", "{after:?}");
        assert_eq!(after[1]["resource"], format!("GET {path}"), "{after:?}");
        let mode = fs::metadata(Path::new(&log)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_file(&moved).unwrap();
    }
}

#[tokio::test]
async fn what_was_done_last_is_written_before_the_process_ends() {
    let upstream = Upstream::start().await;
    upstream.set(Behaviour::text_stream(["one ", "two "], std::time::Duration::ZERO).hang_after(2));
    let (folder, log) = folder(Setup::over(&upstream).settings("shutdown_grace_seconds = 1"));
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let client = Client::connect(process.address()).await;
    let mut stream = client.open(chat(hello_stream().to_string())).await;
    stream.event().await;

    process.signal("TERM").await;
    assert_eq!(process.ended().await, Some(0));

    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("/v1/chat/completions test-model"), "{text}");
}

#[tokio::test]
async fn a_full_disk_stops_no_traffic_and_is_counted() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .settings("audit_log = \"/dev/full\"")
        .start();

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.status, 200);
    within(async { while gateway.get("/metrics").await.json()["audit"]["lost"] == 0 {} }).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_said_at_the_start_and_refuses_a_reload() {
    let (folder, log) = folder(Setup::new());
    let file = folder.path().join("config.toml");
    let valid = fs::read_to_string(&file).unwrap();
    let impossible = valid.replace(&log, "/dev/null/audit.jsonl");

    let gateway = serve(&folder);
    fs::write(&file, &impossible).unwrap();
    let refused = gateway.reload().await;
    let bind = [("BIND_ADDRESS", "127.0.0.1:0")];
    let started = crate::support::run(folder.path(), &[], &bind).await;

    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("audit log"), "{refused:?}");
    assert_eq!(started.code, Some(1));
    assert!(
        started.stderr.contains("/dev/null/audit.jsonl"),
        "{started:?}"
    );
}
