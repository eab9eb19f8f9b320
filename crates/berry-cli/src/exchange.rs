//! One request to a gateway, and its answer.
//!
//! On a connection of its own, in clear text or under TLS as the address says, and never through a
//! proxy nor to wherever an answer points: who is asked is whom the command names.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use berry_core::Secret;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A gateway answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that is read of an answer: more than any report is long.
const LONGEST_ANSWER: usize = 256 * 1024 * 1024;

/// Asks for what is at an address; under TLS when there is somebody to trust.
pub(crate) async fn get(
    uri: &Uri,
    tls: Option<Arc<ClientConfig>>,
    token: Option<&Secret>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let late = |_| anyhow!("no answer within {PATIENCE:?}");
    timeout(PATIENCE, answer(uri, tls, token))
        .await
        .map_err(late)?
}

async fn answer(
    uri: &Uri,
    tls: Option<Arc<ClientConfig>>,
    token: Option<&Secret>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let host = uri.host().context("the address has no host")?;
    // An IPv6 address is in brackets in a URL, and nowhere else.
    let host = host.trim_matches(['[', ']']);
    let port = uri
        .port_u16()
        .unwrap_or(if tls.is_some() { 443 } else { 80 });
    let socket = TcpStream::connect((host, port)).await?;
    let request = request(uri, token)?;
    let Some(tls) = tls else {
        return send(socket, request).await;
    };
    let name = ServerName::try_from(host.to_owned())?;
    let socket = TlsConnector::from(tls).connect(name, socket).await;
    send(socket.map_err(explained)?, request).await
}

/// Returns what a handshake failed of, and what to do.
fn explained(error: io::Error) -> anyhow::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::General(ours)) => anyhow!("{ours}"),
        Some(rustls::Error::InvalidMessage(_)) => {
            anyhow!("what answers does not speak TLS: try `http://`")
        }
        Some(rustls::Error::InvalidCertificate(_)) => {
            let help = "name its own, or that of its authority, with `--ca-file`";
            anyhow!("its certificate is not trusted, {help}: {error}")
        }
        _ => error.into(),
    }
}

fn request(uri: &Uri, token: Option<&Secret>) -> anyhow::Result<Request<Empty<Bytes>>> {
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path).header(HOST, host);
    if let Some(token) = token {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| anyhow!("the token cannot be sent: it has control characters in it"))?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
    }
    Ok(request.body(Empty::new())?)
}

async fn send(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let asking = async {
        let answer = sender.send_request(request).await;
        let (head, body) = answer.map_err(unspoken)?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?;
        anyhow::Ok((head.status, body.to_bytes()))
    };
    tokio::pin!(asking);
    tokio::select! {
        answered = &mut asking => answered,
        // What ended it is what the request says.
        _ = connection => asking.await,
    }
}

/// Returns why there is no answer in HTTP.
fn unspoken(error: hyper::Error) -> anyhow::Error {
    if error.is_parse() {
        anyhow!("what answers does not speak HTTP in clear text: try `https://`")
    } else {
        error.into()
    }
}
