//! Collectors of traces that are slow, broken, encrypted or not there, and what becomes of requests.

use std::fs;
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use serde_json::Value;

use crate::support::{
    Client, Collector, Gateway, Process, Setup, chat, hello, hello_stream, scratch, within,
};

const CHAT: &str = "POST /v1/chat/completions";

/// A gateway over this provider that is traced.
fn traced(upstream: &Upstream, collector: &Collector) -> Gateway {
    Setup::over(upstream).more(&collector.telemetry()).start()
}

/// Returns the numbers of spans that are lost, as Prometheus sees them.
async fn lost(gateway: &Gateway) -> u64 {
    let page = gateway.get("/prometheus").await;
    let line = page
        .text()
        .lines()
        .find_map(|line| line.strip_prefix("telemetry_lost_total{output=\"traces\"} "));
    line.expect("a counter").parse().unwrap()
}

#[tokio::test]
async fn a_batch_that_is_not_taken_for_now_is_sent_again() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    collector.upstream().script([
        Behaviour::status(503),
        Behaviour::status(429).retry_after(Duration::from_secs(1)),
    ]);
    let gateway = traced(&upstream, &collector);

    gateway.chat(&hello()).await;

    within(collector.upstream().wait_for_requests(3)).await;
    let bodies: Vec<_> = collector
        .upstream()
        .requests()
        .into_iter()
        .map(|r| r.body)
        .collect();
    assert_eq!(bodies[0], bodies[2]);
    assert_eq!(lost(&gateway).await, 0);
}

#[tokio::test]
async fn what_a_collector_refuses_or_takes_in_part_is_counted() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    collector
        .upstream()
        .script([Behaviour::status(400), Collector::taking(1)]);
    let gateway = traced(&upstream, &collector);

    gateway.chat(&hello()).await;
    within(collector.upstream().wait_for_requests(1)).await;
    gateway.chat(&hello()).await;
    within(collector.upstream().wait_for_requests(2)).await;

    within(async { while lost(&gateway).await != 3 {} }).await;
}

#[tokio::test]
async fn a_collector_that_hangs_or_is_not_there_holds_nobody_up() {
    let upstream = Upstream::start().await;
    let hanging = Collector::start().await;
    hanging.upstream().set(Behaviour::echo().hang());
    let dead = "[telemetry]\notlp_endpoint = \"http://127.0.0.1:9\"\n".to_owned();

    for telemetry in [hanging.telemetry(), dead] {
        let mut gateway = Setup::over(&upstream).more(&telemetry).start();
        let answers = within(gateway.chat_often(50, &hello())).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        gateway.shut_down();
        // Nor does it hold up the end for long.
        gateway.stopped().await;
    }
}

#[tokio::test]
async fn what_is_traced_last_is_sent_before_the_process_ends() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let words = ["one ", "two ", "three "];
    upstream.set(Behaviour::text_stream(words, Duration::from_millis(20)));
    let mut gateway = traced(&upstream, &collector);
    let answer = gateway.stream(&hello_stream()).await;

    gateway.shut_down();
    answer.rest().await;
    gateway.stopped().await;

    assert_eq!(collector.received().len(), 2);
}

#[tokio::test]
async fn a_reload_begins_moves_and_ends_traces() {
    let (upstream, first) = (Upstream::start().await, Collector::start().await);
    let second = Collector::start().await;
    let setup = || Setup::over(&upstream).user("tags = [\"admin\"]");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, setup().toml()).unwrap();
    let mut gateway = Gateway::start_from(&path);

    gateway.chat(&hello()).await;
    for collector in [&first, &second] {
        fs::write(&path, setup().more(&collector.telemetry()).toml()).unwrap();
        assert_eq!(gateway.reload().await.status, 200);
        gateway.chat(&hello()).await;
        within(collector.upstream().wait_for_requests(1)).await;
    }
    fs::write(&path, setup().toml()).unwrap();
    assert_eq!(gateway.reload().await.status, 200);
    gateway.chat(&hello()).await;
    gateway.shut_down();
    gateway.stopped().await;

    for collector in [&first, &second] {
        let spans = collector.received();
        let chats = spans
            .iter()
            .filter(|traced| traced.span.name == CHAT)
            .count();
        assert_eq!(chats, 1);
    }
}

#[tokio::test]
async fn an_encrypted_collector_is_trusted_as_providers_are_and_the_log_names_the_trace() {
    let (upstream, collector) = (
        Upstream::start().await,
        Collector::over(Upstream::builder().tls()).await,
    );
    let toml = Setup::over(&upstream).more(&collector.telemetry()).toml();
    let ca = collector.upstream().ca_pem();
    let folder = scratch(&[("config.toml", &toml), ("ca.pem", ca)]);
    let environment = [("SSL_CERT_FILE", "ca.pem")];
    let mut process = Process::start(folder.path(), &[], &environment).await;
    let mut client = Client::connect(process.address()).await;

    client.send(chat(hello().to_string())).await;

    let line = process.logged_request().await;
    let spans = collector.spans(2).await;
    assert_eq!(line["fields"]["trace_id"], spans[0].ids().0, "{line}");
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_told_of_once_and_what_is_lost_at_the_end() {
    let upstream = Upstream::start().await;
    let telemetry = "[telemetry]\notlp_endpoint = \"http://127.0.0.1:9/otlp\"";
    let toml = Setup::over(&upstream).more(telemetry).toml();
    let folder = scratch(&[("config.toml", &toml)]);
    let mut process = Process::start(folder.path(), &[], &[]).await;
    let mut client = Client::connect(process.address()).await;
    client.send(chat(hello().to_string())).await;

    let told = process.logged("telemetry cannot be written").await;
    process.signal("TERM").await;
    let rest = process.rest().await;

    assert_eq!(told["fields"]["output"], "traces", "{told}");
    let cause = told["fields"]["cause"].as_str().unwrap();
    assert!(
        cause.starts_with("`http://127.0.0.1:9/otlp/v1/traces`: no connection"),
        "{cause}"
    );
    let again = |line: &String| line.contains("telemetry cannot be written");
    assert!(!rest.iter().any(again), "{rest:?}");
    let last = rest.iter().find(|line| line.contains("traces not sent"));
    let last: Value = serde_json::from_str(last.expect("a last word")).unwrap();
    assert_eq!(last["fields"]["spans"], 2);
}
