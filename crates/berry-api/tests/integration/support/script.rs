//! An upstream whose bytes are the test's own.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens after the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The connection is closed in order.
    Close,
    /// It is reset.
    Reset,
    /// It stays open and silent.
    Hold,
    /// The bytes are repeated for as long as somebody takes them.
    Repeat,
}

/// Answers every request with the same bytes; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Script {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Script {
    /// Starts on a free port.
    pub(crate) async fn start(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let bytes = bytes.into();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, bytes.clone(), then));
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }

    /// Returns the base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

async fn answer(mut stream: TcpStream, bytes: Vec<u8>, then: Then) {
    // A request of a test fits in one packet.
    let mut request = [0; 16 * 1024];
    if stream.read(&mut request).await.unwrap_or(0) == 0 {
        return;
    }
    let mut sent = stream.write_all(&bytes).await;
    match then {
        Then::Close => {
            let _ = stream.shutdown().await;
            // An end that comes with unread bytes would be a reset.
            let _ = stream.read(&mut request).await;
        }
        Then::Reset => {
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        Then::Hold => {
            let _ = stream.read(&mut request).await;
        }
        Then::Repeat => {
            while sent.is_ok() {
                sent = stream.write_all(&bytes).await;
            }
        }
    }
}
