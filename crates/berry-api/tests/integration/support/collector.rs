//! A collector of traces on a real socket. It reads the real protobuf, by code that is made from the
//! protocol's own definition, and takes nothing that is not exactly right.

use std::collections::BTreeMap;

use berry_testkit::{Behaviour, Recorded, Upstream};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};

use super::within;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Collector(Upstream);

/// A span and what was sent with it.
#[derive(Debug, Clone)]
pub(crate) struct Traced {
    pub(crate) span: Span,
    pub(crate) attributes: BTreeMap<String, Value>,
    /// Of the process.
    pub(crate) resource: BTreeMap<String, Value>,
}

impl Collector {
    /// Starts one that takes everything.
    pub(crate) async fn start() -> Self {
        Self::over(Upstream::builder()).await
    }

    /// The same, as a simulated provider that is built so.
    pub(crate) async fn over(builder: berry_testkit::Builder) -> Self {
        Self(builder.behaviour(Self::taking(0)).start().await)
    }

    /// Returns how a collector answers that takes all but so many spans.
    pub(crate) fn taking(rejected: i64) -> Behaviour {
        let partial_success = (rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "too old".to_owned(),
        });
        let answer = ExportTraceServiceResponse { partial_success };
        Behaviour::body("application/x-protobuf", answer.encode_to_vec())
    }

    /// Returns the simulated provider that answers.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.0
    }

    /// Returns the configuration that sends everything here.
    pub(crate) fn telemetry(&self) -> String {
        let url = self.0.url();
        let base = url.trim_end_matches("/v1");
        format!("[telemetry]\notlp_endpoint = \"{base}\"\n")
    }

    /// Waits until `count` spans are here; returns all, by their beginning.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Traced> {
        within(async {
            for requests in 1.. {
                self.0.wait_for_requests(requests).await;
                let spans = self.received();
                if spans.len() >= count {
                    return spans;
                }
            }
            unreachable!("there are not so many numbers")
        })
        .await
    }

    /// Returns the spans that are here.
    pub(crate) fn received(&self) -> Vec<Traced> {
        let mut spans: Vec<_> = self.0.requests().iter().flat_map(read).collect();
        spans.sort_by_key(|traced| traced.span.start_time_unix_nano);
        spans
    }
}

impl Traced {
    /// Returns the span that is called so.
    pub(crate) fn find<'a>(spans: &'a [Self], name: &str) -> &'a Self {
        let found = spans.iter().find(|traced| traced.span.name == name);
        found.unwrap_or_else(|| panic!("no `{name}` in {spans:#?}"))
    }

    /// Returns an attribute; null where there is none.
    pub(crate) fn attribute(&self, name: &str) -> &Value {
        self.attributes.get(name).unwrap_or(&Value::Null)
    }

    /// Returns whether it says that something went wrong.
    pub(crate) fn is_error(&self) -> bool {
        self.span
            .status
            .as_ref()
            .is_some_and(|status| status.code == 2)
    }

    /// Returns its trace and its id, as headers have them.
    pub(crate) fn ids(&self) -> (String, String) {
        (hex(&self.span.trace_id), hex(&self.span.span_id))
    }
}

/// Reads an export, and checks whatever must hold for every one.
fn read(request: &Recorded) -> Vec<Traced> {
    assert_eq!(request.method, "POST");
    assert_eq!(request.path_and_query, "/v1/traces");
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    let export = ExportTraceServiceRequest::decode(request.body.clone()).expect("protobuf");
    // Nothing is in it that the definition does not know.
    assert_eq!(export.encode_to_vec(), request.body);
    let mut all = Vec::new();
    for resource_spans in export.resource_spans {
        let Resource { attributes, .. } = resource_spans.resource.expect("a resource");
        let resource = values(&attributes);
        for scope_spans in resource_spans.scope_spans {
            let scope = scope_spans.scope.expect("a scope");
            assert_eq!(scope.name, "berry-api");
            assert!(!scope_spans.spans.is_empty());
            for span in scope_spans.spans {
                check(&span);
                all.push(Traced {
                    attributes: values(&span.attributes),
                    resource: resource.clone(),
                    span,
                });
            }
        }
    }
    all
}

fn check(span: &Span) {
    let is_id = |id: &[u8], length| id.len() == length && id.iter().any(|&byte| byte != 0);
    assert!(is_id(&span.trace_id, 16), "{span:?}");
    assert!(is_id(&span.span_id, 8), "{span:?}");
    assert!(
        span.parent_span_id.is_empty() || is_id(&span.parent_span_id, 8),
        "{span:?}"
    );
    assert!(!span.name.is_empty());
    // Of a server or of a client.
    assert!([2, 3].contains(&span.kind), "{span:?}");
    let hour = 3_600_000_000_000;
    let now = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    assert!(span.end_time_unix_nano <= now + hour && span.start_time_unix_nano + hour > now);
    assert_eq!(span.flags & 1, 1, "what is sent is sampled");
    assert_eq!(
        span.flags & 0x100,
        0x100,
        "whether the parent is remote is known"
    );
}

/// Returns attributes by name, each of which is there once and has a value.
fn values(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for KeyValue { key, value, .. } in attributes {
        let value = match value {
            Some(AnyValue {
                value: Some(any_value::Value::StringValue(text)),
            }) => json!(text),
            Some(AnyValue {
                value: Some(any_value::Value::IntValue(number)),
            }) => json!(number),
            Some(AnyValue {
                value: Some(any_value::Value::DoubleValue(number)),
            }) => json!(number),
            Some(AnyValue {
                value: Some(any_value::Value::BoolValue(truth)),
            }) => json!(truth),
            other => panic!("{key}: {other:?}"),
        };
        assert!(values.insert(key.clone(), value).is_none(), "{key} twice");
    }
    values
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
