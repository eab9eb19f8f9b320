//! What a provider records: requests, connections, cancellations.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use http::{Method, Version};

use crate::support::{Client, chat, hello, hello_stream};

#[tokio::test]
async fn a_request_is_recorded_as_it_came() {
    let upstream = Upstream::start().await;
    let mut client = Client::connect(&upstream).await;

    client
        .send(
            "POST /v1/chat/completions?a=b",
            "x-c: d\r\n",
            &hello().to_string(),
        )
        .await;
    client.answer().await;

    let requests = upstream.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method, Method::POST);
    assert_eq!(requests[0].path_and_query, "/v1/chat/completions?a=b");
    assert_eq!(requests[0].version, Version::HTTP_11);
    assert_eq!(requests[0].headers["x-c"], "d");
    assert_eq!(requests[0].body, hello().to_string());
}

#[tokio::test]
async fn requests_on_one_connection_are_told_from_requests_on_many() {
    let upstream = Upstream::start().await;
    let mut client = Client::connect(&upstream).await;
    for _ in 0..3 {
        client.chat(&hello()).await;
        client.answer().await;
    }
    chat(&upstream, &hello()).await;
    upstream
        .wait_until(|tally| tally.open_connections == 1)
        .await;

    assert_eq!(upstream.request_count(), 4);
    assert_eq!(upstream.connection_count(), 2);
    assert_eq!(upstream.cancellation_count(), 0);
}

#[tokio::test]
async fn leaving_before_the_answer_is_a_cancellation() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().hang())
        .start()
        .await;
    let mut client = Client::connect(&upstream).await;
    client.chat(&hello()).await;
    upstream.wait_for_requests(1).await;

    drop(client);

    upstream.wait_for_cancellations(1).await;
    upstream
        .wait_until(|tally| tally.open_connections == 0)
        .await;
}

#[tokio::test]
async fn leaving_in_the_middle_of_a_stream_is_a_cancellation() {
    let behaviour = Behaviour::echo().chunk_interval(Duration::from_mins(1));
    let upstream = Upstream::builder().behaviour(behaviour).start().await;
    let mut client = Client::connect(&upstream).await;
    client.chat(&hello_stream()).await;
    client.some().await;

    drop(client);

    upstream.wait_for_cancellations(1).await;
}

#[tokio::test]
async fn leaving_a_stalled_stream_is_a_cancellation() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().hang_after(1))
        .start()
        .await;
    let mut client = Client::connect(&upstream).await;
    client.chat(&hello_stream()).await;
    client.some().await;

    drop(client);

    upstream.wait_for_cancellations(1).await;
}

#[tokio::test]
async fn a_connection_that_the_provider_breaks_is_no_cancellation() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().reset_after(50))
        .start()
        .await;
    let mut client = Client::connect(&upstream).await;
    client.chat(&hello_stream()).await;

    assert!(client.rest().await.result.is_err());

    upstream
        .wait_until(|tally| tally.open_connections == 0)
        .await;
    assert_eq!(upstream.cancellation_count(), 0);
}
