//! A client that sees the bytes: it writes HTTP/1.1 by hand and reads what comes, errors included.

use std::io;

use berry_testkit::Upstream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to a simulated provider.
pub(crate) struct Client(TcpStream);

/// All that came until the connection ended, and how it ended.
pub(crate) struct Ending {
    pub(crate) bytes: Vec<u8>,
    pub(crate) result: io::Result<()>,
}

/// One answer with its framing removed.
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(upstream: &Upstream) -> Self {
        Self(TcpStream::connect(upstream.address()).await.unwrap())
    }

    /// Sends a request whose headers beyond the necessary are `headers`, each line ended.
    pub(crate) async fn send(&mut self, line: &str, headers: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    /// Sends a chat request.
    pub(crate) async fn chat(&mut self, body: &Value) {
        self.send("POST /v1/chat/completions", "", &body.to_string())
            .await;
    }

    /// Reads the next bytes, whatever their number.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 65536];
        let length = self.0.read(&mut buffer).await.unwrap();
        buffer.truncate(length);
        buffer
    }

    /// Reads until the connection ends.
    pub(crate) async fn rest(&mut self) -> Ending {
        let mut bytes = Vec::new();
        let result = self.0.read_to_end(&mut bytes).await.map(|_| ());
        Ending { bytes, result }
    }

    /// Reads one whole answer; the connection stays usable.
    pub(crate) async fn answer(&mut self) -> Answer {
        let (head, body) = self.framed().await;
        let chunked = header(&head, "transfer-encoding").is_some();
        let body = if chunked { dechunked(&body) } else { body };
        Answer { head, body }
    }

    /// Reads one whole answer and returns its body with the framing.
    pub(crate) async fn framed_answer(&mut self) -> String {
        String::from_utf8(self.framed().await.1).unwrap()
    }

    async fn framed(&mut self) -> (String, Vec<u8>) {
        let mut bytes = Vec::new();
        let head_end = loop {
            if let Some(at) = find(&bytes, b"\r\n\r\n") {
                break at + 4;
            }
            bytes.extend(self.more().await);
        };
        let mut body = bytes.split_off(head_end);
        let head = String::from_utf8(bytes).unwrap();
        if let Some(length) = header(&head, "content-length") {
            let length = length.parse().unwrap();
            while body.len() < length {
                body.extend(self.more().await);
            }
        } else {
            while !body.ends_with(b"0\r\n\r\n") {
                body.extend(self.more().await);
            }
        }
        (head, body)
    }

    async fn more(&mut self) -> Vec<u8> {
        let bytes = self.some().await;
        assert!(!bytes.is_empty(), "the answer ended early");
        bytes
    }
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the events' data as JSON, and whether `[DONE]` followed them.
    pub(crate) fn events(&self) -> (Vec<Value>, bool) {
        let text = String::from_utf8(self.body.clone()).unwrap();
        let mut data: Vec<_> = text
            .split_terminator("\n\n")
            .map(|event| event.strip_prefix("data: ").expect("a data line"))
            .collect();
        let done = data.last() == Some(&"[DONE]");
        data.truncate(data.len() - usize::from(done));
        (
            data.iter()
                .map(|event| serde_json::from_str(event).unwrap())
                .collect(),
            done,
        )
    }
}

/// Sends one chat request on a new connection and reads the answer.
pub(crate) async fn chat(upstream: &Upstream, body: &Value) -> Answer {
    let mut client = Client::connect(upstream).await;
    client.chat(body).await;
    client.answer().await
}

/// Sends one chat request and reads until the connection ends.
pub(crate) async fn chat_to_end(upstream: &Upstream) -> Ending {
    let mut client = Client::connect(upstream).await;
    client.chat(&hello()).await;
    client.rest().await
}

/// Returns a chat request that says "hello".
pub(crate) fn hello() -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]})
}

/// Returns the same request, to be streamed.
pub(crate) fn hello_stream() -> Value {
    let mut request = hello();
    request["stream"] = json!(true);
    request
}

/// Removes the framing of a chunked body.
fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let line = find(body, b"\r\n").expect("a chunk's size");
        let size = std::str::from_utf8(&body[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).expect("a chunk's size in hexadecimal");
        if size == 0 {
            return bytes;
        }
        bytes.extend(&body[line + 2..line + 2 + size]);
        body = &body[line + 2 + size + 2..];
    }
}

fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes
        .windows(sought.len())
        .position(|window| window == sought)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(n, _)| *n == name)
        .map(|(_, v)| v)
}
