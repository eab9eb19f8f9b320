//! Where traces go, and what is said with each of them.

use std::sync::Arc;
use std::time::Duration;

use berry_core::config::Telemetry;
use berry_relay::{Outlet, Unreached, UpstreamError};
use bytes::Bytes;
use http::header::HeaderValue;
use http::{StatusCode, Uri};

use super::names;
use super::protobuf::{Message, Value, find};
use super::span::Attributes;

/// Where a collector takes traces, below its address.
const PATH: &str = "/v1/traces";
/// How long a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Target {
    outlet: Arc<Outlet>,
    /// The share of traces that begin here and are recorded.
    pub(super) share: f64,
    /// The fields of a batch before its spans: who sends them, and what has recorded them.
    resource: Vec<u8>,
    scope: Vec<u8>,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The collector has it, apart from so many spans.
    Taken { rejected: u64 },
    /// The collector does not want it, and will not.
    Refused(String),
    /// It may want it later; after a while, where it says so.
    Later(String, Option<Duration>),
}

impl Target {
    /// Makes the target that is configured, if one is; what `before` has opened is used on.
    ///
    /// # Errors
    /// The collector cannot be reached from here.
    pub(super) fn of(
        telemetry: &Telemetry,
        before: Option<&Self>,
    ) -> Result<Option<Self>, UpstreamError> {
        let Some(endpoint) = &telemetry.otlp_endpoint else {
            return Ok(None);
        };
        let uri = address(endpoint)?;
        let outlet = match before {
            Some(before) if *before.outlet.uri() == uri => Arc::clone(&before.outlet),
            _ => {
                let kind = HeaderValue::from_static("application/x-protobuf");
                Arc::new(Outlet::new(uri, kind)?)
            }
        };
        let (mut resource, mut scope) = (Vec::new(), Vec::new());
        Message::new(&mut resource).message(1, |resource| {
            let mut attributes = Attributes::new(resource, 1);
            attributes.text(names::SERVICE_NAME, &telemetry.service_name);
            attributes.text(names::SERVICE_VERSION, env!("CARGO_PKG_VERSION"));
        });
        Message::new(&mut scope).message(1, |scope| {
            scope.bytes(1, env!("CARGO_PKG_NAME"));
            scope.bytes(2, env!("CARGO_PKG_VERSION"));
        });
        Ok(Some(Self {
            outlet,
            share: telemetry.sample_ratio,
            resource,
            scope,
        }))
    }

    /// Sends encoded spans.
    pub(super) async fn send(&self, spans: Bytes) -> Sent {
        let pieces = [self.head(spans.len()), spans];
        let answer = match self.outlet.post(pieces, PATIENCE).await {
            Ok(answer) => answer,
            Err(error @ (Unreached::Transport(_) | Unreached::Late(_))) => {
                return Sent::Later(self.at(&error), None);
            }
        };
        match answer.status {
            status if status.is_success() => Sent::Taken {
                rejected: rejected(&answer.body),
            },
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => Sent::Later(self.at(&status), answer.retry_after),
            status => Sent::Refused(self.at(&status)),
        }
    }

    /// Returns what stands before so many bytes of spans: the beginning of an export request.
    fn head(&self, spans: usize) -> Bytes {
        let mut scope = Vec::new();
        Message::new(&mut scope).begin(2, self.scope.len() + spans);
        scope.extend_from_slice(&self.scope);
        let mut head = Vec::new();
        Message::new(&mut head).begin(1, self.resource.len() + scope.len() + spans);
        head.extend_from_slice(&self.resource);
        head.extend_from_slice(&scope);
        head.into()
    }

    /// Says where something went wrong.
    fn at(&self, what: &dyn std::fmt::Display) -> String {
        format!("`{}`: {what}", self.outlet.uri())
    }
}

/// Returns where traces are sent to: an address that is not complete is completed.
fn address(endpoint: &Uri) -> Result<Uri, http::uri::InvalidUri> {
    let text = endpoint.to_string();
    let text = text.trim_end_matches('/');
    if text.ends_with(PATH) {
        return text.parse();
    }
    format!("{text}{PATH}").parse()
}

/// Returns how many spans an answer says were not taken.
fn rejected(answer: &[u8]) -> u64 {
    let Some(Value::Bytes(partial)) = find(answer, 1) else {
        return 0;
    };
    match find(partial, 1) {
        Some(Value::Number(count)) => count,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_completed() {
        for (endpoint, expected) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://h/otlp", "https://h/otlp/v1/traces"),
            ("https://h/otlp/v1/traces", "https://h/otlp/v1/traces"),
        ] {
            let address = address(&endpoint.parse().unwrap()).unwrap();
            assert_eq!(address, expected, "{endpoint}");
        }
    }
}
