//! A gateway in this thread, and its client and its upstream in another.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use berry_api::telemetry::{Format, LogOptions, Logs};
use berry_api::{App, Options};
use berry_core::Source;
use berry_relay::Names;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

const TOKEN: &str = "token-of-ada-0123456789";
const REQUEST_END: &str = r#"That is all."}]}"#;
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"upstream-model","choices":[{"index":0,"message":{"role":"assistant","content":"Air scatters blue light more than red, and evening light has crossed more of it."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":90,"completion_tokens":20,"total_tokens":110}}"#;
const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const EVENT: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"upstream-model\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" evening\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";

/// Requests before the counted ones: connections are opened, and memory is taken.
const FIRST: usize = 20;
const EVENTS: usize = 100;

/// See the module's documentation.
pub(crate) struct Scene {
    /// Dropped first: the end of the runtime waits for the end of the others.
    orders: mpsc::Sender<Order>,
    runtime: Runtime,
}

/// So many exchanges are to be had; who asks is told when they were.
type Order = (usize, oneshot::Sender<()>);

impl Scene {
    /// A gateway that logs by this filter, as JSON; its upstream answers at once.
    pub(crate) fn answering(filter: &str) -> Self {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            ANSWER.len()
        );
        let answer = Piece::new(head + ANSWER, ANSWER);
        Self::new(filter, false, vec![answer])
    }

    /// A gateway that logs nothing; its upstream streams a hundred events, together or one by one.
    pub(crate) fn streaming(together: bool) -> Self {
        let last = EVENT.replace("null}]", r#""stop"}]"#) + "data: [DONE]\n\n";
        let last = Piece::new(chunk(&last), "data: [DONE]\n\n\r\n");
        let end = Piece::new("0\r\n\r\n", "0\r\n\r\n");
        let events = (1..EVENTS).map(|_| Piece::new(chunk(EVENT), &format!("{EVENT}\r\n")));
        let mut pieces: Vec<_> = events.chain([last, end]).collect();
        pieces[0].sent.splice(..0, STREAM_HEAD.bytes());
        if together {
            let sent = pieces.iter().map(|piece| &*piece.sent);
            pieces = vec![Piece {
                sent: sent.collect::<Vec<_>>().concat(),
                seen: pieces[EVENTS].seen.clone(),
            }];
        }
        Self::new("off", true, pieces)
    }

    fn new(filter: &str, stream: bool, pieces: Vec<Piece>) -> Self {
        // The clock stands still, or what happens at times would be counted too.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let logs = LogOptions {
            format: Format::Json,
            filter: filter.to_owned(),
            file: None,
            fixed_file: None,
        };
        let logs = logs.init().unwrap();
        let toml = config(listener.local_addr().unwrap());
        let gateway = serve(&runtime, &toml, logs);
        let others = Others {
            client: TcpStream::connect(gateway).unwrap(),
            request: request(stream),
            upstream: None,
            listener,
            pieces,
        };
        let (orders, taken) = mpsc::channel();
        // While such a thread works the runtime does not move its clock on.
        runtime.spawn_blocking(move || others.work(&taken));
        Self { orders, runtime }.run(FIRST)
    }

    /// Has so many exchanges, one after the other.
    pub(crate) fn run(self, count: usize) -> Self {
        let (done, told) = oneshot::channel();
        self.orders.send((count, done)).unwrap();
        self.runtime.block_on(told).unwrap();
        self
    }
}

/// Starts the gateway; returns where it listens.
fn serve(runtime: &Runtime, toml: &str, logs: Logs) -> SocketAddr {
    let _within = runtime.enter();
    let source = Source::new("bench.toml", toml);
    let app = App::build(Options {
        config: Names::collect().parse(&source, &|_| None).unwrap().config,
        source,
        logs,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        max_connections: 1000,
        seed: 7,
    });
    let app = app.unwrap();
    let address = app.local_addr();
    runtime.spawn(app.run(std::future::pending()));
    address
}

fn config(upstream: SocketAddr) -> String {
    format!(
        r#"
        [settings]
        health_check_interval_seconds = 0
        [usage]
        database = ""
        [providers.only]
        base_url = "http://{upstream}/v1"
        api_key = "key-of-only"
        proxy_url = "none"
        [models.chat]
        name = "test-model"
        [[models.chat.backends]]
        provider = "only"
        model = "upstream-model"
        [users.ada]
        token = "{TOKEN}"
        rate_limit = {{ requests_per_minute = 1000000, max_concurrent_requests = 100 }}
        "#
    )
}

/// Returns a chat request of some 0.6 KB.
fn request(stream: bool) -> Vec<u8> {
    let text = "Why is the sky blue, and why does it turn red in the evening? ".repeat(7);
    let body = format!(
        r#"{{"model":"test-model","stream":{stream},"temperature":0.7,"messages":[{{"role":"system","content":"You are brief."}},{{"role":"user","content":"{text}{REQUEST_END}"#
    );
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\naccept: application/json\r\nuser-agent: bench/1\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Part of an answer.
struct Piece {
    /// What the upstream sends.
    sent: Vec<u8>,
    /// What the client has read last when all of it has come.
    seen: Vec<u8>,
}

impl Piece {
    fn new(sent: impl Into<String>, seen: &str) -> Self {
        Self {
            sent: sent.into().into_bytes(),
            seen: seen.into(),
        }
    }
}

/// A client and an upstream that say what they always say.
struct Others {
    client: TcpStream,
    request: Vec<u8>,
    listener: TcpListener,
    /// The connection that the gateway has opened.
    upstream: Option<TcpStream>,
    pieces: Vec<Piece>,
}

impl Others {
    fn work(mut self, orders: &mpsc::Receiver<Order>) {
        for (count, done) in orders {
            (0..count).for_each(|_| self.exchange());
            done.send(()).unwrap();
        }
    }

    fn exchange(&mut self) {
        self.client.write_all(&self.request).unwrap();
        let listener = &self.listener;
        let upstream = self
            .upstream
            .get_or_insert_with(|| listener.accept().unwrap().0);
        read_to(upstream, REQUEST_END.as_bytes());
        for piece in &self.pieces {
            upstream.write_all(&piece.sent).unwrap();
            read_to(&mut self.client, &piece.seen);
        }
    }
}

/// Reads until what has come ends so.
fn read_to(stream: &mut TcpStream, end: &[u8]) {
    let (mut read, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while !read.ends_with(end) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the gateway hung up");
        read.extend_from_slice(&buffer[..count]);
    }
}
