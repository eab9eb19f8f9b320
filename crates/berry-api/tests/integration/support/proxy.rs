//! A small HTTP proxy: tunnels for CONNECT, forwards what names its target in full.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A running proxy; dropping it closes its connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _running: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let heads = Arc::new(Mutex::default());
        let mut running = JoinSet::new();
        running.spawn(accept(listener, Arc::clone(&heads)));
        Self {
            address,
            heads,
            _running: running,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the heads of the first request on each connection.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

async fn accept(listener: TcpListener, heads: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, Arc::clone(&heads)));
    }
}

/// Serves one connection.
async fn pass(mut client: TcpStream, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let text = String::from_utf8(head.clone()).expect("a head");
    let target = text.split(' ').nth(1).expect("a target").to_owned();
    let tunnel = text.starts_with("CONNECT ");
    heads.lock().push(text);
    let authority = if tunnel {
        target
    } else {
        let uri: http::Uri = target.parse().expect("a whole URI");
        uri.authority().expect("a host").to_string()
    };
    let mut upstream = TcpStream::connect(authority).await.expect("the target");
    let _ = upstream.set_nodelay(true);
    let sent = if tunnel {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await
    } else {
        upstream.write_all(&head).await
    };
    sent.expect("an open connection");
    // Either side may end it.
    let _ = copy_bidirectional(&mut client, &mut upstream).await;
}
