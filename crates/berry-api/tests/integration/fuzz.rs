//! Requests and upstreams' answers that were broken at random, over real sockets: nothing panics,
//! nothing hangs, and no answer is a 500.
//!
//! What is broken is sound in the beginning: bytes are changed, cut out, repeated and put in. The
//! number of cases is for a look at each change; `FUZZ_CASES` sets another:
//!
//! ```text
//! FUZZ_CASES=100000 cargo test -p berry-api --test integration fuzz:: -- --nocapture
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, panic};

use berry_testkit::{Protocol, Upstream};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{Client, Gateway, Setup, TOKEN, chat, get, hello, hello_stream, within};

/// Cases where nobody asks for another number.
const FEW: usize = 400;
/// Cases at once.
const WORKERS: usize = 16;

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings of their own"
)]
fn cases() -> usize {
    env::var("FUZZ_CASES").map_or(FEW, |cases| cases.parse().expect("a number"))
}

/// What is put in: what has a meaning somewhere.
const PIECES: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\n\n",
    "\0",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\u0000",
    "null",
    "-1",
    "1e999",
    "data: ",
    "data: [DONE]\n\n",
    "event: error\n",
    ": ",
    "0\r\n\r\n",
    "ffffffff\r\n",
    "content-length: 0\r\n",
    "content-length: 99999999999999999999\r\n",
    "transfer-encoding: chunked\r\n",
    "content-encoding: gzip\r\n",
    "expect: 100-continue\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 500 \r\n",
    "\"model\":",
    "\"stream\":true,",
    "\"error\":{},",
    "\u{feff}",
    "\u{1f353}",
    "application/json",
    "text/event-stream",
    "usage",
];

/// Breaks bytes in one to four ways.
fn broken(rng: &mut fastrand::Rng, sound: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..rng.usize(1..=4) {
        let at = rng.usize(..=bytes.len());
        let until = (at + rng.usize(..64)).min(bytes.len());
        match rng.u8(..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..until)),
            2 => {
                let again = bytes[at..until].to_vec();
                bytes.splice(at..at, again.repeat(rng.usize(1..50)));
            }
            3 => drop(bytes.splice(at..at, rng.choice(PIECES).unwrap().bytes())),
            4 => drop(bytes.splice(at..until, rng.choice(PIECES).unwrap().bytes())),
            _ => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte = rng.u8(..)),
        }
    }
    bytes
}

/// Notes a panic of whatever task.
fn watch_panics() -> Arc<AtomicBool> {
    let panicked = Arc::new(AtomicBool::new(false));
    let (noted, usual) = (Arc::clone(&panicked), panic::take_hook());
    panic::set_hook(Box::new(move |info| {
        noted.store(true, Ordering::Relaxed);
        usual(info);
    }));
    panicked
}

/// Expects the gateway to be as well as before, with nothing left in flight.
async fn is_well(gateway: &Gateway) {
    within(async {
        let alone = "\nhttp_requests_in_flight 1\n";
        while !gateway.get("/prometheus").await.text().contains(alone) {}
    })
    .await;
}

/// Requests in order.
fn sound_requests() -> Vec<String> {
    let post = |path: &str, headers: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\n{headers}\r\n{body}"
        )
    };
    let sized =
        |path: &str, body: &str| post(path, &format!("content-length: {}\r\n", body.len()), body);
    let (whole, stream) = (hello().to_string(), hello_stream().to_string());
    let chunks = format!("{:x}\r\n{whole}\r\n0\r\n\r\n", whole.len());
    let embeddings = json!({"model": "test-model", "input": ["a", "b"]}).to_string();
    vec![
        sized("/v1/chat/completions", &whole),
        sized("/v1/chat/completions", &stream),
        post(
            "/v1/chat/completions",
            "transfer-encoding: chunked\r\n",
            &chunks,
        ),
        sized("/v1/embeddings", &embeddings),
        format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nx-api-key: {TOKEN}\r\n\r\n"),
        "GET /health?x=y HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n".to_owned(),
    ]
}

/// Sends bytes and reads what comes of them. What is no whole request gets no answer until its
/// end.
async fn exchange(gateway: &Gateway, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let mut answer = Vec::new();
    // A refusal may come before the last byte is sent.
    let _ = stream.write_all(bytes).await;
    let at_once = stream.read_buf(&mut answer);
    if timeout(Duration::from_millis(100), at_once).await.is_err() {
        let _ = stream.shutdown().await;
    }
    let rest = async {
        while stream
            .read_buf(&mut answer)
            .await
            .is_ok_and(|count| count > 0)
        {
            let _ = stream.shutdown().await;
        }
    };
    timeout(Duration::from_secs(20), rest)
        .await
        .expect("no hang");
    answer
}

#[tokio::test]
async fn a_request_broken_at_random_harms_nobody() {
    let panicked = watch_panics();
    let upstream = Upstream::builder().count_only().start().await;
    let gateway = Arc::new(
        Setup::over(&upstream)
            .more("[server]\nheader_timeout_seconds = 5\nbody_idle_timeout_seconds = 5")
            .start(),
    );
    let sound = Arc::new(sound_requests());
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (gateway, sound) = (Arc::clone(&gateway), Arc::clone(&sound));
        workers.spawn(async move {
            for case in (worker..cases()).step_by(WORKERS) {
                let mut rng = fastrand::Rng::with_seed(case as u64);
                let whole = rng.choice(&*sound).unwrap();
                let bytes = broken(&mut rng, whole.as_bytes());

                let answer = exchange(&gateway, &bytes).await;

                let answer = String::from_utf8_lossy(&answer);
                assert!(
                    answer.is_empty() || answer.starts_with("HTTP/1."),
                    "case {case}: {answer}"
                );
                assert!(!answer.contains("internal_error"), "case {case}: {answer}");
            }
        });
    }
    workers.join_all().await;

    is_well(&gateway).await;
    assert!(!panicked.load(Ordering::Relaxed));
}

/// An upstream that answers whatever it is told.
async fn parrot(words: Arc<Mutex<Vec<u8>>>) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut running = JoinSet::new();
    running.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 16 * 1024];
            if stream.read(&mut request).await.unwrap_or(0) == 0 {
                continue;
            }
            let words = words.lock().clone();
            let _ = stream.write_all(&words).await;
            let _ = stream.shutdown().await;
            // An end that comes with unread bytes would be a reset.
            let _ = timeout(Duration::from_secs(1), stream.read(&mut request)).await;
        }
    });
    (url, running)
}

/// A gateway whose only provider speaks this protocol.
fn over(protocol: &str, url: &str) -> Gateway {
    Setup::new()
        .provider_at("only", url)
        .option(&format!("backend_type = \"{protocol}\""))
        .settings("max_retries = 0\nrequest_timeout_seconds = 2\nstream_idle_timeout_seconds = 2")
        .start()
}

/// Returns, byte by byte, what an upstream of this protocol answers to a chat.
async fn sound_answer(protocol: Protocol, name: &str, body: &serde_json::Value) -> Vec<u8> {
    let upstream = Upstream::builder().protocol(protocol).start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = over(name, &format!("http://{}", listener.local_addr().unwrap()));
    let mut client = gateway.connect().await;
    let recording = async {
        let (mut asking, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 16 * 1024];
        let length = asking.read(&mut request).await.unwrap();
        let mut answering = TcpStream::connect(upstream.address()).await.unwrap();
        answering.write_all(&request[..length]).await.unwrap();
        let mut answer = Vec::new();
        // It has no more to say.
        while let Ok(Ok(1..)) =
            timeout(Duration::from_millis(300), answering.read_buf(&mut answer)).await
        {}
        answer
    };
    tokio::select! {
        answer = recording => answer,
        _ = client.exchange(chat(body.to_string())) => panic!("nothing has been answered"),
    }
}

#[tokio::test]
async fn an_answer_broken_at_random_harms_nobody() {
    let panicked = watch_panics();
    let mut sound = Vec::new();
    for (protocol, name) in [
        (Protocol::OpenAi, "openai"),
        (Protocol::Claude, "claude"),
        (Protocol::Gemini, "gemini"),
    ] {
        for mut body in [hello(), hello_stream()] {
            // Whatever the breakers say.
            body["backend"] = "only".into();
            let answer = sound_answer(protocol, name, &body).await;
            assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{name}");
            sound.push((name, body.to_string(), answer));
        }
    }
    let sound = Arc::new(sound);
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let sound = Arc::clone(&sound);
        workers.spawn(async move {
            let words = Arc::default();
            let (url, _running) = parrot(Arc::clone(&words)).await;
            let (protocol, ..) = sound[worker % sound.len()];
            let sound = sound.iter().filter(|(name, ..)| *name == protocol);
            let sound: Vec<_> = sound.collect();
            let gateway = over(protocol, &url);
            for case in (worker..cases()).step_by(WORKERS) {
                let mut rng = fastrand::Rng::with_seed(case as u64);
                let (_, body, answer) = rng.choice(&sound).unwrap();
                *words.lock() = broken(&mut rng, answer);

                let mut client = Client::connect(gateway.address()).await;
                let answered = timeout(Duration::from_secs(20), async {
                    let response = client
                        .exchange(chat(body.clone()))
                        .await
                        .expect("an answer");
                    let status = response.status().as_u16();
                    // How a stream ends is looked at elsewhere.
                    let _ = http_body_util::BodyExt::collect(response.into_body()).await;
                    status
                });

                let status = answered
                    .await
                    .unwrap_or_else(|_| panic!("case {case} hangs"));
                assert_ne!(status, 500, "case {case}");
            }
            assert_eq!(gateway.send(get("/health/live")).await.status, 200);
            is_well(&gateway).await;
        });
    }
    workers.join_all().await;

    assert!(!panicked.load(Ordering::Relaxed));
}
