//! Where lines go: files that move, pipes that stall, disks that are full, and the commands that users
//! run on what is there.

use std::path::Path;
use std::process::Stdio;

use berry_testkit::{Behaviour, Upstream};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::{Client, Process, Setup, chat, get, hello, request, scratch, signal, within};

/// Waits until a file holds this text; lines are written by a thread of their own.
async fn written(path: &Path, text: &str) {
    within(async {
        while !tokio::fs::read_to_string(path)
            .await
            .is_ok_and(|found| found.contains(text))
        {}
    })
    .await;
}

/// Returns the value of a series.
async fn series(client: &mut Client, name: &str) -> u64 {
    let page = client.send(get("/prometheus")).await;
    let mut lines = page.text().lines();
    let value = lines.find_map(|line| line.strip_prefix(name));
    let value = value.unwrap_or_else(|| panic!("{name}: {}", page.text()));
    value.trim().parse().unwrap()
}

#[tokio::test]
async fn a_pipe_that_stalls_holds_nobody_up_and_what_is_lost_is_told() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[("config.toml", &Setup::over(&upstream).toml())]);
    let environment = [("LOG_FILE", "all.log")];
    // Its stdout is not read from here on.
    let mut process = Process::start(folder.path(), &[], &environment).await;
    let mut client = Client::connect(process.address()).await;
    let lost = "telemetry_lost_total{output=\"stdout\"}";
    let long = format!("/{}", "x".repeat(30_000));

    while series(&mut client, lost).await == 0 {
        client.send(get(&long)).await;
    }
    assert_eq!(client.send(chat(hello().to_string())).await.status, 200);

    written(
        &folder.path().join("all.log"),
        "telemetry cannot be written",
    )
    .await;
    assert_eq!(
        series(&mut client, "telemetry_lost_total{output=\"log_file\"}").await,
        0
    );
    let told = process.logged("telemetry is written again").await;
    assert_eq!(told["fields"]["output"], "stdout", "{told}");
    assert!(told["fields"]["lost"].as_u64().unwrap() > 0, "{told}");
}

#[tokio::test]
async fn a_full_disk_holds_nobody_up_and_is_told_once() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[("config.toml", &Setup::over(&upstream).toml())]);
    let environment = [("LOG_FILE", "/dev/full")];
    let mut process = Process::start(folder.path(), &[], &environment).await;
    let mut client = Client::connect(process.address()).await;

    let told = process.logged("telemetry cannot be written").await;
    for _ in 0..20 {
        assert_eq!(client.send(chat(hello().to_string())).await.status, 200);
    }
    process.signal("TERM").await;
    process.logged("stopped").await;

    assert_eq!(told["fields"]["output"], "log_file", "{told}");
    assert_eq!(
        told["fields"]["cause"],
        "No space left on device (os error 28)"
    );
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn a_log_that_can_be_written_nowhere_is_told_of_on_stderr() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[("config.toml", &Setup::over(&upstream).toml())]);
    let mut command = Command::new("/bin/sh");
    let binary = env!("CARGO_BIN_EXE_berry-api");
    command
        .args(["-c", "exec \"$0\" > /dev/full", binary])
        .current_dir(folder.path())
        .env_clear()
        .envs([("BIND_ADDRESS", "127.0.0.1:0"), ("LOG_FILE", "/dev/full")])
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();

    let mut outputs = Vec::new();
    while outputs.len() < 2 {
        outputs.push(within(told.next_line()).await.unwrap().unwrap());
    }
    signal(child.id().unwrap(), "TERM").await;
    let ended = within(child.wait()).await.unwrap();

    let line = |output: &str| {
        format!(
            "berry-api: the log cannot be written to `{output}`: No space left on device (os error 28)"
        )
    };
    outputs.sort();
    assert_eq!(outputs, [line("log_file"), line("stdout")]);
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn the_log_file_goes_on_after_it_was_moved_away_or_is_another_one() {
    let upstream = Upstream::start().await;
    let toml = |name: &str| {
        let log = format!("[telemetry]\nlog_file = \"{name}\"");
        Setup::over(&upstream).more(&log).toml()
    };
    let folder = scratch(&[("config.toml", &toml("a.log"))]);
    let path = |name: &str| folder.path().join(name);
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let reloaded = "Configuration reloaded successfully";

    std::fs::rename(path("a.log"), path("a.log.1")).unwrap();
    process.signal("HUP").await;
    process.logged(reloaded).await;
    written(&path("a.log.1"), "Starting Berry API").await;
    written(&path("a.log"), reloaded).await;

    std::fs::write(path("config.toml"), toml("logs/b.log")).unwrap();
    process.logged(reloaded).await;
    written(&path("logs/b.log"), reloaded).await;

    std::fs::write(path("config.toml"), toml("/dev/null/c.log")).unwrap();
    let refused = process.logged("Failed to reload configuration").await;
    let error = refused["fields"]["error"].as_str().unwrap();
    assert!(
        error.starts_with("the log file `/dev/null/c.log` cannot be opened: "),
        "{error}"
    );
    written(&path("logs/b.log"), "Failed to reload configuration").await;

    std::fs::write(path("config.toml"), toml("")).unwrap();
    process.logged(reloaded).await;
    process.signal("TERM").await;
    process.ended().await;
    let log = std::fs::read_to_string(path("logs/b.log")).unwrap();
    assert_eq!(log.matches(reloaded).count(), 1, "{log}");
}

/// The commands that users run on the log file, and what each must print.
const COMMANDS: [(&str, &str); 9] = [
    (r#"grep "Starting Berry API" F | wc -l"#, "1"),
    (
        r#"grep "health_check" F | tail -20 | jq -r .target | sort -u"#,
        "berry_loadbalance::health_check",
    ),
    (r#"grep "Authentication failed" F | jq -r .level"#, "WARN"),
    (
        r#"grep "selected backend" F | tail -10 | jq -r .fields.backend | sort -u"#,
        "first:upstream-model\nsecond:upstream-model",
    ),
    (
        r#"grep "Backend selected" F | jq -r '.fields.provider' | sort | uniq -c | awk '{print $1, $2}'"#,
        "2 first\n1 second",
    ),
    (
        r#"grep "ERROR" F | jq . | grep '"level"' | uniq -c | awk '{print $1, $3}'"#,
        "2 \"ERROR\",",
    ),
    (
        r#"grep "ERROR" F | cut -d' ' -f3 | sort | uniq -c | wc -l"#,
        "2",
    ),
    (
        r#"grep "latency" F | jq '.fields.latency_ms' | sort -n | grep -vc '^[0-9.]*$'"#,
        "0",
    ),
    (
        r#"grep "latency" F | jq '.fields.latency_ms' | sort -n | awk '{sum+=$1; count++} END {print "Average:", sum/count "ms"}' | grep -c '^Average: [0-9.]*ms$'"#,
        "1",
    ),
];

#[tokio::test]
async fn the_commands_that_users_run_find_what_they_look_for() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let setup = Setup::over_two(&first, &second).settings("health_check_interval_seconds = 30");
    let folder = scratch(&[("config.toml", &setup.toml())]);
    let environment = [("LOG_FILE", "logs/berry-api.log")];
    let mut process = Process::start(folder.path(), &[], &environment).await;
    process.logged("probe passed").await;
    let mut client = Client::connect(process.address()).await;
    let mut body = hello();
    client.send(chat(body.to_string())).await;
    body["backend"] = json!("second");
    client.send(chat(body.to_string())).await;
    body["backend"] = json!("first");
    first.set(Behaviour::status(500));
    client.send(chat(body.to_string())).await;
    client
        .send(request(http::Method::GET, "/v1/models", &[], ""))
        .await;
    // What others write does not make a line one of those.
    let method = http::Method::from_bytes(b"ERROR").unwrap();
    let headers = [("x-request-id", "ERROR-latency-health_check")];
    let path = "/ERROR/latency/health_check";
    client.send(request(method, path, &headers, "")).await;
    let mistaken = setup.strategy("the_least_latency_ERROR").toml();
    std::fs::write(folder.path().join("config.toml"), mistaken).unwrap();
    let refused = process.logged("Failed to reload configuration").await;
    assert!(refused.to_string().contains("the_least_latency_ERROR"));
    process.signal("TERM").await;
    process.ended().await;

    for (command, expected) in COMMANDS {
        let command = command.replace(" F ", " logs/berry-api.log ");
        let output = Command::new("/bin/sh")
            .args(["-c", &command])
            .current_dir(folder.path())
            .output();
        let output = within(output).await.unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        assert_eq!(found.trim_end(), expected, "{command}");
    }
}

#[tokio::test]
async fn lines_that_wait_for_a_reader_to_the_end_are_told_of_on_stderr() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[("config.toml", &Setup::over(&upstream).toml())]);
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(pipe).status().await;
    assert!(made.unwrap().success());
    // More than a pipe holds, and less than waits beside it.
    for requests in [0, 20] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berry-api"));
        command
            .current_dir(folder.path())
            .env_clear()
            .envs([("BIND_ADDRESS", "127.0.0.1:0"), ("LOG_FORMAT", "json")])
            .env("LOG_FILE", "pipe")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut count = 0;
        let address = loop {
            let line = within(lines.next_line()).await.unwrap().unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            count += 1;
            if line["message"] == "Starting Berry API" {
                break line["fields"]["address"].as_str().unwrap().parse().unwrap();
            }
        };
        let mut client = Client::connect(address).await;
        for _ in 0..requests {
            client.send(get(&format!("/{}", "x".repeat(10_000)))).await;
        }
        signal(child.id().unwrap(), "TERM").await;
        while let Some(line) = within(lines.next_line()).await.unwrap() {
            count += u64::from(line.starts_with('{'));
        }
        let ended = within(child.wait_with_output()).await.unwrap();

        let told = String::from_utf8(ended.stderr).unwrap();
        let start = format!("berry-api: {count} lines of the log are not written to `log_file`: ");
        assert!(told.starts_with(&start), "{start} {told}");
        assert_eq!((told.lines().count(), ended.status.code()), (1, Some(0)));
    }
}
