//! A wire to an upstream that can go dead: nothing passes any more, and nobody is told.

use std::future;
use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Forwards connections to one address; dropping it closes them.
#[derive(Debug)]
pub(crate) struct Wire {
    address: SocketAddr,
    silence: watch::Sender<()>,
    _running: JoinSet<()>,
}

impl Wire {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let silence = watch::Sender::default();
        let mut running = JoinSet::new();
        running.spawn(accept(listener, target, silence.clone()));
        Self {
            address,
            silence,
            _running: running,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets no byte pass any more, in either direction, on the connections of now. They stay open,
    /// and later ones work.
    pub(crate) fn fall_silent(&self) {
        self.silence.send_replace(());
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, silence: watch::Sender<()>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, target, silence.subscribe()));
    }
}

/// Serves one connection.
async fn pass(mut client: TcpStream, target: SocketAddr, mut silence: watch::Receiver<()>) {
    let mut upstream = TcpStream::connect(target).await.expect("the target");
    for side in [&client, &upstream] {
        let _ = side.set_nodelay(true);
    }
    tokio::select! {
        // Either side may end it.
        _ = copy_bidirectional(&mut client, &mut upstream) => {}
        _ = silence.changed() => future::pending().await,
    }
}
