//! Connections to upstreams: reuse, TLS, HTTP versions, proxies.

use std::time::Duration;

use berry_testkit::{Behaviour, Builder, Upstream};
use http::Version;
use serde_json::json;
use tempfile::TempDir;
use tokio::time;

use crate::support::{
    Client, Gateway, Process, Proxy, Setup, Wire, chat, hello, hello_stream, scratch,
};

/// A gateway over a TLS upstream whose authority it trusts through a file. The file is read when
/// the gateway starts.
async fn over_tls(builder: Builder, options: &str) -> (Gateway, Upstream, TempDir) {
    let upstream = builder.tls().start().await;
    let folder = scratch(&[("ca.pem", upstream.ca_pem())]);
    let file = folder.path().join("ca.pem");
    let gateway = Setup::over(&upstream)
        .option(&format!("ca_file = \"{}\"\n{options}", file.display()))
        .start();
    (gateway, upstream, folder)
}

/// Expects a whole answer and a stream.
async fn answers(gateway: &Gateway) {
    assert_eq!(gateway.chat(&hello()).await.status, 200);
    let seen = gateway.stream(&hello_stream()).await.rest().await;
    assert!(seen.ends_with("data: [DONE]\n\n"), "{seen}");
}

fn versions(upstream: &Upstream) -> Vec<Version> {
    let requests = upstream.requests();
    requests.iter().map(|request| request.version).collect()
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    const REQUESTS: usize = 2_000;
    let upstream = Upstream::builder().count_only().start().await;
    let gateway = Setup::over(&upstream).start();

    let answers = gateway.chat_often(REQUESTS, &hello()).await;

    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(upstream.request_count(), REQUESTS);
    assert!(
        upstream.connection_count() <= 4,
        "{}",
        upstream.connection_count()
    );
}

#[tokio::test]
async fn streams_give_their_connections_back() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();

    for _ in 0..100 {
        gateway.stream(&hello_stream()).await.rest().await;
    }

    assert!(
        upstream.connection_count() <= 4,
        "{}",
        upstream.connection_count()
    );
}

#[tokio::test]
async fn a_refused_request_gives_its_connection_back() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::status(400))
        .start()
        .await;
    let gateway = Setup::over(&upstream).start();

    gateway.chat_often(50, &hello()).await;

    assert!(
        upstream.connection_count() <= 4,
        "{}",
        upstream.connection_count()
    );
}

#[tokio::test]
async fn a_stale_connection_is_neither_an_attempt_nor_a_failure() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .settings("max_retries = 0\ncircuit_breaker_failure_threshold = 1")
        .start();

    for stale in [
        Behaviour::echo().reset(),
        Behaviour::echo().truncate_after(0),
    ] {
        assert_eq!(gateway.chat(&hello()).await.status, 200);
        upstream.script([stale]);
        for body in [hello(), hello_stream()] {
            assert_eq!(gateway.chat(&body).await.status, 200);
        }
    }

    assert_eq!(gateway.backends().await, (1, 1));
    // The stale ones were sent again, on a fresh connection each.
    assert_eq!(upstream.request_count(), 8);
    assert_eq!(upstream.connection_count(), 3);
}

#[tokio::test]
async fn a_reset_after_answer_bytes_is_a_failure_on_a_reused_connection_too() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .settings("max_retries = 0\ncircuit_breaker_failure_threshold = 1")
        .start();
    assert_eq!(gateway.chat(&hello()).await.status, 200);
    upstream.script([Behaviour::echo().reset_after(30)]);

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.error(), "502 server_error/upstream_error");
    assert_eq!(upstream.request_count(), 2);
}

#[tokio::test]
async fn unused_connections_are_closed_in_time() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .settings("upstream_idle_timeout_seconds = 1")
        .start();

    gateway.chat(&hello()).await;

    assert_eq!(upstream.open_connections(), 1);
    upstream
        .wait_until(|tally| tally.open_connections == 0)
        .await;
}

#[tokio::test]
async fn a_connection_of_ten_minutes_gets_no_further_request() {
    for (builder, version) in [
        (Upstream::builder(), "http1"),
        (Upstream::builder().h2c_only(), "h2c"),
    ] {
        let upstream = builder.start().await;
        let gateway = Setup::over(&upstream)
            .option(&format!("http_version = \"{version}\""))
            .settings("upstream_idle_timeout_seconds = 3600")
            .start();
        answers(&gateway).await;
        assert_eq!(upstream.connection_count(), 1, "{version}");

        time::pause();
        time::advance(Duration::from_mins(10)).await;
        time::resume();
        answers(&gateway).await;

        assert_eq!(upstream.connection_count(), 2, "{version}");
    }
}

#[tokio::test]
async fn an_https_upstream_is_trusted_through_its_ca_file_and_speaks_http2() {
    let (gateway, upstream, _folder) = over_tls(Upstream::builder(), "").await;

    answers(&gateway).await;

    assert_eq!(versions(&upstream), [Version::HTTP_2; 2]);
    assert_eq!(upstream.connection_count(), 1);
}

#[tokio::test]
async fn an_https_upstream_without_http2_speaks_http1() {
    let (gateway, upstream, _folder) = over_tls(Upstream::builder().http1_only(), "").await;

    answers(&gateway).await;

    assert_eq!(versions(&upstream), [Version::HTTP_11; 2]);
    assert_eq!(upstream.connection_count(), 1);
}

#[tokio::test]
async fn http1_can_be_demanded_of_an_https_upstream() {
    let (gateway, upstream, _folder) =
        over_tls(Upstream::builder(), "http_version = \"http1\"").await;

    answers(&gateway).await;

    assert_eq!(versions(&upstream), [Version::HTTP_11; 2]);
}

#[tokio::test]
async fn an_https_upstream_is_trusted_where_the_system_trusts_it() {
    let upstream = Upstream::builder().tls().start().await;
    let setup = Setup::over(&upstream).toml();
    let folder = scratch(&[("ca.pem", upstream.ca_pem()), ("config.toml", &setup)]);
    let system = [("SSL_CERT_FILE", "ca.pem")];
    let process = Process::start(folder.path(), &[], &system).await;

    let mut client = Client::connect(process.address()).await;
    let answer = client.send(chat(hello().to_string())).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(upstream.request_count(), 1);
}

#[tokio::test]
async fn an_https_upstream_that_nobody_vouches_for_gets_no_request() {
    let upstream = Upstream::builder().tls().start().await;
    let gateway = Setup::over(&upstream).settings("max_retries = 0").start();

    let answer = gateway.chat(&hello()).await;

    assert_eq!(answer.error(), "502 server_error/upstream_error");
    assert_eq!(upstream.request_count(), 0);
}

#[tokio::test]
async fn an_upstream_may_speak_http2_in_clear_text() {
    let upstream = Upstream::builder().h2c_only().start().await;
    let gateway = Setup::over(&upstream)
        .option("http_version = \"h2c\"")
        .start();

    answers(&gateway).await;

    assert_eq!(versions(&upstream), [Version::HTTP_2; 2]);
    assert_eq!(upstream.connection_count(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_an_http2_upstream_cancels_one_stream_only() {
    let upstream = Upstream::builder().h2c_only().start().await;
    let gateway = Setup::over(&upstream)
        .option("http_version = \"h2c\"")
        .start();
    let stalled = Behaviour::text_stream(["a ", "b "], Duration::ZERO).hang_after(2);
    upstream.script([stalled.clone(), stalled]);
    let mut first = gateway.stream(&hello_stream()).await;
    let mut second = gateway.stream(&hello_stream()).await;
    first.event().await;
    second.event().await;

    drop(first);

    upstream.wait_for_cancellations(1).await;
    answers(&gateway).await;
    assert_eq!(upstream.connection_count(), 1);
    assert_eq!(upstream.cancellation_count(), 1);
}

#[tokio::test]
async fn an_http2_connection_that_breaks_is_a_failure_like_any_other() {
    let first = Upstream::builder().h2c_only().start().await;
    let second = Upstream::start().await;
    let gateway = Setup::new()
        .provider("first", &first)
        .option("http_version = \"h2c\"")
        .provider("second", &second)
        .start();
    answers(&gateway).await;

    // Once on the connection in use, once on the fresh one.
    let reset = Behaviour::echo().reset();
    first.script([reset.clone(), reset]);
    answers(&gateway).await;
    let words = ["a ", "b "];
    let broken = Behaviour::text_stream(words, Duration::from_millis(100)).reset_after(500);
    first.script([broken]);
    let seen = gateway.stream(&hello_stream()).await.rest().await;

    assert_eq!(second.request_count(), 1);
    assert!(seen.contains("\"a \""), "{seen}");
    assert!(seen.contains("\"code\":\"upstream_error\""), "{seen}");
    assert!(!seen.contains("[DONE]"), "{seen}");
}

#[tokio::test]
async fn an_http2_connection_that_falls_silent_is_not_used_again() {
    let upstream = Upstream::builder().h2c_only().start().await;
    let wire = Wire::to(upstream.address()).await;
    let gateway = Setup::new()
        .provider_at("only", &format!("http://{}/v1", wire.address()))
        .option("http_version = \"h2c\"\ntimeout_seconds = 1")
        .settings("max_retries = 0")
        .start();
    answers(&gateway).await;

    wire.fall_silent();
    let lost = gateway.chat(&hello()).await;

    assert_eq!(lost.error(), "504 server_error/upstream_timeout");
    answers(&gateway).await;
    assert_eq!(upstream.connection_count(), 2);
}

#[tokio::test]
async fn a_clear_text_upstream_is_reached_through_a_forwarding_proxy() {
    let (proxy, upstream) = (Proxy::start().await, Upstream::start().await);
    let gateway = Setup::over(&upstream)
        .option(&format!(
            "proxy_url = \"http://ann:secret@{}\"",
            proxy.address()
        ))
        .start();

    answers(&gateway).await;

    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    let line = format!("POST {}/chat/completions HTTP/1.1\r\n", upstream.url());
    assert!(heads[0].starts_with(&line), "{}", heads[0]);
    assert!(
        heads[0].contains("proxy-authorization: Basic YW5uOnNlY3JldA=="),
        "{}",
        heads[0]
    );
    assert!(
        heads[0].contains(&format!("host: {}\r\n", upstream.address())),
        "{}",
        heads[0]
    );
}

#[tokio::test]
async fn what_an_upstream_quotes_of_its_proxy_is_hidden() {
    let proxy = Proxy::start().await;
    let secrets = ["ann:proxy-secret", "YW5uOnByb3h5LXNlY3JldA"];
    let quoted = format!("{secrets:?} came by {}", proxy.address());
    let refusal = Behaviour::json(json!({"error": {"message": quoted}})).with_status(400);
    let upstream = Upstream::start().await;
    upstream.set(refusal.header("x-request-id", secrets[1]));
    let gateway = Setup::over(&upstream)
        .option(&format!(
            "proxy_url = \"http://{}@{}\"",
            secrets[0],
            proxy.address()
        ))
        .start();

    let answer = gateway.chat(&hello()).await;

    assert_eq!(proxy.heads().len(), 1);
    assert_eq!(answer.header("x-upstream-request-id"), Some("***"));
    assert_eq!(
        answer.json()["error"]["message"],
        r#"["***", "***"] came by ***"#
    );
}

#[tokio::test]
async fn an_https_upstream_is_reached_through_a_tunnel() {
    let proxy = Proxy::start().await;
    let options = format!("proxy_url = \"http://{}\"", proxy.address());
    let (gateway, upstream, _folder) = over_tls(Upstream::builder(), &options).await;

    answers(&gateway).await;

    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    let line = format!("CONNECT {} HTTP/1.1\r\n", upstream.address());
    assert!(heads[0].starts_with(&line), "{}", heads[0]);
    assert!(
        !heads[0].to_lowercase().contains("key-of-only"),
        "{}",
        heads[0]
    );
    assert_eq!(versions(&upstream), [Version::HTTP_2; 2]);
}

#[tokio::test]
async fn a_proxy_that_is_gone_is_a_failure_of_its_provider() {
    let second = Upstream::start().await;
    let gateway = Setup::new()
        .provider_at("first", "http://192.0.2.1/v1")
        .option("proxy_url = \"http://127.0.0.1:1\"")
        .provider("second", &second)
        .start();

    assert_eq!(gateway.chat(&hello()).await.status, 200);
}
