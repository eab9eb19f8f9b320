//! Answers, whole and as they come.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::{Client, within};

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(super) async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = within(body.collect()).await.expect("a whole answer");
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns what the model said.
    pub(crate) fn said(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        let content = &self.json()["choices"][0]["message"]["content"];
        content.as_str().expect("a text").to_owned()
    }

    /// Returns an error in one line, `status type/code param`, after checking its shape.
    pub(crate) fn error(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.header("x-request-id").is_some(), "{self:?}");
        format!("{} {}", self.status, error_in(&self.json()))
    }
}

/// An answer whose head is here.
#[derive(Debug)]
pub(crate) struct Streaming {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    /// Read, and not yet returned.
    buffer: Vec<u8>,
    /// Its end is the connection's.
    _client: Client,
}

impl Streaming {
    pub(super) fn new(response: Response<Incoming>, client: Client) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            buffer: Vec::new(),
            _client: client,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Reads some bytes; none at the end.
    async fn chunk(&mut self) -> Option<hyper::Result<Bytes>> {
        loop {
            let frame = within(self.body.frame()).await?;
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                Ok(Err(_trailers)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Reads one event or comment, up to and including its blank line.
    pub(crate) async fn event(&mut self) -> String {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let event = self.buffer.drain(..at + 2).collect();
                return String::from_utf8(event).expect("text");
            }
            let chunk = self.chunk().await.expect("another event");
            self.buffer.extend(chunk.expect("an unbroken stream"));
        }
    }

    /// Reads the rest, which must end as an answer ends.
    pub(crate) async fn rest(self) -> String {
        let (rest, ending) = self.rest_and_ending().await;
        ending.unwrap_or_else(|error| panic!("broken after {rest:?}: {error}"));
        rest
    }

    /// Reads until the end, and returns how it ended.
    pub(crate) async fn rest_and_ending(self) -> (String, hyper::Result<()>) {
        let (rest, ending) = self.bytes_and_ending().await;
        (String::from_utf8(rest).expect("text"), ending)
    }

    /// The same for what may be no text.
    pub(crate) async fn bytes_and_ending(mut self) -> (Vec<u8>, hyper::Result<()>) {
        let mut ending = Ok(());
        while let Some(chunk) = self.chunk().await {
            match chunk {
                Ok(chunk) => self.buffer.extend(chunk),
                Err(error) => {
                    ending = Err(error);
                    break;
                }
            }
        }
        (self.buffer, ending)
    }
}

/// Returns the error in an event, as `type/code param`, and its status where it has one.
pub(crate) fn error_event(event: &str) -> (String, Option<u64>) {
    let data = event.strip_prefix("data: ").expect("a data line");
    let mut json: Value = serde_json::from_str(data.trim_end()).expect("JSON");
    let status = json["error"]
        .as_object_mut()
        .and_then(|error| error.remove("status"));
    (error_in(&json), status.and_then(|status| status.as_u64()))
}

/// Returns `type/code param` of an error object that has all four members and no other.
fn error_in(json: &Value) -> String {
    let error = json["error"].as_object().expect("an error object");
    let mut members: Vec<_> = error.keys().collect();
    members.sort();
    assert_eq!(members, ["code", "message", "param", "type"], "{json}");
    assert!(!error["message"].as_str().unwrap().is_empty());
    let text = |member: &str| error[member].as_str().unwrap_or("null");
    let line = format!("{}/{}", text("type"), text("code"));
    match error["param"].as_str() {
        Some(param) => format!("{line} {param}"),
        None => line,
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().expect("text"))
}
