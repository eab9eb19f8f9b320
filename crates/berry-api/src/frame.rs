//! What surrounds every request, whatever its route: an id, a guard against our own bugs, a count
//! and a log line.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::response::IntoResponse;
use berry_core::{UserName, on_heap};
use berry_relay::trace::TraceContext;
use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode, Uri};
use tower_service::Service;
use tracing::error;

use crate::access_log;
use crate::arrival::{Arrival, RequestId, Sender, Who, X_REQUEST_ID};
use crate::audit::{Action, Event};
use crate::caller::Refused;
use crate::coding;
use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::host::names_its_host;
use crate::router::{Destination, Routers, is_for_admins};
use crate::routes::inference;
use crate::server::Seat;
use crate::telemetry::label::CLIENT_LEFT;
use crate::telemetry::visit::Visit;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    routers: Routers,
    gateway: Arc<Gateway>,
}

impl Frame {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Self {
        Self {
            routers: Routers::new(gateway),
            gateway: Arc::clone(gateway),
        }
    }

    /// Answers a request.
    pub(crate) async fn serve(
        &self,
        mut request: Request<Body>,
        peer: SocketAddr,
        seat: Seat,
    ) -> Response<Body> {
        let visit = Visit::begin(
            &self.gateway.traffic,
            request.uri().path(),
            request.method(),
        );
        let trace = self.gateway.tracer.begin(request.headers(), &visit);
        let id = RequestId::of(request.headers());
        let sender: Option<Arc<OnceLock<Sender>>> = self.gateway.audit.is_on().then(Arc::default);
        let arrival = Arrival {
            id: id.clone(),
            peer,
            seat,
            visit: visit.clone(),
            trace: trace.clone(),
            sender: sender.clone(),
        };
        let mut entry = Entry {
            gateway: &self.gateway,
            method: request.method().clone(),
            uri: request.uri().clone(),
            id,
            visit,
            trace,
            sender,
            is_told: false,
        };
        let destination = self.routers.of(&request);
        let work = async {
            if !names_its_host(&request) {
                return ApiError::invalid_host().into_response();
            }
            if let Err(miscoded) = coding::check(request.headers()) {
                return ApiError::from(miscoded).into_response();
            }
            match destination {
                Destination::Operation(operation) => {
                    let gateway = Arc::clone(&self.gateway);
                    // By far the largest part: what surrounds it would have room for it more than once.
                    Box::into_pin(on_heap(|| {
                        inference::create(operation, gateway, arrival, request)
                    }))
                    .await
                    .into_response()
                }
                Destination::Router(mut router) => {
                    request.extensions_mut().insert(arrival);
                    let Ok(response) = router.call(request).await;
                    response
                }
            }
        };
        let work = AssertUnwindSafe(work).catch_unwind();
        let answered = entry.visit.around(work).await;
        let mut response = match answered {
            Ok(response) => response,
            Err(_panic) => {
                error!(request_id = entry.id.as_str(), "request handler panicked");
                ApiError::internal().into_response()
            }
        };
        if !entry.visit.has_record() {
            let status = response.status();
            // A user's own limits are refused before anything is relayed.
            if status == StatusCode::TOO_MANY_REQUESTS {
                entry.visit.rate_limited();
            }
            entry.tell(status.as_u16(), response.extensions().get());
        }
        entry.is_told = true;
        let id = entry.id.clone().into_header();
        response.headers_mut().insert(X_REQUEST_ID, id);
        response
    }
}

/// A request that nobody has answered for yet. A client that leaves drops it.
struct Entry<'a> {
    gateway: &'a Gateway,
    method: Method,
    uri: Uri,
    id: RequestId,
    visit: Visit,
    trace: Option<Arc<TraceContext>>,
    sender: Option<Arc<OnceLock<Sender>>>,
    /// It was told what came of it, or will be by the record of what is relayed.
    is_told: bool,
}

impl Entry<'_> {
    /// Counts the request, and tells the logs what came of it.
    fn tell(&self, status: u16, refused: Option<&Refused>) {
        let times = self.visit.ended(status);
        if let Some(trace) = &self.trace {
            let tracer = &self.gateway.tracer;
            tracer.answered(trace, &self.visit, status, &self.id);
        }
        let asked = (&self.method, self.uri.path());
        access_log::finished(&self.id, asked, refused, status, times.latency);
        if let Some(sender) = self.sender.as_ref().and_then(|sender| sender.get()) {
            self.audit(sender, status);
        }
    }

    /// Notes for auditors what a known user did, or that somebody was refused.
    fn audit(&self, sender: &Sender, status: u16) {
        let (method, path) = (&self.method, self.uri.path());
        let status = status.to_string();
        let (user_id, action, result) = match &sender.who {
            Who::Refused(reason) => (None, Action::Authenticate, reason),
            Who::User(id) if is_for_admins(path) => (Some(id), Action::Admin, &status),
            Who::User(id) => (Some(id), Action::Request, &status),
        };
        let model = sender.model.get().map(|model| format!(" {model}"));
        self.gateway.audit.record(Event {
            user_id: user_id.map(UserName::as_str),
            action,
            resource: &format!("{method} {path}{}", model.unwrap_or_default()),
            result,
            ip_address: Some(sender.address),
            request_id: Some(self.id.as_str()),
        });
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if !self.is_told && !self.visit.has_record() {
            self.tell(CLIENT_LEFT, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use berry_core::Source;
    use berry_relay::Names;
    use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
    use http_body_util::BodyExt;

    use super::*;
    use crate::router::routes;
    use crate::telemetry::Logs;
    use crate::{App, Options};

    /// One backend that is never asked, and one user.
    const CONFIG: &str = r#"
        [settings]
        health_check_interval_seconds = 0
        [providers.only]
        base_url = "http://127.0.0.1:9"
        [models.chat]
        name = "chat"
        backends = [{ provider = "only", model = "x" }]
        [users.ada]
        token = "token-of-ada-0123456789"
    "#;
    const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    fn app() -> App {
        let source = Source::new("test.toml", CONFIG);
        let loaded = Names::collect().parse(&source, &|_| None).unwrap();
        App::build(Options {
            config: loaded.config,
            source,
            logs: Logs::default(),
            address: SocketAddr::new(PEER.ip(), 0),
            max_connections: 1,
            seed: 1,
        })
        .unwrap()
    }

    /// A request of one of eight kinds, with `text` where a client can write what it likes.
    fn hostile(kind: usize, text: &str) -> Request<Body> {
        let (method, path, token, body) = match kind {
            0 => (
                "POST",
                "/v1/chat/completions",
                "",
                format!(r#"{{"model":"{text}"}}"#),
            ),
            1 => (
                "POST",
                "/v1/chat/completions",
                "",
                format!(r#"{{"model":"chat","backend":"{text}"}}"#),
            ),
            2 => ("GET", "/v1/models", text, String::new()),
            3 => (text, "/v1/models", "", String::new()),
            4 => ("GET", "/{}", "", String::new()),
            5 => ("GET", "/v1/models/{}", "", String::new()),
            6 => ("GET", "/v1/responses/{}%20", "", String::new()),
            _ => ("GET", "/smart-ai/models/{}/weights", "", String::new()),
        };
        Request::builder()
            .method(method)
            .uri(path.replace("{}", text))
            .header(
                AUTHORIZATION,
                format!("Bearer token-of-ada-0123456789{token}"),
            )
            .header(CONTENT_TYPE, "application/json")
            .header(HOST, "gateway")
            .header(X_REQUEST_ID, text)
            .body(Body::from(body))
            .unwrap()
    }

    /// Returns the names and labels of all series.
    async fn series(frame: &Frame) -> BTreeSet<String> {
        let page = Request::get("/prometheus").header(HOST, "gateway");
        let page = page.body(Body::empty()).unwrap();
        let page = frame.serve(page, PEER, Seat::Usual).await.into_body();
        let page = page.collect().await.unwrap().to_bytes();
        let page = String::from_utf8(page.into()).unwrap();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let names = samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()));
        names.collect()
    }

    #[tokio::test]
    async fn methods_that_a_route_does_not_have_add_no_series_of_it() {
        let app = app();
        let frame = Frame::new(app.gateway());

        for (allow, path) in routes() {
            for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "BREW"] {
                if allow.split(", ").any(|allowed| allowed == method) {
                    continue;
                }
                let request = Request::builder().method(method).header(HOST, "gateway");
                let path = path.replace(['{', '}', '*'], "");
                let request = request.uri(path).body(Body::empty()).unwrap();
                let status = frame
                    .serve(request, PEER, Seat::Usual)
                    .await
                    .status()
                    .as_u16();
                assert!(matches!(status, 401 | 405), "{method} {status}");
            }
        }

        let paths: BTreeSet<_> = app
            .gateway()
            .traffic
            .requests()
            .map(|(labels, ..)| labels.path)
            .collect();
        assert_eq!(paths, BTreeSet::from(["other"]));
    }

    #[tokio::test]
    async fn a_hundred_thousand_hostile_requests_add_no_series() {
        let app = app();
        let frame = Frame::new(app.gateway());
        let mut rng = fastrand::Rng::with_seed(1);
        let mut before = BTreeSet::new();

        for number in 0..100_000 {
            if number == 8 {
                // Each kind was here once, and so was this page.
                series(&frame).await;
                before = series(&frame).await;
            }
            let text: String = (0..12).map(|_| rng.alphanumeric()).collect();
            let answer = frame
                .serve(hostile(number % 8, &text), PEER, Seat::Usual)
                .await;
            assert!(answer.status().is_client_error(), "{answer:?}");
        }

        assert_eq!(series(&frame).await, before);
        assert!(before.len() < 300, "{}", before.len());
        assert_eq!(
            app.gateway()
                .traffic
                .requests()
                .map(|(.., count)| count)
                .sum::<u64>(),
            100_003
        );
    }
}
