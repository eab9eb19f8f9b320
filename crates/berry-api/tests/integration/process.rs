//! The real binary while it runs: environment, limits, signals.

use std::net::TcpListener;
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
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
async fn a_request_to_reload_before_there_is_anything_to_reload_does_not_end_the_process() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[("config.toml", &Setup::over(&upstream).toml())]);
    // The pipe is opened when the process opens its log, long before it can reload.
    let early = "mkfifo pipe && { { exec 3<pipe; kill -HUP $$; cat <&3; } >/dev/null 2>&1 & } \
                 && export LOG_FILE=pipe";

    let process = Process::start_after(early, folder.path()).await;

    let mut client = Client::connect(process.address()).await;
    assert_eq!(client.send(get("/health/live")).await.status, 200);
}

#[tokio::test]
async fn both_signals_drain_and_exit_0() {
    for (name, threads) in [("TERM", 1), ("INT", 2)] {
        let upstream = Upstream::start().await;
        let setup = Setup::over(&upstream).more(&format!("[server]\nworker_threads = {threads}"));
        let folder = scratch(&[("config.toml", &setup.toml())]);
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

    assert_eq!(answer.unwrap().status(), 503);
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().hang())
        .start()
        .await;
    let setup = Setup::over(&upstream).settings("shutdown_grace_seconds = 3600");
    let folder = scratch(&[("config.toml", &setup.toml())]);
    for second in ["TERM", "INT"] {
        let mut process = Process::start(folder.path(), &[], &[]).await;
        let mut client = Client::connect(process.address()).await;
        let before = upstream.request_count();
        let mut asking = JoinSet::new();
        asking.spawn(async move { client.exchange(chat(hello().to_string())).await.is_ok() });
        upstream.wait_for_requests(before + 1).await;
        process.signal("TERM").await;
        process.logged("draining").await;

        process.signal(second).await;

        assert_eq!(within(process.ended()).await, Some(1), "{second}");
    }
}

#[tokio::test]
async fn a_hangup_reloads_and_ends_nothing() {
    let (folder, upstream) = folder().await;
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let file = folder.path().join("config.toml");

    process.signal("HUP").await;
    let unchanged = process.logged("Configuration reloaded successfully").await;
    let changed = Setup::over(&upstream).settings("max_retries = 9");
    std::fs::write(&file, changed.toml()).unwrap();
    let followed = process.logged("Configuration reloaded successfully").await;
    std::fs::write(&file, "[setting]").unwrap();
    let refused = process.logged("Failed to reload configuration").await;
    let mut client = Client::connect(process.address()).await;
    let answer = client.send(chat(hello().to_string())).await;
    process.signal("TERM").await;

    let fields = |line: &Value| line["fields"].clone();
    assert_eq!(
        fields(&unchanged),
        json!({
            "trigger": "signal", "generation": 2, "added": "", "removed": "", "changed": "",
        })
    );
    assert_eq!(
        fields(&followed),
        json!({
            "trigger": "file", "generation": 3, "added": "", "removed": "",
            "changed": "settings.max_retries",
        })
    );
    assert_eq!(refused["level"], "ERROR");
    assert_eq!(
        fields(&refused),
        json!({
            "trigger": "file",
            "error": "config.toml:1:2: unknown key `setting` at the top level",
        })
    );
    assert_eq!(answer.status, 200);
    // A process that a signal has ended has no code.
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn a_storm_of_hangups_disturbs_no_request() {
    let upstream = Upstream::start().await;
    // What reloads shares its thread with what serves.
    let setup = Setup::over(&upstream).more("[server]\nworker_threads = 1");
    let folder = scratch(&[("config.toml", &setup.toml())]);
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let address = process.address();
    let mut asking = JoinSet::new();
    for _ in 0..4 {
        asking.spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..50 {
                let answer = client.send(chat(hello().to_string())).await;
                assert_eq!(answer.status, 200);
            }
        });
    }

    for _ in 0..100 {
        process.signal("HUP").await;
    }
    within(asking.join_all()).await;
    process.signal("TERM").await;

    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let (folder, _upstream) = folder().await;

    let process = Process::start_after("ulimit -Sn 256", folder.path()).await;

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let (soft, hard) = line.unwrap().trim().split_once(' ').unwrap();
    assert!(
        hard.trim_start().starts_with(&format!("{soft} ")),
        "{limits}"
    );
    assert_ne!(soft, "256");
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
async fn an_address_that_the_environment_overrides_holds_no_reload_up() {
    let (folder, upstream) = folder().await;
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let address = "[server]\nbind_address = \"127.0.0.1:1\"";
    let changed = Setup::over(&upstream).more(address).toml();

    std::fs::write(folder.path().join("config.toml"), changed).unwrap();
    process.signal("HUP").await;

    let reloaded = process.logged("Configuration reloaded successfully").await;
    assert_eq!(reloaded["fields"]["changed"], "server.bind_address");
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

#[tokio::test]
async fn as_many_threads_serve_as_configured() {
    for count in [2, 3] {
        let upstream = Upstream::start().await;
        let toml = Setup::over(&upstream)
            .more(&format!("[server]\nworker_threads = {count}"))
            .toml();
        let folder = scratch(&[("config.toml", &toml)]);

        let process = Process::start(folder.path(), &[], &[]).await;

        // A thread takes its name only when it runs.
        within(async {
            while serving(&process) != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Returns how many threads of a process are there to serve.
fn serving(process: &Process) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let names = threads.filter_map(|thread| {
        let name = thread.unwrap().path().join("comm");
        // One that has just ended has no name any more.
        std::fs::read_to_string(name).ok()
    });
    names.filter(|name| name.trim() == "berry").count()
}

#[tokio::test]
async fn the_ledger_is_a_file_whatever_its_name_means_to_sqlite() {
    for name in [":memory:", "file:usage.db?mode=memory"] {
        let upstream = Upstream::start().await;
        let setup = Setup::over(&upstream).more(&format!("[usage]\ndatabase = \"{name}\""));
        let folder = scratch(&[("config.toml", &setup.toml())]);
        let mut process = Process::start(folder.path(), &[], &[]).await;
        let mut client = Client::connect(process.address()).await;

        client.send(chat(hello().to_string())).await;
        process.signal("TERM").await;
        process.ended().await;

        let file = rusqlite::Connection::open(folder.path().join(name)).unwrap();
        let count = "SELECT count(*) FROM request";
        let rows: i64 = file.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1, "{name}");
    }
}
