//! A client that writes HTTP by hand: slowly, wrongly, or in an old version.

use std::io;
use std::net::SocketAddr;

use http::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, within};

/// A connection whose bytes are the test's own.
#[derive(Debug)]
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0
            .write_all(bytes.as_ref())
            .await
            .expect("an open connection");
    }

    /// Sends bytes that the gateway may refuse to take.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(self.0.write_all(bytes)).await
    }

    /// Reads until these bytes have come, and returns everything up to them.
    pub(crate) async fn until(&mut self, sought: &str) -> String {
        let mut text = String::new();
        while !text.contains(sought) {
            let byte = within(self.0.read_u8()).await;
            text.push(
                byte.unwrap_or_else(|error| panic!("{error} after {text:?}"))
                    .into(),
            );
        }
        text
    }

    /// Reads until the gateway ends the connection, in whatever way.
    pub(crate) async fn ended(&mut self) {
        let mut bytes = [0; 4096];
        while self.0.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    }

    /// Reads the answer on a connection that the gateway closes after it.
    pub(crate) async fn answer(&mut self) -> Answer {
        let text = self.rest().await;
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            let name: HeaderName = name.parse().expect("its name");
            (name, HeaderValue::from_str(value).expect("its value"))
        });
        Answer {
            status: status.expect("a status").parse().expect("a number"),
            headers: headers.collect(),
            body: body.to_owned().into(),
        }
    }

    /// Reads until the gateway closes the connection, whichever way.
    pub(crate) async fn rest(&mut self) -> String {
        // A reset after the answer is an end, too.
        self.rest_and_ending().await.0
    }

    /// Reads until the gateway closes the connection, and returns which way it did.
    pub(crate) async fn rest_and_ending(&mut self) -> (String, io::Result<()>) {
        let mut bytes = Vec::new();
        let ending = within(self.0.read_to_end(&mut bytes)).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (text, ending.map(|_| ()))
    }
}
