//! An OpenTelemetry collector that keeps what it is given, read with OpenTelemetry's own definitions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode as SpanStatus};
use prost::Message as _;
use tokio::net::TcpListener;
use worker_tests::harness::{SOON, until};

/// A collector at 127.0.0.1. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Collector {
    url: String,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    refusing: Option<StatusCode>,
    spans: Vec<Seen>,
    headers: Vec<HeaderMap>,
    bytes: Vec<u8>,
}

/// A span as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) kind: SpanKind,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
    /// What the events say.
    pub(crate) notes: Vec<String>,
    pub(crate) error: Option<String>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let it = Self { url, taken: Arc::default() };
        let router = Router::new().route("/v1/traces", post(take)).with_state(it.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        it
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Answers with this status from now on.
    pub(crate) fn refuse(&self, status: Option<StatusCode>) {
        self.taken.lock().unwrap().refusing = status;
    }

    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.taken.lock().unwrap().spans.clone()
    }

    pub(crate) fn requests(&self) -> Vec<HeaderMap> {
        self.taken.lock().unwrap().headers.clone()
    }

    /// Whether a text is anywhere in what was sent.
    pub(crate) fn was_told(&self, text: &str) -> bool {
        let bytes = self.taken.lock().unwrap().bytes.clone();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// All spans, once there are so many of the name.
    pub(crate) async fn has(&self, name: &str, times: usize) -> Vec<Seen> {
        let what = format!("{times} spans {name:?}");
        until(SOON, what, async || {
            let spans = self.spans();
            (spans.iter().filter(|span| span.name == name).count() >= times).then_some(spans)
        })
        .await
    }
}

/// The one span of the name.
pub(crate) fn the<'s>(spans: &'s [Seen], name: &str) -> &'s Seen {
    let named: Vec<&Seen> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(named.len(), 1, "{name:?} in {spans:#?}");
    named[0]
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut taken = collector.taken.lock().unwrap();
    taken.headers.push(headers);
    if let Some(status) = taken.refusing {
        return status;
    }
    taken.bytes.extend_from_slice(&body);
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.unwrap().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            taken.spans.push(seen(span, &resource));
        }
    }
    StatusCode::OK
}

fn seen(span: Span, resource: &BTreeMap<String, String>) -> Seen {
    let notes = span.events.iter().flat_map(|event| attributes(event.attributes.clone()).into_values());
    let status = span.status.clone().unwrap_or_default();
    Seen {
        kind: span.kind(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        notes: notes.collect(),
        error: (status.code() == SpanStatus::Error).then_some(status.message),
        attributes: attributes(span.attributes),
        resource: resource.clone(),
        name: span.name,
    }
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|KeyValue { key, value, .. }| (key, text(value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    use any_value::Value::{ArrayValue, BoolValue, BytesValue, DoubleValue, IntValue, KvlistValue, StringValue};
    match value.unwrap().value.unwrap() {
        StringValue(text) => text,
        IntValue(number) => number.to_string(),
        BoolValue(value) => value.to_string(),
        // None of these is sent; a test that looks for what stands here fails with what it was.
        other @ (ArrayValue(_)
        | BytesValue(_)
        | DoubleValue(_)
        | KvlistValue(_)
        | any_value::Value::StringValueStrindex(_)) => {
            format!("{other:?}")
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |shown, byte| shown + &format!("{byte:02x}"))
}
