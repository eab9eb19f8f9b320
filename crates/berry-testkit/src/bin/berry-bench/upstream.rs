//! The provider: reads every body whole, and answers as the model says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::time::{Interval, interval};

use crate::answer::{Answer, EVENTS_AFTER_CONTENT, without_usage};
use crate::listen::each_connection;

/// Answers that have been asked for: a model's is made once.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<HashMap<(String, bool), Prepared>>>);

#[derive(Clone)]
enum Prepared {
    Whole(Bytes),
    Stream(Arc<[Bytes]>, Option<Pace>),
}

/// How fast the contents of a stream come.
#[derive(Clone, Copy)]
struct Pace {
    interval: Duration,
    /// The place of the last content; what follows comes with it.
    last: usize,
}

impl Answers {
    fn prepared(&self, model: &str, usage: bool) -> Option<Prepared> {
        // Models that only differ in a number share an answer.
        let key = (model.split('/').next()?.to_owned(), usage);
        let mut known = self.0.lock();
        if let Some(prepared) = known.get(&key) {
            return Some(prepared.clone());
        }
        let prepared = match Answer::of(model)? {
            Answer::Whole(body) => Prepared::Whole(body),
            Answer::Stream { events, pace } => {
                let last = events.len() - EVENTS_AFTER_CONTENT - 1;
                let pace = pace.map(|interval| Pace { interval, last });
                let events = if usage { events } else { without_usage(events) };
                Prepared::Stream(events.into(), pace)
            }
        };
        known.insert(key, prepared.clone());
        Some(prepared)
    }

    fn answer(&self, request: &[u8]) -> Response<AnswerBody> {
        let usage = after(request, br#""include_usage":true"#).is_some();
        let prepared = model(request).and_then(|model| self.prepared(model, usage));
        match prepared {
            Some(Prepared::Whole(body)) => response("application/json", AnswerBody::Whole(body)),
            Some(Prepared::Stream(events, pace)) => {
                response("text/event-stream", AnswerBody::stream(events, pace))
            }
            None => {
                let error =
                    br#"{"error":{"message":"no such answer","type":"invalid_request_error"}}"#;
                let mut answer = response(
                    "application/json",
                    AnswerBody::Whole(Bytes::from_static(error)),
                );
                *answer.status_mut() = StatusCode::NOT_FOUND;
                answer
            }
        }
    }
}

fn response(content_type: &'static str, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Returns what comes after the first occurrence of `mark`.
pub(crate) fn after<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let start = memchr::memmem::find(bytes, mark)?;
    bytes.get(start + mark.len()..)
}

/// Returns the model of a request as the load and gateways write it: without spaces.
pub(crate) fn model(request: &[u8]) -> Option<&str> {
    let rest = after(request, br#""model":""#)?;
    let end = memchr::memchr(b'"', rest)?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// A body that is sent at once or event by event.
enum AnswerBody {
    Whole(Bytes),
    Stream {
        events: Arc<[Bytes]>,
        next: usize,
        pace: Option<(Interval, usize)>,
    },
}

impl AnswerBody {
    fn stream(events: Arc<[Bytes]>, pace: Option<Pace>) -> Self {
        Self::Stream {
            events,
            next: 0,
            pace: pace.map(|pace| (interval(pace.interval), pace.last)),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) if body.is_empty() => Poll::Ready(None),
            Self::Whole(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Self::Stream { events, next, pace } => {
                let Some(event) = events.get(*next) else {
                    return Poll::Ready(None);
                };
                // The role comes at once, the contents in their time, and the rest with the last of them.
                if let Some((interval, last)) = pace
                    && (1..=*last).contains(next)
                {
                    ready!(interval.poll_tick(context));
                }
                *next += 1;
                Poll::Ready(Some(Ok(Frame::data(event.clone()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_empty(),
            Self::Stream { events, next, .. } => *next == events.len(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.len() as u64),
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(address: SocketAddr) -> io::Result<()> {
    let answers = Answers::default();
    each_connection(address, |connection| {
        let answers = answers.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answers = answers.clone();
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                Ok::<_, hyper::Error>(answers.answer(&body))
            }
        });
        tokio::spawn(async move {
            // Its errors are a client's leaving.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_in_a_request() {
        assert_eq!(
            model(br#"{"messages":[],"model":"small/17"}"#),
            Some("small/17")
        );
        assert_eq!(model(br#"{"messages":[]}"#), None);
        assert_eq!(model(br#"{"model":"small"#), None);
    }

    #[tokio::test]
    async fn a_stream_has_its_usage_where_it_is_asked_for() {
        let answers = Answers::default();
        for (ask, events) in [("", 5), (r#","stream_options":{"include_usage":true}"#, 6)] {
            let request = format!(r#"{{"model":"burst-2"{ask}}}"#);
            let answer = answers.answer(request.as_bytes());
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(
                memchr::memmem::find_iter(&body, "data: ").count(),
                events,
                "{ask}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_paced_stream_takes_its_time() {
        let began = tokio::time::Instant::now();
        let answer = Answers::default().answer(br#"{"model":"paced-5-20"}"#);
        answer.into_body().collect().await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_millis(80));
    }

    #[test]
    fn an_unknown_model_is_not_found() {
        let answer = Answers::default().answer(br#"{"model":"gpt"}"#);
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
}
