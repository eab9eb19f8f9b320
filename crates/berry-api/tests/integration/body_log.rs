//! Bodies and keys in the log, for operators who have asked for them.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Process, Setup, chat, hello, hello_stream, scratch};

const KEY: &str = "api_key = \"sk-live-0123456789-abcd\"";

async fn start(setup: &Setup, level: &str) -> (Process, Client, TempDir) {
    let toml = setup.toml().replace("api_key = \"key-of-only\"", KEY);
    let folder = scratch(&[("config.toml", &toml)]);
    let process = Process::start(folder.path(), &[], &[("RUST_LOG", level)]).await;
    let client = Client::connect(process.address()).await;
    (process, client, folder)
}

/// Returns the messages and bodies of the lines up to a request's.
async fn bodies(process: &mut Process) -> Vec<(String, Value)> {
    let lines = process.logged_until_request().await;
    let with_body = lines
        .iter()
        .filter(|line| line["fields"]["body"].is_string());
    with_body
        .map(|line| {
            let message = line["message"].as_str().unwrap().to_owned();
            (message, line["fields"]["body"].clone())
        })
        .collect()
}

#[tokio::test]
async fn bodies_are_logged_where_that_is_switched_on_and_the_level_is_debug() {
    let upstream = Upstream::start().await;
    upstream.set(Behaviour::text_stream(["one "], Duration::ZERO));
    for (settings, level, expected) in [
        ("", "debug", &[][..]),
        ("log_request_body = true", "info", &[]),
        ("log_request_body = true", "debug", &["request body"]),
        ("log_response_body = true", "debug", &["answer body"]),
        (
            "log_request_body = true\nlog_response_body = true",
            "debug",
            &["request body", "answer body"],
        ),
    ] {
        let (mut process, mut client, _folder) =
            start(&Setup::over(&upstream).settings(settings), level).await;

        client.send(chat(hello_stream().to_string())).await;
        let seen = bodies(&mut process).await;

        let messages: Vec<_> = seen.iter().map(|(message, _)| message).collect();
        assert_eq!(messages, expected, "{settings}");
        for (message, body) in &seen {
            let expected = if message == "request body" {
                "hello"
            } else {
                "one "
            };
            assert!(body.as_str().unwrap().contains(expected), "{body}");
        }
    }
}

#[tokio::test]
async fn of_a_long_body_four_kibibytes_are_logged() {
    let upstream = Upstream::start().await;
    let setup = Setup::over(&upstream)
        .settings("log_request_body = true")
        .settings("log_response_body = true");
    let (mut process, mut client, _folder) = start(&setup, "debug").await;
    let mut body = hello();
    body["messages"][0]["content"] = "x".repeat(10_000).into();

    client.send(chat(body.to_string())).await;
    let seen = bodies(&mut process).await;

    let lengths: Vec<_> = seen
        .iter()
        .map(|(_, body)| body.as_str().unwrap().len())
        .collect();
    assert_eq!(lengths, [4096, 4096]);
}

#[tokio::test]
async fn what_is_shown_beyond_the_usual_is_said_at_the_start() {
    let upstream = Upstream::start().await;
    let setup = Setup::over(&upstream)
        .settings("log_request_body = true")
        .settings("mask_api_keys = false");
    let (mut process, _client, _folder) = start(&setup, "info").await;

    let bodies = process
        .logged("bodies are logged, at debug level only: set `RUST_LOG=debug`")
        .await;
    let keys = process
        .logged("provider keys are shown in full in the debug log and to admins")
        .await;

    assert_eq!(
        (&bodies["level"], &keys["level"]),
        (&"WARN".into(), &"WARN".into())
    );
    assert_eq!(bodies["fields"]["requests"], true);
    assert_eq!(bodies["fields"]["answers"], false);
}

#[tokio::test]
async fn provider_keys_are_masked_in_the_log_and_to_admins_unless_told_otherwise() {
    let upstream = Upstream::start().await;
    for (settings, expected) in [
        ("", "sk-…abcd"),
        ("mask_api_keys = false", "sk-live-0123456789-abcd"),
    ] {
        let setup = Setup::over(&upstream)
            .settings(settings)
            .user("tags = [\"admin\"]");
        let (mut process, mut client, _folder) = start(&setup, "debug").await;

        let logged = process.logged("provider configured").await;
        let answer = client
            .send(crate::support::get("/admin/backend-health"))
            .await;

        assert_eq!(logged["fields"]["api_key"], expected);
        let shown = &answer.json()["backend_health"]["chat"]["backends"][0]["api_key"];
        assert_eq!(shown, expected);
    }
}
