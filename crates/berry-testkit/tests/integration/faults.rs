//! Each fault, as a client sees it on the wire.

use std::io::ErrorKind;
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::{Client, Ending, chat, chat_to_end, hello};

/// Long enough to tell silence from slowness.
const SILENCE: Duration = Duration::from_millis(100);

async fn ending_of(behaviour: Behaviour) -> Ending {
    let upstream = Upstream::builder().behaviour(behaviour).start().await;
    chat_to_end(&upstream).await
}

fn is_reset(ending: &Ending) -> bool {
    ending
        .result
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn a_reset_comes_before_any_byte() {
    let ending = ending_of(Behaviour::echo().reset()).await;

    assert!(is_reset(&ending), "{:?}", ending.result);
    assert!(ending.bytes.is_empty());
}

#[tokio::test]
async fn a_reset_comes_after_exactly_the_bytes_asked_for() {
    for bytes in [1, 100, 300] {
        let ending = ending_of(Behaviour::echo().reset_after(bytes)).await;

        assert!(is_reset(&ending), "{:?}", ending.result);
        assert_eq!(ending.bytes.len(), bytes);
    }
}

#[tokio::test]
async fn a_reset_hits_the_middle_of_a_stream() {
    let stream = Behaviour::text_stream(["a", "b", "c"], Duration::from_millis(1));

    let ending = ending_of(stream.reset_after(700)).await;

    assert!(is_reset(&ending), "{:?}", ending.result);
    assert_eq!(ending.bytes.len(), 700);
}

#[tokio::test]
async fn a_truncated_answer_ends_in_order_after_exactly_the_bytes_asked_for() {
    for bytes in [0, 1, 300] {
        let ending = ending_of(Behaviour::echo().truncate_after(bytes)).await;

        assert!(ending.result.is_ok(), "{:?}", ending.result);
        assert_eq!(ending.bytes.len(), bytes);
    }
}

#[tokio::test]
async fn a_fault_spares_the_requests_before_and_after_it() {
    let upstream = Upstream::start().await;
    upstream.script([Behaviour::echo(), Behaviour::echo().reset()]);
    let mut client = Client::connect(&upstream).await;

    client.chat(&hello()).await;
    let before = client.answer().await.status();
    client.chat(&hello()).await;
    let reset = client.rest().await;
    let after = chat(&upstream, &hello()).await.status();

    assert_eq!((before, after), (200, 200));
    assert!(is_reset(&reset));
}

#[tokio::test]
async fn a_fault_beyond_an_answers_end_does_not_reach_the_next_answer() {
    let upstream = Upstream::start().await;
    upstream.script([Behaviour::echo().reset_after(100_000)]);
    let mut client = Client::connect(&upstream).await;

    for _ in 0..300 {
        client.chat(&hello()).await;
        assert_eq!(client.answer().await.status(), 200);
    }
}

#[tokio::test]
async fn garbage_is_not_http() {
    let ending = ending_of(Behaviour::garbage()).await;

    assert!(ending.result.is_ok(), "{:?}", ending.result);
    assert!(ending.bytes.starts_with(b"\x00\x01 this is not HTTP"));
    assert!(!String::from_utf8_lossy(&ending.bytes).contains("HTTP/1.1"));
}

#[tokio::test]
async fn a_hanging_provider_never_answers() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().hang())
        .start()
        .await;
    let mut client = Client::connect(&upstream).await;
    client.chat(&hello()).await;

    assert!(timeout(SILENCE, client.some()).await.is_err());
    assert_eq!(upstream.request_count(), 1);
}

#[tokio::test]
async fn a_stalled_stream_stays_open_and_silent_after_its_chunks() {
    let stream = Behaviour::stream(
        ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"],
        Duration::ZERO,
    );
    let upstream = Upstream::builder()
        .behaviour(stream.hang_after(2))
        .start()
        .await;
    let mut client = Client::connect(&upstream).await;
    client.chat(&hello()).await;

    let mut bytes = Vec::new();
    while let Ok(more) = timeout(SILENCE, client.some()).await {
        assert!(!more.is_empty(), "the stream ended");
        bytes.extend(more);
    }

    let text = String::from_utf8(bytes).unwrap();
    assert!(
        text.contains("data: 2") && !text.contains("data: 3"),
        "{text}"
    );
}

#[tokio::test]
async fn a_delay_comes_before_the_head() {
    let delay = Duration::from_millis(80);
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().delay(delay))
        .start()
        .await;
    let start = Instant::now();

    chat(&upstream, &hello()).await;

    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn a_reset_rate_of_one_resets_every_connection() {
    for _ in 0..3 {
        assert!(is_reset(
            &ending_of(Behaviour::echo().reset_rate(1.0)).await
        ));
    }
}

#[tokio::test]
async fn a_stopped_provider_refuses_connections_and_can_return_to_its_address() {
    let upstream = Upstream::start().await;
    let address = upstream.address();
    let mut client = Client::connect(&upstream).await;
    client.chat(&hello()).await;
    client.answer().await;

    upstream.stop().await;
    let idle = client.rest().await;
    let refused = TcpStream::connect(address).await;
    let returned = Upstream::builder().listen(address).unwrap();

    assert!(idle.result.is_ok() && idle.bytes.is_empty());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(chat(&returned, &hello()).await.status(), 200);
}
