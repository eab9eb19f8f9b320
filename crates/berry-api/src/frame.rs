//! What surrounds every request, whatever its route: an id, a guard against our own bugs, a count
//! and a log line.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use berry_core::UserName;
use futures_util::FutureExt;
use http::header::ORIGIN;
use http::{Method, Request, Response, StatusCode, Uri};
use tower_service::Service;
use tracing::error;

use crate::access_log;
use crate::arrival::{Arrival, LogsItself, RequestId, Sender, Who, X_REQUEST_ID};
use crate::audit::{Action, Event};
use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::router::{browser_router, router};
use crate::telemetry::traffic::Visit;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    router: Router,
    /// For requests from web pages, which need CORS headers. Others are spared them.
    browser_router: Router,
    gateway: Arc<Gateway>,
}

impl Frame {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Self {
        Self {
            router: router(Arc::clone(gateway)),
            browser_router: browser_router(Arc::clone(gateway)),
            gateway: Arc::clone(gateway),
        }
    }

    /// Answers a request.
    pub(crate) async fn serve(
        &self,
        mut request: Request<Body>,
        peer: SocketAddr,
    ) -> Response<Body> {
        let visit = Visit::begin(
            &self.gateway.traffic,
            request.uri().path(),
            request.method(),
        );
        let trace = self.gateway.tracer.begin(request.headers(), &visit);
        let id = RequestId::of(request.headers());
        let sender: Option<Arc<OnceLock<Sender>>> = self.gateway.audit.is_on().then(Arc::default);
        request.extensions_mut().insert(Arrival {
            id: id.clone(),
            peer,
            visit: visit.clone(),
            trace: trace.clone(),
            sender: sender.clone(),
        });
        let line = (request.method().clone(), request.uri().clone());
        let from_page = request.headers().contains_key(ORIGIN);
        let mut router = if from_page {
            &self.browser_router
        } else {
            &self.router
        }
        .clone();
        let work = AssertUnwindSafe(router.call(request)).catch_unwind();
        let answered = visit.stopwatch.around(work).await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Err(_panic) => {
                error!(request_id = id.as_str(), "request handler panicked");
                ApiError::internal().into_response()
            }
        };
        if response.extensions().get::<LogsItself>().is_none() {
            let status = response.status();
            // A user's own limits are refused before anything is relayed.
            if status == StatusCode::TOO_MANY_REQUESTS {
                visit.rate_limited();
            }
            visit.ended(status.as_u16());
            if let Some(trace) = trace {
                let tracer = &self.gateway.tracer;
                tracer.answered(&trace, &visit, status.as_u16(), &id);
            }
            access_log::finished(&id, &line.0, line.1.path(), status, visit.elapsed());
            if let Some(sender) = sender.as_ref().and_then(|sender| sender.get()) {
                self.audit(sender, &id, &line, status);
            }
        }
        response
            .headers_mut()
            .insert(X_REQUEST_ID, id.into_header());
        response
    }

    /// Notes for auditors what a known user did, or that somebody was refused.
    fn audit(&self, sender: &Sender, id: &RequestId, line: &(Method, Uri), status: StatusCode) {
        let (method, path) = (&line.0, line.1.path());
        let status = status.as_str();
        let (user_id, action, result) = match &sender.who {
            Who::Refused(reason) => (None, Action::Authenticate, reason.as_str()),
            Who::User(id) if path.starts_with("/admin") => (Some(id), Action::Admin, status),
            Who::User(id) => (Some(id), Action::Request, status),
        };
        self.gateway.audit.record(Event {
            user_id: user_id.map(UserName::as_str),
            action,
            resource: &format!("{method} {path}"),
            result,
            ip_address: Some(sender.address),
            request_id: Some(id.as_str()),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use berry_core::Source;
    use berry_relay::Names;
    use http::header::{AUTHORIZATION, CONTENT_TYPE};
    use http_body_util::BodyExt;

    use super::*;
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
            .header(X_REQUEST_ID, text)
            .body(Body::from(body))
            .unwrap()
    }

    /// Returns the names and labels of all series.
    async fn series(frame: &Frame) -> BTreeSet<String> {
        let page = Request::get("/prometheus").body(Body::empty()).unwrap();
        let page = frame.serve(page, PEER).await.into_body();
        let page = page.collect().await.unwrap().to_bytes();
        let page = String::from_utf8(page.into()).unwrap();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let names = samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()));
        names.collect()
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
            let answer = frame.serve(hostile(number % 8, &text), PEER).await;
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
