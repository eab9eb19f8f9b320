//! Streams: their writes, their pace, their ends, a thousand at once.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Client, chat, hello, hello_stream};

#[tokio::test]
async fn every_chunk_is_a_write_of_its_own() {
    let pieces = ["data: {\"a\"", ":1}\n", "\ndata: [DONE]\n\n"];
    let stream = Behaviour::stream(pieces, Duration::from_millis(200));
    let upstream = Upstream::builder().behaviour(stream).start().await;
    let mut client = Client::connect(&upstream).await;
    client.chat(&hello()).await;

    let first = String::from_utf8(client.some().await).unwrap();
    let second = client.some().await;

    assert!(
        first.ends_with("\r\n\r\nA\r\ndata: {\"a\"\r\n"),
        "{first:?}"
    );
    assert_eq!(second, b"4\r\n:1}\n\r\n");
}

#[tokio::test]
async fn chunks_without_an_interval_keep_their_boundaries() {
    let stream = Behaviour::stream(vec!["data: x\n\n"; 5], Duration::ZERO);
    let upstream = Upstream::builder().behaviour(stream).start().await;
    let mut client = Client::connect(&upstream).await;
    client.chat(&hello()).await;

    let framed = client.framed_answer().await;

    assert_eq!(framed, "9\r\ndata: x\n\n\r\n".repeat(5) + "0\r\n\r\n");
}

#[tokio::test]
async fn a_chunk_is_never_ahead_of_its_pace() {
    let interval = Duration::from_millis(5);
    let stream = Behaviour::text_stream(vec!["word "; 60], interval);
    let upstream = Upstream::builder().behaviour(stream).start().await;
    let start = Instant::now();

    let (events, done) = chat(&upstream, &hello()).await.events();

    let due = interval * u32::try_from(events.len()).unwrap();
    assert!(done);
    assert_eq!(events.len(), 62);
    assert!(
        start.elapsed() >= due,
        "{:?} is ahead of {due:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn an_echo_can_have_a_fixed_number_of_pieces() {
    let behaviour = Behaviour::echo().chunks(9);
    let upstream = Upstream::builder().behaviour(behaviour).start().await;

    let (events, _) = chat(&upstream, &hello_stream()).await.events();

    let pieces = events.iter().filter(|event| {
        event["choices"][0]["delta"]["content"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    });
    assert_eq!(pieces.count(), 9);
}

#[tokio::test]
async fn a_stream_can_end_without_done() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().without_done())
        .start()
        .await;

    let (events, done) = chat(&upstream, &hello_stream()).await.events();

    assert!(!done);
    assert_eq!(
        events.last().unwrap()["choices"][0]["finish_reason"],
        "stop"
    );
}

#[tokio::test]
async fn an_error_event_ends_a_stream() {
    let behaviour = Behaviour::echo().error_event_after(2);
    let upstream = Upstream::builder().behaviour(behaviour).start().await;

    let (events, done) = chat(&upstream, &hello_stream()).await.events();

    assert!(!done);
    assert_eq!(events.len(), 3);
    assert_eq!(events[2]["error"]["type"], "server_error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_paced_streams_at_once_are_no_strain() {
    let behaviour = Behaviour::echo()
        .chunks(64)
        .chunk_interval(Duration::from_millis(20));
    let upstream = Upstream::builder()
        .behaviour(behaviour)
        .count_only()
        .start()
        .await;

    let mut streams = JoinSet::new();
    for _ in 0..1000 {
        let mut client = Client::connect(&upstream).await;
        streams.spawn(async move {
            client.chat(&hello_stream()).await;
            client.answer().await.events()
        });
    }
    let answers = streams.join_all().await;

    assert!(
        answers
            .iter()
            .all(|(events, done)| *done && events.len() == 66)
    );
    assert_eq!(upstream.request_count(), 1000);
    assert_eq!(upstream.cancellation_count(), 0);
    assert!(upstream.requests().is_empty());
}
