//! An HTTP client with connections that a test can count and cut.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::{Answer, Streaming, TOKEN, within};

pub(crate) type Request = http::Request<Full<Bytes>>;

/// One connection; it is closed when this, and the answer being read on it, are dropped.
#[derive(Debug)]
pub(crate) struct Client {
    sender: Sender,
    driver: JoinSet<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// Connects with HTTP/1.1.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await;
        Self::over(stream.expect("a connection")).await
    }

    /// Connects with HTTP/1.1, and lets little come that nobody reads.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(16 * 1024).expect("a size");
        let stream = socket.connect(address).await;
        Self::over(stream.expect("a connection")).await
    }

    async fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("an open socket");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async {
            // What goes wrong reaches whoever reads the answer.
            let _ = connection.await;
        });
        Self {
            sender: Sender::Http1(sender),
            driver,
        }
    }

    /// Connects with HTTP/2 by prior knowledge.
    pub(crate) async fn connect_h2c(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async {
            let _ = connection.await;
        });
        Self {
            sender: Sender::Http2(sender),
            driver,
        }
    }

    /// Connects with TLS, trusting this authority, and speaks what the two agree on.
    ///
    /// # Errors
    /// The handshake fails.
    pub(crate) async fn connect_tls(
        address: SocketAddr,
        ca_pem: &str,
        alpn: &[&str],
    ) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("PEM");
        roots.add(ca).expect("an authority");
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .expect("the usual versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        let stream = within(connector.connect(name, stream)).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        let mut driver = JoinSet::new();
        let sender = if is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            driver.spawn(async {
                let _ = connection.await;
            });
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.unwrap();
            driver.spawn(async {
                let _ = connection.await;
            });
            Sender::Http1(sender)
        };
        Ok(Self { sender, driver })
    }

    /// Returns whether HTTP/2 is spoken.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Sends a request and reads the whole answer; the connection stays usable.
    pub(crate) async fn send(&mut self, request: Request) -> Answer {
        let response = within(self.exchange(request)).await.expect("an answer");
        Answer::read(response).await
    }

    /// Sends a request and reads the answer's head; the connection lasts as long as the answer.
    pub(crate) async fn open(mut self, request: Request) -> Streaming {
        let response = within(self.exchange(request)).await.expect("an answer");
        Streaming::new(response, self)
    }

    /// Sends a request; says why there is no answer.
    pub(crate) async fn exchange(
        &mut self,
        mut request: Request,
    ) -> hyper::Result<http::Response<hyper::body::Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                request
                    .headers_mut()
                    .entry(HOST)
                    .or_insert(HeaderValue::from_static("gateway"));
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                let path = request.uri().to_string();
                *request.uri_mut() = format!("http://gateway{path}").parse().unwrap();
                sender.ready().await?;
                sender.clone().send_request(request).await
            }
        }
    }

    /// Waits until the gateway has closed the connection.
    pub(crate) async fn closed(&mut self) {
        within(self.driver.join_next()).await;
    }
}

/// Returns a request without a token.
pub(crate) fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request {
    let mut request = Request::new(Full::new(body.into()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a path");
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
        request.headers_mut().append(name, value);
    }
    request
}

/// Returns a request for a page, as the user.
pub(crate) fn get(path: &str) -> Request {
    let mut request = request(Method::GET, path, &[], "");
    request.headers_mut().insert(AUTHORIZATION, bearer());
    request
}

/// Returns a chat request with this body, as the user.
pub(crate) fn chat(body: impl Into<Bytes>) -> Request {
    let mut request = request(Method::POST, "/v1/chat/completions", &[], body);
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    request.headers_mut().insert(AUTHORIZATION, bearer());
    request
}

fn bearer() -> HeaderValue {
    HeaderValue::from_str(&format!("Bearer {TOKEN}")).unwrap()
}

/// Returns a chat request's body that says "hello".
pub(crate) fn hello() -> Value {
    json!({"model": "test-model", "messages": [{"role": "user", "content": "hello"}]})
}

/// Returns the same, to be streamed.
pub(crate) fn hello_stream() -> Value {
    let mut body = hello();
    body["stream"] = json!(true);
    body
}
