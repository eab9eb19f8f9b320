//! How requests share connections of HTTP/2: as few as carry them, and none waits for another's end.

use std::time::Duration;

use berry_testkit::{Behaviour, Builder, Upstream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::support::frames::{END_STREAM, MAX_STREAMS, data, head, settings};
use crate::support::{
    Answer, CLOAKS, END, EVENT, Gateway, JSON, Stage, Step, Streaming, chat, hello, hello_stream,
    within,
};

/// A provider whose streams say two words and then nothing more.
fn stalling() -> Builder {
    let stalled = Behaviour::text_stream(["a ", "b "], Duration::ZERO).hang_after(2);
    Upstream::builder().behaviour(stalled).h2c_only()
}

/// Opens so many streams at once, each from a connection of its own, and reads an event of each.
async fn streams(gateway: &Gateway, count: usize) -> Vec<Streaming> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let client = gateway.connect().await;
        clients.spawn(async move {
            let mut stream = client.open(chat(hello_stream().to_string())).await;
            stream.event().await;
            stream
        });
    }
    within(clients.join_all()).await
}

/// Asks for so many whole answers at once, each from a connection of its own.
async fn begin(gateway: &Gateway, count: usize) -> JoinSet<Answer> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let mut client = gateway.connect().await;
        clients.spawn(async move { client.send(chat(hello().to_string())).await });
    }
    clients
}

#[tokio::test]
async fn a_cold_burst_opens_as_many_connections_as_carry_it() {
    // As many as the upstream allows, but 80 at most.
    for (allowed, burst, connections) in [(100, 60, 1), (200, 150, 2), (10, 60, 6), (1, 60, 60)] {
        for cloak in CLOAKS {
            let upstream = stalling().streams(allowed).start().await;
            let stage = Stage::before(&upstream, cloak, Vec::new()).await;
            let gateway = stage.setup().start();

            let open = streams(&gateway, burst).await;

            assert_eq!(open.len(), burst);
            let opened = stage.connection_count();
            assert_eq!(opened, connections, "{allowed} streams, {cloak:?}");
        }
    }
}

#[tokio::test]
async fn a_burst_survives_that_the_first_connection_dies_while_it_opens() {
    for cloak in CLOAKS {
        let upstream = stalling().streams(10).start().await;
        let stage = Stage::before(&upstream, cloak, vec![Vec::new()]).await;
        let gateway = stage.setup().start();

        let open = streams(&gateway, 60).await;

        assert_eq!(open.len(), 60);
        assert_eq!(upstream.request_count(), 60, "{cloak:?}");
        assert_eq!(stage.connection_count(), 1 + 6, "{cloak:?}");
    }
}

#[tokio::test]
async fn a_connection_that_does_not_open_holds_up_its_own_request_only() {
    for cloak in CLOAKS {
        let upstream = Upstream::builder().h2c_only().start().await;
        // It takes what is sent, and never says what it is.
        let stage = Stage::before(&upstream, cloak, vec![vec![Step::Hold]]).await;
        let gateway = stage.setup().start();
        let mut answers = begin(&gateway, 20).await;

        for _ in 0..19 {
            let answer = within(answers.join_next()).await.unwrap().unwrap();
            assert_eq!(answer.status, 200, "{cloak:?}: {}", answer.text());
        }

        assert_eq!(stage.connection_count(), 2, "{cloak:?}");
    }
}

#[tokio::test]
async fn a_limit_that_is_lowered_holds_for_new_streams_and_leaves_the_others() {
    for cloak in CLOAKS {
        let upstream = Upstream::builder().h2c_only().start().await;
        let (finish, finished) = oneshot::channel();
        let numbers = [1, 3, 5];
        let begun = numbers.map(|n| [head(n, "text/event-stream"), data(n, EVENT, 0)].concat());
        let ends = numbers.map(|n| data(n, END, END_STREAM));
        let play = vec![
            Step::Say(settings(&[(MAX_STREAMS, 100)])),
            Step::Request,
            Step::Request,
            Step::Request,
            Step::Say(settings(&[(MAX_STREAMS, 1)])),
            Step::Say(begun.concat()),
            Step::When(finished),
            Step::Say(ends.concat()),
            Step::Hold,
        ];
        let stage = Stage::before(&upstream, cloak, vec![play]).await;
        let gateway = stage.setup().start();
        let open = streams(&gateway, 3).await;
        assert_eq!(stage.connection_count(), 1, "{cloak:?}");

        let answer = within(gateway.chat(&hello())).await;

        assert_eq!(answer.status, 200, "{cloak:?}: {}", answer.text());
        assert_eq!(upstream.request_count(), 1, "{cloak:?}");
        finish.send(()).unwrap();
        for stream in open {
            let seen = within(stream.rest()).await;
            assert!(seen.ends_with("data: [DONE]\n\n"), "{cloak:?}: {seen}");
        }
    }
}

#[tokio::test]
async fn a_limit_that_is_lowered_holds_for_connections_that_are_opened() {
    const OTHERS: usize = 4;
    let whole = [head(1, "application/json"), data(1, JSON, END_STREAM)].concat();
    for cloak in CLOAKS {
        let upstream = Upstream::builder().h2c_only().start().await;
        let begun = [head(1, "text/event-stream"), data(1, EVENT, 0)].concat();
        let mut plays = vec![vec![
            Step::Say(settings(&[(MAX_STREAMS, 100)])),
            Step::Request,
            Step::Say(settings(&[(MAX_STREAMS, 1)])),
            Step::Say(begun),
            Step::Hold,
        ]];
        for _ in 0..OTHERS {
            plays.push(vec![
                // None is open before all are on their way.
                Step::Connections(1 + OTHERS),
                Step::Say(settings(&[(MAX_STREAMS, 100)])),
                Step::Request,
                Step::Say(whole.clone()),
                Step::Hold,
            ]);
        }
        let stage = Stage::before(&upstream, cloak, plays).await;
        let gateway = stage
            .setup()
            .settings("max_retries = 0\nconnect_timeout_seconds = 2")
            .start();
        let _open = streams(&gateway, 1).await;

        let answers = within(begin(&gateway, OTHERS).await.join_all()).await;

        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; OTHERS], "{cloak:?}");
        assert_eq!(stage.connection_count(), 1 + OTHERS, "{cloak:?}");
    }
}
