//! An upstream of HTTP/2 whose first connections are played step by step; those behind them reach an
//! upstream that is well.

use std::net::SocketAddr;
use std::sync::Arc;

use berry_testkit::{Identity, Upstream};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::frames::{DATA, END_STREAM, HEADERS};
use super::{Setup, scratch};

/// A whole answer,
pub(crate) const JSON: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"played"},"finish_reason":"stop"}]}"#;
/// an event of a stream,
pub(crate) const EVENT: &str = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"played\"},\"finish_reason\":null}]}\n\n";
/// and the end of one.
pub(crate) const END: &str = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// What a played connection does next. It is closed in order after the last.
#[derive(Debug)]
pub(crate) enum Step {
    /// Reads on to the end of a request.
    Request,
    /// Says this.
    Say(Vec<u8>),
    /// Waits for the test, or until it has gone.
    When(oneshot::Receiver<()>),
    /// Waits until so many connections have come.
    Connections(usize),
    /// Stays open until the gateway closes it.
    Hold,
}

/// Whether a stage speaks in clear text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cloak {
    Plain,
    Tls,
}

/// Both, for tests of what must be the same in either.
pub(crate) const CLOAKS: [Cloak; 2] = [Cloak::Plain, Cloak::Tls];

/// A running stage; dropping it closes its connections.
#[derive(Debug)]
pub(crate) struct Stage {
    address: SocketAddr,
    /// What it is trusted by, where it is to be trusted.
    ca: Option<TempDir>,
    arrivals: watch::Sender<usize>,
    _running: JoinSet<()>,
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

impl Stage {
    /// Plays the first connections; later ones reach `upstream`, which speaks HTTP/2 in clear text.
    pub(crate) async fn before(upstream: &Upstream, cloak: Cloak, plays: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let identity = (cloak == Cloak::Tls).then(Identity::generate);
        let arrivals = watch::Sender::new(0);
        let mut running = JoinSet::new();
        running.spawn(accept(
            listener,
            identity.as_ref().map(acceptor),
            plays,
            upstream.address(),
            arrivals.clone(),
        ));
        Self {
            address,
            ca: identity.map(|identity| scratch(&[("ca.pem", &identity.ca_pem)])),
            arrivals,
            _running: running,
        }
    }

    /// Begins a configuration with this as the provider `only`.
    pub(crate) fn setup(&self) -> Setup {
        let address = self.address;
        let at = |scheme| Setup::new().provider_at("only", &format!("{scheme}://{address}/v1"));
        match &self.ca {
            None => at("http").option("http_version = \"h2c\""),
            Some(folder) => {
                let file = folder.path().join("ca.pem");
                at("https").option(&format!("ca_file = \"{}\"", file.display()))
            }
        }
    }

    /// Returns how many connections have come.
    pub(crate) fn connection_count(&self) -> usize {
        *self.arrivals.borrow()
    }
}

fn acceptor(identity: &Identity) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(identity.cert_pem.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("PEM");
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("key and certificate belong together");
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    plays: Vec<Vec<Step>>,
    target: SocketAddr,
    arrivals: watch::Sender<usize>,
) {
    let (mut plays, mut connections) = (plays.into_iter(), JoinSet::new());
    while let Ok((client, _)) = listener.accept().await {
        client.set_nodelay(true).expect("an open connection");
        arrivals.send_modify(|count| *count += 1);
        let (play, tls, arrivals) = (plays.next(), tls.clone(), arrivals.subscribe());
        connections.spawn(async move {
            let client: Box<dyn Socket> = match tls {
                None => Box::new(client),
                // A client that leaves meanwhile is none.
                Some(tls) => match tls.accept(client).await {
                    Ok(client) => Box::new(client),
                    Err(_) => return,
                },
            };
            match play {
                Some(steps) => perform(client, steps, arrivals).await,
                None => pass(client, target).await,
            }
        });
    }
}

async fn pass(mut client: Box<dyn Socket>, target: SocketAddr) {
    let mut upstream = TcpStream::connect(target).await.expect("the target");
    upstream.set_nodelay(true).expect("an open connection");
    let _ = copy_bidirectional(&mut client, &mut upstream).await;
}

async fn perform(
    mut client: Box<dyn Socket>,
    steps: Vec<Step>,
    mut arrivals: watch::Receiver<usize>,
) {
    let mut greeted = false;
    for step in steps {
        match step {
            Step::Request => {
                if !greeted {
                    let mut preface = [0; 24];
                    client.read_exact(&mut preface).await.expect("a preface");
                    greeted = true;
                }
                while !ends_a_request(&mut client).await {}
            }
            Step::Say(bytes) => {
                client.write_all(&bytes).await.unwrap();
                client.flush().await.unwrap();
            }
            Step::When(word) => {
                let _ = word.await;
            }
            Step::Connections(count) => {
                arrivals.wait_for(|&come| come >= count).await.unwrap();
            }
            Step::Hold => {
                let _ = client.read_to_end(&mut Vec::new()).await;
            }
        }
    }
    let _ = client.shutdown().await;
}

/// Reads a frame; returns whether a request ends with it.
async fn ends_a_request(client: &mut Box<dyn Socket>) -> bool {
    let mut head = [0; 9];
    client.read_exact(&mut head).await.expect("a frame");
    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
    client.read_exact(&mut vec![0; length]).await.unwrap();
    [DATA, HEADERS].contains(&head[3]) && head[4] & END_STREAM != 0
}
