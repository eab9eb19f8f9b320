//! HTTP/2 with prior knowledge, and TLS with either version of HTTP.

use std::io;
use std::sync::Arc;

use berry_testkit::{Behaviour, Upstream};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{chat_to_end, hello};

fn request(upstream: &Upstream) -> Request<Full<Bytes>> {
    Request::post(format!("{}/chat/completions", upstream.url()))
        .body(Full::from(hello().to_string()))
        .unwrap()
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    body["choices"][0]["message"]["content"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn ask_http2(
    upstream: &Upstream,
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> hyper::Result<String> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await?;
    tokio::spawn(connection);
    Ok(text(sender.send_request(request(upstream)).await?).await)
}

/// Connects to `upstream`, trusting the authority `ca_pem` only and offering `alpn` only.
async fn tls(upstream: &Upstream, ca_pem: &str, alpn: &str) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let socket = TcpStream::connect(upstream.address()).await?;
    let name = ServerName::from(upstream.address().ip());
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

#[tokio::test]
async fn http2_is_spoken_to_clients_that_know_it() {
    let upstream = Upstream::start().await;
    let socket = TcpStream::connect(upstream.address()).await.unwrap();

    let said = ask_http2(&upstream, socket).await.unwrap();

    assert_eq!(said, "Hello from upstream! You said: hello");
    assert_eq!(upstream.requests()[0].version, Version::HTTP_2);
}

#[tokio::test]
async fn a_provider_of_http2_only_does_not_answer_http1() {
    let upstream = Upstream::builder().h2c_only().start().await;

    let ending = chat_to_end(&upstream).await;

    assert!(!String::from_utf8_lossy(&ending.bytes).contains("HTTP/1.1 200"));
    assert_eq!(upstream.request_count(), 0);
}

#[tokio::test]
async fn a_reset_ends_an_http2_connection() {
    let upstream = Upstream::builder()
        .behaviour(Behaviour::echo().reset())
        .start()
        .await;
    let socket = TcpStream::connect(upstream.address()).await.unwrap();

    assert!(ask_http2(&upstream, socket).await.is_err());
    assert_eq!(upstream.cancellation_count(), 0);
}

#[tokio::test]
async fn tls_offers_both_versions_of_http() {
    let upstream = Upstream::builder().tls().start().await;
    assert!(upstream.url().starts_with("https://127.0.0.1:"));

    let said = ask_http2(
        &upstream,
        tls(&upstream, upstream.ca_pem(), "h2").await.unwrap(),
    )
    .await
    .unwrap();
    let io = TokioIo::new(tls(&upstream, upstream.ca_pem(), "http/1.1").await.unwrap());
    let (mut sender, connection) = http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request(&upstream)).await.unwrap();

    assert_eq!(text(response).await, said);
    let versions: Vec<_> = upstream
        .requests()
        .iter()
        .map(|request| request.version)
        .collect();
    assert_eq!(versions, [Version::HTTP_2, Version::HTTP_11]);
}

#[tokio::test]
async fn a_client_that_trusts_another_authority_refuses() {
    let upstream = Upstream::builder().tls().start().await;
    let other = Upstream::builder().tls().start().await;

    assert!(tls(&upstream, other.ca_pem(), "h2").await.is_err());
}

#[tokio::test]
async fn a_provider_of_http1_only_offers_no_http2() {
    let upstream = Upstream::builder().tls().http1_only().start().await;

    assert!(tls(&upstream, upstream.ca_pem(), "h2").await.is_err());
    assert!(tls(&upstream, upstream.ca_pem(), "http/1.1").await.is_ok());
}
