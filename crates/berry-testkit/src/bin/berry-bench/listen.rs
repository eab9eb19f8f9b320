//! Accepting connections, the same for the provider and the pass-through.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Load tests open thousands of connections at once; what does not fit into the queue waits a second.
const BACKLOG: u32 = 16_384;

/// Listens, prints where, and hands every connection to `serve`.
pub(crate) async fn each_connection(
    address: SocketAddr,
    mut serve: impl FnMut(TcpStream),
) -> io::Result<()> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener: TcpListener = socket.listen(BACKLOG)?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        serve(connection);
    }
}
