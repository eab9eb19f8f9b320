//! More than the process can do: what is shed, and what still answers.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{
    Client, Gateway, Process, Raw, Setup, TOKEN, chat, get, hello, hello_stream, scratch, within,
};

/// Opens so many connections, each with a request that is not answered; a model request of a test.
async fn engage(gateway: &Gateway, upstream: &Upstream, count: usize) -> Vec<Raw> {
    let body = hello().to_string();
    let mut open = Vec::new();
    for _ in 0..count {
        let mut client = Raw::connect(gateway.address()).await;
        client
            .send(format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        open.push(client);
    }
    within(upstream.wait_for_requests(count)).await;
    open
}

#[tokio::test]
async fn when_all_places_are_taken_probes_and_admins_are_answered_and_the_rest_is_shed() {
    let hung = Behaviour::echo().hang();
    let upstream = Upstream::builder().behaviour(hung).start().await;
    // The last of sixteen is kept back.
    let setup = Setup::over(&upstream).user("tags = [\"admin\"]");
    let gateway = Gateway::start_with(&setup.toml(), 16);
    let open = engage(&gateway, &upstream, 15).await;

    for page in [
        "/health",
        "/health/ready",
        "/metrics",
        "/admin/system-stats",
    ] {
        let answer = gateway.get(page).await;
        assert_eq!(answer.status, 200, "{page}");
        assert_eq!(answer.header("connection"), Some("close"), "{page}");
    }
    let shed = gateway.chat(&hello()).await;

    assert_eq!(shed.error(), "503 server_error/overloaded");
    assert_eq!(shed.header("retry-after"), Some("1"));
    assert_eq!(upstream.request_count(), 15);
    drop(open);
    upstream.set(Behaviour::echo());
    within(async { while gateway.chat(&hello()).await.status != 200 {} }).await;
}

#[tokio::test]
async fn a_place_that_was_kept_back_is_not_held_by_silence() {
    let hung = Behaviour::echo().hang();
    let upstream = Upstream::builder().behaviour(hung).start().await;
    let gateway = Gateway::start_with(&Setup::over(&upstream).toml(), 16);
    let _open = engage(&gateway, &upstream, 15).await;
    let mut silent = TcpStream::connect(gateway.address()).await.unwrap();
    silent.write_all(b"GET /hea").await.unwrap();
    let asked = Instant::now();

    assert_eq!(within(gateway.get("/health/live")).await.status, 200);

    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn connections_that_are_not_used_make_place_for_new_ones_the_oldest_first() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start_with(&Setup::over(&upstream).toml(), 16);
    let mut kept = Vec::new();
    for version in [1, 2].into_iter().cycle().take(15) {
        let mut client = match version {
            1 => gateway.connect().await,
            _ => Client::connect_h2c(gateway.address()).await,
        };
        assert_eq!(client.send(get("/health/live")).await.status, 200);
        kept.push(client);
    }

    for used in 0..4 {
        let mut newcomer = gateway.connect().await;
        // A place that is kept back would not serve models.
        assert_eq!(newcomer.send(chat(hello().to_string())).await.status, 200);
        within(kept[used].closed()).await;
        kept.push(newcomer);
    }

    for client in &mut kept[4..] {
        assert_eq!(client.send(get("/health/live")).await.status, 200);
    }
}

#[tokio::test]
async fn silent_connections_do_not_keep_others_waiting_for_long() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start_with(&Setup::over(&upstream).toml(), 100);
    let mut silent = Vec::new();
    for number in 0..190 {
        let mut client = TcpStream::connect(gateway.address()).await.unwrap();
        if number % 2 == 0 {
            client.write_all(b"GET /hea").await.unwrap();
        }
        silent.push(client);
    }
    let asked = Instant::now();

    assert_eq!(within(gateway.get("/health/live")).await.status, 200);
    assert_eq!(within(gateway.chat(&hello())).await.status, 200);

    // All places together, and not only those that were kept back, are given up in a second.
    let waited = asked.elapsed();
    assert!(waited < Duration::from_secs(5), "{waited:?}");
}

#[tokio::test]
async fn with_fewer_files_than_connections_probes_are_answered_all_the_same() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[("config.toml", &Setup::over(&upstream).toml())]);
    let process = Process::start_after("ulimit -n 80", folder.path()).await;
    let mut open = Vec::new();
    // As many idle connections as are let in, and some that wait.
    for _ in 0..100 {
        let mut client = TcpStream::connect(process.address()).await.unwrap();
        let line = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
        client.write_all(line).await.unwrap();
        open.push(client);
    }

    let mut client = Client::connect(process.address()).await;

    assert_eq!(within(client.send(get("/health/live"))).await.status, 200);
}

#[tokio::test]
async fn when_memory_is_short_new_work_is_shed_and_what_has_begun_goes_on() {
    let paced = Behaviour::echo().chunk_interval(Duration::from_millis(500));
    let upstream = Upstream::builder().behaviour(paced).start().await;
    let setup = |settings| {
        let setup = Setup::over(&upstream).user("tags = [\"admin\"]");
        setup.settings(settings).toml()
    };
    let folder = scratch(&[("config.toml", &setup(""))]);
    let file = folder.path().join("config.toml");
    let gateway = Gateway::start_from(&file);
    let mut begun = gateway.stream(&hello_stream()).await;
    begun.event().await;

    // More than any process takes.
    std::fs::write(&file, setup("max_memory_mib = 1")).unwrap();
    assert_eq!(gateway.reload().await.status, 200);
    within(async { while gateway.chat(&hello()).await.status != 503 {} }).await;
    let shed = gateway.chat(&hello()).await;

    assert_eq!(shed.error(), "503 server_error/overloaded");
    assert_eq!(gateway.get("/health").await.status, 200);
    assert!(begun.rest().await.ends_with("data: [DONE]\n\n"));
    std::fs::write(&file, setup("max_memory_mib = 1000000")).unwrap();
    assert_eq!(gateway.reload().await.status, 200);
    upstream.set(Behaviour::echo());
    within(async { while gateway.chat(&hello()).await.status != 200 {} }).await;
}

/// The processor time that a process has used, in clock ticks.
fn ticks(process: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<_> = fields.split_whitespace().collect();
    [fields[11], fields[12]]
        .map(|field| field.parse::<u64>().unwrap())
        .iter()
        .sum()
}

#[tokio::test]
async fn without_file_descriptors_the_process_waits_without_spinning_and_recovers() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().hang())
        .start()
        .await;
    let folder = scratch(&[("config.toml", &Setup::over(&upstream).toml())]);
    let mut process = Process::start_after("ulimit -n 128", folder.path()).await;
    let warned = process.prelude.iter().any(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("the hard limit of open files is below twice `MAX_CONNECTIONS`")
    });
    // Each request takes two, one of its client and one of its upstream; the rest is taken by silence.
    let mut open = Vec::new();
    let body = hello().to_string();
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    for asking in [true; 50].into_iter().chain([false; 20]) {
        let mut client = TcpStream::connect(process.address()).await.unwrap();
        if asking {
            client.write_all(request.as_bytes()).await.unwrap();
        }
        open.push(client);
        if open.len() == 50 {
            within(upstream.wait_for_requests(50)).await;
        }
    }
    process.logged("connection not accepted").await;
    let (before, began) = (ticks(&process), Instant::now());

    // The kernel closes nothing by itself meanwhile.
    let early = tokio::time::timeout(Duration::from_secs(1), async {
        process.logged("connection not accepted").await;
    });

    assert!(early.await.is_err(), "a second line");
    assert!(warned, "{:?}", process.prelude);
    let spent = ticks(&process) - before;
    assert!(spent <= 25, "{spent} ticks in {:?}", began.elapsed());
    drop(open);
    upstream.set(Behaviour::echo());
    let mut client = Client::connect(process.address()).await;
    assert_eq!(within(client.send(get("/health/live"))).await.status, 200);
    assert_eq!(client.send(chat(hello().to_string())).await.status, 200);
}
