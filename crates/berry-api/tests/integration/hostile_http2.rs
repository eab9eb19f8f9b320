//! What an upstream may do with HTTP/2 before and while it answers.
//!
//! The first connections are played frame by frame; those behind them reach an upstream that is well.

use std::net::SocketAddr;

use berry_testkit::Upstream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, GO_AWAY, HEADERS, RESET, SETTINGS, frame,
};
use crate::support::{Gateway, Setup, Then, hello, hello_stream, within};

const JSON: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"played"},"finish_reason":"stop"}]}"#;
const EVENT: &str = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"played\"},\"finish_reason\":null}]}\n\n";
const END: &str = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

// Codes of errors (RFC 9113, 7).
const NO_ERROR: u8 = 0;
const INTERNAL: u8 = 2;
const REFUSED: u8 = 7;
const CALM: u8 = 11;

/// The highest number of a stream.
const ALL: u32 = u32::MAX >> 1;

/// What each of the first connections answers to its first request, which is its stream 1.
struct Stage {
    address: SocketAddr,
    _running: JoinSet<()>,
}

impl Stage {
    async fn over(upstream: &Upstream, plays: Vec<(Vec<u8>, Then)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let target = upstream.address();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let (mut plays, mut connections) = (plays.into_iter(), JoinSet::new());
            while let Ok((client, _)) = listener.accept().await {
                match plays.next() {
                    Some((bytes, then)) => connections.spawn(play(client, bytes, then)),
                    None => connections.spawn(pass(client, target)),
                };
            }
        });
        Self {
            address,
            _running: running,
        }
    }

    /// A gateway that asks it, and where its first failure would be its last.
    fn gateway(&self) -> Gateway {
        Setup::new()
            .provider_at("only", &format!("http://{}/v1", self.address))
            .option("http_version = \"h2c\"")
            .settings("max_retries = 0\ncircuit_breaker_failure_threshold = 1")
            .start()
    }
}

async fn pass(mut client: TcpStream, target: SocketAddr) {
    let mut upstream = TcpStream::connect(target).await.expect("the target");
    let _ = copy_bidirectional(&mut client, &mut upstream).await;
}

async fn play(mut client: TcpStream, bytes: Vec<u8>, then: Then) {
    let mut preface = [0; 24];
    client.read_exact(&mut preface).await.expect("a preface");
    client.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    // Up to the request's last frame.
    loop {
        let mut head = [0; 9];
        client.read_exact(&mut head).await.expect("a frame");
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        client.read_exact(&mut vec![0; length]).await.unwrap();
        if [DATA, HEADERS].contains(&head[3]) && head[4] & END_STREAM != 0 {
            break;
        }
    }
    client.write_all(&bytes).await.unwrap();
    if then == Then::Hold {
        let _ = client.read_to_end(&mut Vec::new()).await;
    }
}

fn go_away(last: u32, code: u8) -> Vec<u8> {
    let payload = [&last.to_be_bytes()[..], &[0, 0, 0, code]].concat();
    frame(GO_AWAY, 0, 0, &payload)
}

fn reset(code: u8) -> Vec<u8> {
    frame(RESET, 0, 1, &[0, 0, 0, code])
}

/// A head of status 200 with this content type, which HPACK leaves in clear.
fn head(content_type: &str) -> Vec<u8> {
    let length = u8::try_from(content_type.len()).unwrap();
    let block = [&[0x88, 0x0f, 0x10, length], content_type.as_bytes()].concat();
    frame(HEADERS, END_HEADERS, 1, &block)
}

fn data(text: &str, flags: u8) -> Vec<u8> {
    frame(DATA, flags, 1, text.as_bytes())
}

#[tokio::test]
async fn a_request_that_an_upstream_never_began_is_sent_again_and_nobodys_failure() {
    let rows = [
        ("goes away", go_away(0, NO_ERROR), Then::Close),
        ("goes away and stays open", go_away(0, NO_ERROR), Then::Hold),
        ("goes away in anger", go_away(0, CALM), Then::Close),
        ("refuses the stream", reset(REFUSED), Then::Hold),
    ];
    for (name, bytes, then) in rows {
        let upstream = Upstream::builder().h2c_only().start().await;
        let stage = Stage::over(&upstream, vec![(bytes, then)]).await;
        let gateway = stage.gateway();

        let answer = within(gateway.chat(&hello())).await;

        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(gateway.backends().await, (1, 1), "{name}");
        let health = gateway.get("/health").await.json();
        let counts = &health["providers"]["only"];
        assert_eq!(counts["failed_requests"], 0, "{name}");
        assert_eq!(upstream.request_count(), 1, "{name}");
    }
}

#[tokio::test]
async fn what_an_upstream_may_have_begun_is_not_sent_again() {
    let answers_nothing = [
        ("goes away after it", go_away(1, INTERNAL), Then::Close),
        ("resets the stream", reset(INTERNAL), Then::Hold),
        ("closes", Vec::new(), Then::Close),
    ];
    for (name, bytes, then) in answers_nothing {
        let upstream = Upstream::builder().h2c_only().start().await;
        let stage = Stage::over(&upstream, vec![(bytes, then)]).await;

        let answer = within(stage.gateway().chat(&hello())).await;

        assert_eq!(answer.error(), "502 server_error/upstream_error", "{name}");
        assert_eq!(upstream.request_count(), 0, "{name}");
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_again_and_again_is_a_failure() {
    let upstream = Upstream::builder().h2c_only().start().await;
    let refusal = (go_away(0, NO_ERROR), Then::Close);
    let stage = Stage::over(&upstream, vec![refusal; 2]).await;

    let answer = within(stage.gateway().chat(&hello())).await;

    assert_eq!(answer.error(), "502 server_error/upstream_error");
    assert_eq!(upstream.request_count(), 0);
}

#[tokio::test]
async fn an_upstream_that_goes_away_ends_what_it_has_begun_and_gets_nothing_more() {
    for last in [1, ALL] {
        let whole = [
            go_away(last, NO_ERROR),
            head("application/json"),
            data(JSON, END_STREAM),
        ];
        let stream = [
            head("text/event-stream"),
            data(EVENT, 0),
            go_away(last, NO_ERROR),
            data(END, END_STREAM),
        ];
        for (body, play) in [(hello(), whole.concat()), (hello_stream(), stream.concat())] {
            let upstream = Upstream::builder().h2c_only().start().await;
            let stage = Stage::over(&upstream, vec![(play, Then::Hold)]).await;
            let gateway = stage.gateway();

            let answer = within(gateway.chat(&body)).await;
            let next = within(gateway.chat(&hello())).await;

            assert!(answer.text().contains("played"), "{}", answer.text());
            assert!(!answer.text().contains("error"), "{}", answer.text());
            assert!(next.said().ends_with("hello"), "{}", next.text());
            assert_eq!(upstream.request_count(), 1);
            assert_eq!(gateway.backends().await, (1, 1));
        }
    }
}
