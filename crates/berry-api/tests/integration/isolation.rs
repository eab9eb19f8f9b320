//! A slow provider costs the others nothing, and a slow client costs little memory.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    Client, Gateway, Process, Setup, Streaming, chat, get, hello, hello_stream, scratch, within,
};

/// Returns a stream that begins and does not end.
fn stalled() -> Behaviour {
    Behaviour::text_stream(["one ", "two "], Duration::ZERO).hang_after(2)
}

async fn upstream(name: &str, behaviour: Behaviour) -> Upstream {
    Upstream::builder()
        .name(name)
        .behaviour(behaviour)
        .start()
        .await
}

async fn fill(gateway: &Gateway, count: usize) -> Vec<Streaming> {
    let mut open = Vec::new();
    for _ in 0..count {
        open.push(gateway.stream(&hello_stream()).await);
    }
    open
}

#[tokio::test]
async fn what_a_provider_may_not_take_any_more_goes_to_another() {
    let busy = upstream("busy", stalled()).await;
    let spare = upstream("spare", Behaviour::echo()).await;
    let gateway = Setup::new()
        .provider("busy", &busy)
        .option("max_concurrent_requests = 2")
        .provider("spare", &spare)
        .start();
    let open = fill(&gateway, 2).await;

    let answer = gateway.chat(&hello()).await;

    assert_eq!((answer.status, busy.request_count()), (200, 2));
    assert_eq!(spare.request_count(), 1);
    assert_eq!(gateway.backends().await, (2, 2));
    drop(open);
}

#[tokio::test]
async fn where_there_is_no_other_the_client_is_told_to_come_back() {
    let busy = upstream("busy", stalled()).await;
    let gateway = Setup::over(&busy)
        .option("max_concurrent_requests = 1")
        .start();
    let open = fill(&gateway, 1).await;

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.error(), "503 server_error/no_available_backend");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(busy.request_count(), 1);
    assert_eq!(gateway.backends().await, (1, 1));
    drop(open);
}

#[tokio::test]
async fn a_place_that_gets_free_is_for_the_one_who_waits() {
    let busy = upstream("busy", stalled()).await;
    let gateway = Setup::over(&busy)
        .option("max_concurrent_requests = 1")
        .start();
    let open = fill(&gateway, 1).await;
    let mut client = gateway.connect().await;
    busy.set(Behaviour::echo());

    let (answer, ()) = tokio::join!(client.send(chat(hello().to_string())), async {
        // By then it waits, as a rule; it must be answered in either order.
        while gateway.get("/metrics").await.text().is_empty() {}
        drop(open);
    });

    assert_eq!(answer.status, 200);
    assert_eq!(busy.request_count(), 2);
}

#[tokio::test]
async fn every_end_of_an_answer_gives_its_place_back() {
    let provider = upstream("only", Behaviour::echo()).await;
    let gateway = Setup::over(&provider)
        .option("max_concurrent_requests = 1")
        .settings("max_retries = 0\ncircuit_breaker_failure_threshold = 1000")
        .start();
    let ends = [
        Behaviour::echo(),
        Behaviour::status(400),
        Behaviour::status(500),
        Behaviour::echo().reset(),
        Behaviour::echo().truncate_after(200),
        stalled().error_event_after(1),
    ];

    for (index, end) in ends.into_iter().enumerate() {
        provider.set(end);
        gateway.chat(&hello()).await;
        let stream = gateway.stream(&hello_stream()).await;
        let _ending = stream.rest_and_ending().await;
        provider.set(Behaviour::echo());
        assert_eq!(gateway.chat(&hello()).await.status, 200, "end {index}");
    }
}

#[tokio::test]
async fn requests_that_hang_on_one_provider_do_not_hold_up_another() {
    let hung = upstream("hung", Behaviour::echo().hang()).await;
    let well = upstream("well", Behaviour::echo()).await;
    let gateway = Setup::over(&hung)
        .option("max_concurrent_requests = 300")
        .more(&format!(
            "[providers.well]\nbase_url = \"{}\"\napi_key = \"k\"\nproxy_url = \"none\"\n\
             [models.other]\nname = \"other\"\n[[models.other.backends]]\nprovider = \"well\"\nmodel = \"m\"",
            well.url()
        ))
        .start();
    let mut hanging = JoinSet::new();
    for _ in 0..300 {
        let mut client = gateway.connect().await;
        hanging.spawn(async move { client.exchange(chat(hello().to_string())).await.is_ok() });
    }
    within(hung.wait_for_requests(300)).await;

    // What they cost it is a figure of docs/reliability.md.
    let body = json!({"model": "other", "messages": [{"role": "user", "content": "hello"}]});
    let mut client = gateway.connect().await;
    for _ in 0..100 {
        let answer = within(client.send(chat(body.to_string()))).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!((hung.request_count(), well.request_count()), (300, 100));
}

/// What the process keeps in memory, in KiB.
fn resident(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_upstream_and_costs_little() {
    // So many that what the allocator keeps for all of them is little for each.
    const STREAMS: usize = 100;
    let event = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "x".repeat(16_000)
    );
    // 2 MiB each, if anybody took them: far more than sockets hold whose end takes little.
    let endless = Behaviour::stream(vec![event; 128], Duration::ZERO);
    let upstreams = [
        (
            Upstream::builder().behaviour(endless.clone()).start().await,
            "http1",
        ),
        (Upstream::builder().behaviour(endless).start().await, "h2c"),
    ];
    for (upstream, version) in upstreams {
        let setup = Setup::over(&upstream).option(&format!("http_version = \"{version}\""));
        let folder = scratch(&[("config.toml", &setup.toml())]);
        let process = Process::start(folder.path(), &[], &[]).await;
        let mut warm = Client::connect(process.address()).await;
        warm.send(get("/health/live")).await;
        let before = resident(&process);

        let mut unread = Vec::new();
        for _ in 0..STREAMS {
            let client = Client::connect_narrow(process.address()).await;
            unread.push(client.open(chat(hello_stream().to_string())).await);
        }
        // Nothing more is taken from the upstream once memory stops growing.
        let mut after = resident(&process);
        loop {
            for _ in 0..20 {
                warm.send(get("/health/live")).await;
            }
            let now = resident(&process);
            if now <= after {
                break;
            }
            after = now;
        }

        let each = (after - before) / STREAMS;
        assert!(each <= 256, "{each} KiB a stream over {version}");
        drop(unread);
    }
}
