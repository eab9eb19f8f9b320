//! One request on one connection: read it, decide, wait, answer.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;

use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;

use crate::behaviour::Behaviour;
use crate::exchange::Exchange;
use crate::journal::{Journal, Recorded};
use crate::openai::Persona;
use crate::paced_body::PacedBody;
use crate::reply::{Arrival, Reply};
use crate::script::{Luck, Script};
use crate::wire::{Cut, Fault, Wire};

/// What all connections of one simulated provider share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) persona: Persona,
    pub(crate) script: Mutex<Script>,
    pub(crate) journal: Arc<Journal>,
}

impl Shared {
    /// Records the request and takes its behaviour.
    fn arrive(&self, request: &Recorded) -> (usize, Arc<Behaviour>, Luck) {
        // Recorded under the script's lock, so that the nth recorded request is the nth answered.
        let mut script = self.script.lock();
        let number = self.journal.record(request);
        let (behaviour, luck) = script.next();
        (number, behaviour, luck)
    }
}

/// Answers one request.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    wire: Arc<Wire>,
    request: Request<Incoming>,
) -> Result<Response<PacedBody>, hyper::Error> {
    let (head, body) = request.into_parts();
    let request = Recorded {
        method: head.method,
        path_and_query: head
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
        version: head.version,
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    let (number, behaviour, luck) = shared.arrive(&request);
    let exchange = Exchange::new(Arc::clone(&shared.journal), Arc::clone(&wire));

    if !behaviour.delay.is_zero() {
        tokio::time::sleep(behaviour.delay).await;
    }
    if behaviour.silent {
        future::pending::<Infallible>().await;
    }
    let fault = match luck {
        Luck::Reset => Some(Fault::CutAfter(0, Cut::Reset)),
        Luck::Error | Luck::Spared => behaviour.fault.clone(),
    };
    // An HTTP/2 connection has other answers on it, which must not disarm this one's fault.
    if fault.is_some() || request.version != Version::HTTP_2 {
        wire.arm(fault);
    }

    let reply = Reply::new(
        &behaviour,
        Arrival {
            request: &request,
            number,
            luck,
            persona: &shared.persona,
        },
    );
    let body = PacedBody::new(reply.payload, behaviour.stall_after, exchange);
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    Ok(response)
}
