//! The bare pass-through: the least that a gateway on hyper does, as a mark for what Berry adds.
//!
//! It reads a request's body whole and looks for the model and the stream in it, sends the request on
//! over a kept connection, and joins the frames of a stream that are ready at once, because a write to
//! a socket costs more than everything else. It knows no users, counts nothing and repeats nothing.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::listen::each_connection;
use crate::upstream::{after, model};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Sender = client::SendRequest<Full<Bytes>>;

/// More than this is not joined.
const JOINED: usize = 16 * 1024;

/// hyper asks a body twice before it lets other tasks run.
const POLLS_OF_A_TURN: u8 = 2;

/// The kept connections to the provider.
#[derive(Clone)]
struct Pool {
    to: SocketAddr,
    idle: Arc<Mutex<Vec<Sender>>>,
}

impl Pool {
    async fn connection(&self) -> Result<Sender, Error> {
        loop {
            let kept = self.idle.lock().pop();
            let Some(mut sender) = kept else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let connection = TcpStream::connect(self.to).await?;
        connection.set_nodelay(true)?;
        let (sender, driver) = client::handshake(TokioIo::new(connection)).await?;
        tokio::spawn(async move {
            // Its errors are the sender's, too.
            let _ = driver.await;
        });
        Ok(sender)
    }

    async fn forward(self, request: Request<Incoming>) -> Result<Response<Forwarded>, Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        model(&body).ok_or("a request without a model")?;
        let joins = after(&body, br#""stream":true"#).is_some();
        let mut sender = self.connection().await?;
        let request = Request::from_parts(head, Full::new(body));
        let response = sender.send_request(request).await?;
        Ok(response.map(|body| Forwarded {
            body,
            joins,
            held: BytesMut::new(),
            fruitless: 0,
            connection: Some((sender, self.idle)),
        }))
    }
}

/// The provider's body on its way to the client.
struct Forwarded {
    body: Incoming,
    joins: bool,
    held: BytesMut,
    /// How often nothing has come since the last frame.
    fruitless: u8,
    connection: Option<(Sender, Arc<Mutex<Vec<Sender>>>)>,
}

impl Forwarded {
    fn keep_connection(&mut self) {
        if let Some((sender, idle)) = self.connection.take() {
            idle.lock().push(sender);
        }
    }

    fn release(&mut self) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.fruitless = 0;
        Poll::Ready(Some(Ok(Frame::data(self.held.split().freeze()))))
    }
}

impl Body for Forwarded {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        loop {
            let polled = Pin::new(&mut this.body).poll_frame(context);
            // A body of a known length is not asked again after its last frame.
            if this.body.is_end_stream() {
                this.keep_connection();
            }
            match polled {
                Poll::Ready(Some(Ok(frame))) if this.joins && frame.is_data() => {
                    this.fruitless = 0;
                    if let Ok(data) = frame.into_data() {
                        this.held.extend_from_slice(&data);
                    }
                    if this.held.len() >= JOINED {
                        return this.release();
                    }
                }
                Poll::Ready(None) => {
                    this.keep_connection();
                    if this.held.is_empty() {
                        return Poll::Ready(None);
                    }
                    return this.release();
                }
                Poll::Pending if !this.held.is_empty() => {
                    // One frame at a time is handed over: the next comes when the connection's task has run.
                    this.fruitless += 1;
                    if this.fruitless > POLLS_OF_A_TURN {
                        return this.release();
                    }
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                other => return other,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(address: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let pool = Pool {
        to,
        idle: Arc::default(),
    };
    each_connection(address, |connection| {
        let pool = pool.clone();
        let service = service_fn(move |request| pool.clone().forward(request));
        tokio::spawn(async move {
            // Its errors are a client's leaving, or the provider's.
            let _ = server::Builder::new()
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    })
    .await
}
